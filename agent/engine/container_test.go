package engine_test

import (
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/stretchr/testify/require"

	"kiosc/agent/engine"
	"kiosc/cluster/wire"
)

func testLifeOfAContainer(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeAuto)
	ctx := t.Context()
	id, dockerID := createApp(t, e, "life", "wait")
	o, err := e.Inspect(ctx, dockerID)
	require.NoError(t, err)
	require.Equal(t, wire.Observed{Container: id, Generation: 1, DockerID: dockerID, ImageID: imageID(t, e), State: "created"}, o)

	// Each step twice: the second time it is done already.
	for range 2 {
		require.NoError(t, e.Start(ctx, dockerID))
	}
	o = awaitState(t, e, dockerID, "running")
	require.WithinDuration(t, time.Now(), o.StartedAt, time.Minute)
	for range 2 {
		require.NoError(t, e.Pause(ctx, dockerID))
	}
	awaitState(t, e, dockerID, "paused")
	for range 2 {
		require.NoError(t, e.Unpause(ctx, dockerID))
	}
	awaitState(t, e, dockerID, "running")
	for range 2 {
		require.NoError(t, e.Stop(ctx, dockerID, 10*time.Second))
	}
	require.Zero(t, awaitState(t, e, dockerID, "exited").ExitCode)
	require.ErrorIs(t, e.Pause(ctx, dockerID), engine.ErrNotRunning)
	for range 2 {
		require.NoError(t, e.Remove(ctx, dockerID))
	}
	_, err = e.Inspect(ctx, dockerID)
	require.ErrorIs(t, err, engine.ErrNotFound)
	require.ErrorIs(t, e.Start(ctx, dockerID), engine.ErrNotFound)
}

func testWhatDockerIsTold(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeHost)
	id, dockerID := createApp(t, e, "told", "wait")
	info, err := docker.ContainerInspect(t.Context(), dockerID)
	require.NoError(t, err)
	require.Equal(t, "/kiosc-"+id+"-1", info.Name)
	require.Equal(t, []string{"wait"}, []string(info.Config.Cmd))
	require.Contains(t, info.Config.Env, "A=b")
	require.True(t, info.HostConfig.RestartPolicy.IsNone() || info.HostConfig.RestartPolicy.Name == "")
	require.Equal(t, map[string]string{"max-size": "64m", "max-file": "2"}, info.HostConfig.LogConfig.Config)
	require.Equal(t, []string{"no-new-privileges"}, info.HostConfig.SecurityOpt)
	require.Equal(t, []string{"ALL"}, []string(info.HostConfig.CapDrop))
	require.EqualValues(t, 4096, *info.HostConfig.PidsLimit)
	require.EqualValues(t, 1024, info.HostConfig.Ulimits[0].Soft)
	require.Len(t, info.NetworkSettings.Networks, 1)
	require.Contains(t, info.NetworkSettings.Networks, "kiosc-"+clusterID[:8]+"-told")
	require.NoError(t, e.Start(t.Context(), dockerID))
	require.NotZero(t, awaitState(t, e, dockerID, "running").HostPort)
}

func testFindIsNewestFirst(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeAuto)
	id, first := createApp(t, e, "find", "wait")
	third, err := e.Create(t.Context(), engine.Making{Container: id, Generation: 3, Spec: specOf("find", "wait"), ImageID: imageID(t, e)})
	require.NoError(t, err)
	second, err := e.Create(t.Context(), engine.Making{Container: id, Generation: 2, Spec: specOf("find", "wait"), ImageID: imageID(t, e)})
	require.NoError(t, err)
	found, err := e.Find(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, []string{third, second, first}, dockerIDs(found))

	// What an earlier try of the same generation left is replaced.
	again, err := e.Create(t.Context(), engine.Making{Container: id, Generation: 3, Spec: specOf("find", "wait"), ImageID: imageID(t, e)})
	require.NoError(t, err)
	require.NotEqual(t, third, again)
	all, err := e.List(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, []string{again, second, first}, dockerIDs(all))
	for _, o := range all {
		require.NoError(t, e.Remove(t.Context(), o.DockerID))
	}
}

func dockerIDs(all []wire.Observed) (ids []string) {
	for _, o := range all {
		ids = append(ids, o.DockerID)
	}
	return ids
}

func testStrangersAreLeftAlone(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeAuto)
	ctx := t.Context()
	id := randomHex(6)
	stranger, err := docker.ContainerCreate(ctx, &container.Config{Image: appImage, Cmd: []string{"wait"}}, nil, nil, nil, "kiosc-"+id+"-1")
	require.NoError(t, err)
	defer docker.ContainerRemove(ctx, stranger.ID, container.RemoveOptions{Force: true})

	_, err = e.Inspect(ctx, stranger.ID)
	require.ErrorIs(t, err, engine.ErrNotFound)
	require.ErrorIs(t, e.Start(ctx, stranger.ID), engine.ErrNotFound)
	require.ErrorIs(t, e.Stop(ctx, stranger.ID, time.Second), engine.ErrNotFound)
	require.ErrorIs(t, e.Pause(ctx, stranger.ID), engine.ErrNotFound)
	require.ErrorIs(t, e.Unpause(ctx, stranger.ID), engine.ErrNotFound)
	require.ErrorIs(t, e.Logs(ctx, stranger.ID, wire.Cursor{}, 0, nil), engine.ErrNotFound)
	_, err = e.Dial(ctx, stranger.ID, appPort)
	require.ErrorIs(t, err, engine.ErrNotFound)
	require.NoError(t, e.Remove(ctx, stranger.ID))
	_, err = e.Create(ctx, engine.Making{Container: id, Generation: 1, Spec: specOf("stranger", "wait"), ImageID: imageID(t, e)})
	require.ErrorContains(t, err, "isn't Kiosc's")

	info, err := docker.ContainerInspect(ctx, stranger.ID)
	require.NoError(t, err)
	require.Equal(t, "created", string(info.State.Status))
}

func testAProcessThatEndsAtOnce(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeAuto)
	_, dockerID := startApp(t, e, "exit", "7")
	o := awaitState(t, e, dockerID, "exited")
	require.Equal(t, 7, o.ExitCode)
	require.Empty(t, o.IP)
}

func networksOf(t *testing.T, project string) (names []string) {
	t.Helper()
	all, err := docker.NetworkList(t.Context(), network.ListOptions{Filters: filters.NewArgs(
		filters.Arg("label", "kiosc.cluster="+clusterID), filters.Arg("name", "kiosc-"+clusterID[:8]+"-"+project))})
	require.NoError(t, err)
	for _, n := range all {
		names = append(names, n.Name)
	}
	return names
}

func testANetworkGoesWithItsLastContainer(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeAuto)
	_, created := createApp(t, e, "last", "wait")
	_, running := createApp(t, e, "last", "wait")
	require.NoError(t, e.Start(t.Context(), running))
	require.Len(t, networksOf(t, "last"), 1)
	require.NoError(t, e.Remove(t.Context(), running))
	require.Len(t, networksOf(t, "last"), 1) // one was never started, and has its place in it
	require.NoError(t, e.Remove(t.Context(), created))
	require.Empty(t, networksOf(t, "last"))
}

func testTheImageIsMissing(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeAuto)
	const missing = "localhost:1/kiosc-test/missing"
	_, pulled, err := e.EnsureImage(t.Context(), engine.Wanted{Image: missing}, nil)
	require.False(t, pulled)
	require.ErrorContains(t, err, missing+":latest")
	require.ErrorContains(t, err, "can't be reached")
	require.NotErrorIs(t, err, engine.ErrUnavailable)
}
