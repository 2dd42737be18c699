package engine_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/stretchr/testify/require"

	"kiosc/agent/engine"
	"kiosc/cluster/wire"
)

// outputOf runs the app to its end as a container of a spec and returns what it printed.
func outputOf(t *testing.T, e *engine.Engine, spec wire.Spec) string {
	t.Helper()
	id, err := e.Create(t.Context(), engine.Making{Container: randomHex(6), Generation: 1, Spec: spec, ImageID: imageID(t, e)})
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), id))
	awaitState(t, e, id, "exited")
	logs, err := docker.ContainerLogs(t.Context(), id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	require.NoError(t, err)
	defer logs.Close()
	var out bytes.Buffer
	_, err = stdcopy.StdCopy(&out, &out, logs)
	require.NoError(t, err)
	require.NoError(t, e.Remove(t.Context(), id))
	return out.String()
}

func testWhatAnAppMayDo(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeHost)
	spec := specOf("look", "look")
	spec.MaxProcesses, spec.SharedMemory = 77, 96<<20
	out := outputOf(t, e, spec)
	for _, fact := range []string{
		"NoNewPrivs 1\n", "CapEff 00000000000004fb\n", "CapBnd 00000000000004fb\n", // the eight capabilities, and no more
		"pids 77\n", "files 2048\n", "shm 100663296\n", "raw socket fails: operation not permitted\n",
		"mount fails: operation not permitted\n", "device fails: operation not permitted\n",
		"docker socket fails: stat /var/run/docker.sock: no such file or directory\n", "root works\n",
	} {
		require.Contains(t, out, fact)
	}
	spec.Capabilities = []string{"NET_RAW"}
	require.Contains(t, outputOf(t, e, spec), "raw socket works\n", "a site may widen it")
}

func testAReadOnlyFileSystem(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeHost)
	spec := specOf("readonly", "look")
	spec.ReadOnlyRoot = true
	out := outputOf(t, e, spec)
	require.Contains(t, out, "root fails: open /written: read-only file system\n")
	require.Contains(t, out, "tmp works\n")
	spec.Volumes = []wire.Volume{{Name: "tmp", Path: "/tmp"}}
	require.Contains(t, outputOf(t, e, spec), "tmp works\n")
	require.NoError(t, e.RemoveVolume(t.Context(), "readonly", "tmp"))
}

func testAVolumeOutlivesItsContainers(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeHost)
	project, other := randomHex(4), randomHex(4)
	with := func(project string, command ...string) wire.Spec {
		spec := specOf(project, command...)
		spec.Volumes = []wire.Volume{{Name: "data", Path: "/data"}}
		return spec
	}
	require.Equal(t, "write works\n", outputOf(t, e, with(project, "write", "/data/file", "kept")))
	require.Equal(t, "kept works\n", outputOf(t, e, with(project, "read", "/data/file")))
	require.Contains(t, outputOf(t, e, with(other, "read", "/data/file")), "fails", "another project's volume of this name is another one")

	id, err := e.Create(t.Context(), engine.Making{Container: randomHex(6), Generation: 1, Spec: with(project, "wait"), ImageID: imageID(t, e)})
	require.NoError(t, err)
	require.ErrorIs(t, e.RemoveVolume(t.Context(), project, "data"), engine.ErrInUse)
	require.NoError(t, e.Remove(t.Context(), id))
	for range 2 {
		require.NoError(t, e.RemoveVolume(t.Context(), project, "data"))
	}
	require.Contains(t, outputOf(t, e, with(project, "read", "/data/file")), "fails")
	for _, p := range []string{project, other} {
		require.NoError(t, e.RemoveVolume(t.Context(), p, "data"))
	}
}

func testAVolumeOfStrangers(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeHost)
	name := "kiosc-" + clusterID[:8] + "-strange-data"
	_, err := docker.VolumeCreate(t.Context(), volume.CreateOptions{Name: name})
	require.NoError(t, err)
	spec := specOf("strange", "wait")
	spec.Volumes = []wire.Volume{{Name: "data", Path: "/data"}}
	_, err = e.Create(t.Context(), engine.Making{Container: randomHex(6), Generation: 1, Spec: spec, ImageID: imageID(t, e)})
	require.ErrorContains(t, err, "that isn't Kiosc's")
	require.NoError(t, e.RemoveVolume(t.Context(), "strange", "data"))
	require.NoError(t, docker.VolumeRemove(t.Context(), name, false), "it was left alone")
}

// testGPUsAreAskedFor sees what Docker is told. Where the machine has no GPU, the start says so in plain words.
func testGPUsAreAskedFor(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeHost)
	for _, gpus := range []int{2, -1} {
		spec := specOf("gpu", "wait")
		spec.GPUs = gpus
		id, err := e.Create(t.Context(), engine.Making{Container: randomHex(6), Generation: 1, Spec: spec, ImageID: imageID(t, e)})
		require.NoError(t, err)
		info, err := docker.ContainerInspect(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, info.HostConfig.DeviceRequests, 1)
		require.Equal(t, gpus, info.HostConfig.DeviceRequests[0].Count)
		require.Equal(t, [][]string{{"gpu"}}, info.HostConfig.DeviceRequests[0].Capabilities)
		if err := e.Start(t.Context(), id); err != nil {
			require.ErrorContains(t, err, "this Docker host has no GPU")
		}
		require.NoError(t, e.Remove(t.Context(), id))
	}
}

func testPullPolicies(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeHost)
	never := engine.Wanted{Image: "localhost:1/kiosc-test/absent:1", PullPolicy: "never"}
	_, pulled, err := e.EnsureImage(t.Context(), never, nil)
	require.False(t, pulled)
	require.ErrorContains(t, err, "the image localhost:1/kiosc-test/absent:1 is not on this Docker host, and its pull policy is never")
	never.Image = appImage
	_, _, err = e.EnsureImage(t.Context(), never, nil)
	require.NoError(t, err)
	// The image is there, and so is the wish to ask its registry, which doesn't exist.
	local := "localhost:1/kiosc-test/" + clusterID + ":local"
	require.NoError(t, docker.ImageTag(t.Context(), appImage, local))
	_, _, err = e.EnsureImage(t.Context(), engine.Wanted{Image: local, PullPolicy: "missing"}, nil)
	require.NoError(t, err)
	_, _, err = e.EnsureImage(t.Context(), engine.Wanted{Image: local, PullPolicy: "always", Login: &wire.RegistryLogin{
		Host: "localhost:1", User: "ana", Password: "s3cret"}}, nil)
	require.ErrorContains(t, err, "can't be reached")
	require.False(t, strings.Contains(err.Error(), "s3cret"))
	removeTag(t, local)
}

func removeTag(t *testing.T, ref string) {
	_, err := docker.ImageRemove(t.Context(), ref, image.RemoveOptions{})
	require.NoError(t, err)
}
