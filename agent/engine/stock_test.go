package engine_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/stretchr/testify/require"

	"kiosc/agent/engine"
	"kiosc/cluster/wire"
)

func stockOf(t *testing.T, e *engine.Engine, sizes bool) *wire.Stock {
	t.Helper()
	stock, err := e.Stock(t.Context(), sizes)
	require.NoError(t, err)
	return stock
}

// volumeIn finds a volume in the stock; nil where it isn't there.
func volumeIn(s *wire.Stock, name string) *wire.StockVolume {
	for i := range s.Volumes {
		if s.Volumes[i].Name == name {
			return &s.Volumes[i]
		}
	}
	return nil
}

func imageIn(s *wire.Stock, id string) *wire.StockImage {
	for i := range s.Images {
		if s.Images[i].ID == id {
			return &s.Images[i]
		}
	}
	return nil
}

// plainVolume makes one that isn't Kiosc's; an empty name leaves that to Docker.
func plainVolume(t *testing.T, name string, labels map[string]string) string {
	t.Helper()
	made, err := docker.VolumeCreate(t.Context(), volume.CreateOptions{Name: name, Labels: labels})
	require.NoError(t, err)
	t.Cleanup(func() { docker.VolumeRemove(context.Background(), made.Name, false) })
	return made.Name
}

func testAStockOfVolumes(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeHost)
	project := randomHex(4)
	spec := specOf(project, "write", "/data/file", "kept")
	spec.Volumes = []wire.Volume{{Name: "data", Path: "/data"}}
	require.Equal(t, "write works\n", outputOf(t, e, spec))
	t.Cleanup(func() { e.RemoveVolume(context.Background(), project, "data") })
	named, nameless := plainVolume(t, "kiosc-test-"+randomHex(4), nil), plainVolume(t, "", nil)

	name := ""
	for _, v := range stockOf(t, e, false).Volumes {
		if v.Project == project {
			name = v.Name
			require.Nil(t, v.Size, "nobody asked for it")
			require.Equal(t, wire.StockVolume{Name: v.Name, Driver: "local", Mountpoint: v.Mountpoint, Ours: true, UsedBy: v.UsedBy,
				Cluster: clusterID, Project: project, Volume: "data"}, v)
		}
	}
	require.NotEmpty(t, name)
	// Docker measures once at a time, and another test may have asked, too.
	eventually(t, "the size of the volume", func() bool {
		size := volumeIn(stockOf(t, e, true), name).Size
		return size != nil && *size >= int64(len("kept"))
	})
	stock := stockOf(t, e, false)
	require.False(t, volumeIn(stock, name).Anonymous)
	require.False(t, volumeIn(stock, named).Anonymous)
	require.True(t, volumeIn(stock, nameless).Anonymous)
	require.Empty(t, volumeIn(stock, named).Cluster)

	spec.Command = []string{"wait"}
	_, id := createWith(t, e, spec)
	got := volumeIn(stockOf(t, e, false), name)
	require.Equal(t, 1, got.Used)
	require.Len(t, got.UsedBy, 1)
	for _, c := range stockOf(t, e, false).Containers {
		if c.DockerID == id {
			require.Equal(t, c.Name, got.UsedBy[0], "also by one that doesn't run")
		}
	}
}

// createWith makes a Docker container of a spec.
func createWith(t *testing.T, e *engine.Engine, spec wire.Spec) (id, dockerID string) {
	t.Helper()
	id = randomHex(6)
	dockerID, err := e.Create(t.Context(), engine.Making{Container: id, Generation: 1, Spec: spec, ImageID: imageID(t, e)})
	require.NoError(t, err)
	t.Cleanup(func() { e.Remove(context.Background(), dockerID) })
	return id, dockerID
}

func testUnusedVolumesAreRemoved(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeHost)
	name := plainVolume(t, "kiosc-test-"+randomHex(4), nil)
	user, err := docker.ContainerCreate(t.Context(), &container.Config{Image: appImage, Cmd: []string{"wait"}},
		&container.HostConfig{Binds: []string{name + ":/data"}}, nil, nil, "kiosc-test-user-"+randomHex(4))
	require.NoError(t, err)
	t.Cleanup(func() {
		docker.ContainerRemove(context.Background(), user.ID, container.RemoveOptions{Force: true})
	})
	got := e.RemoveUnusedVolume(t.Context(), name)
	require.Contains(t, got.Refused, "It is used by the Docker container kiosc-test-user-", "though it never ran")
	require.NotNil(t, volumeIn(stockOf(t, e, false), name))

	require.NoError(t, docker.ContainerRemove(t.Context(), user.ID, container.RemoveOptions{}))
	require.Equal(t, wire.StockRemoved{ID: name}, e.RemoveUnusedVolume(t.Context(), name))
	require.Nil(t, volumeIn(stockOf(t, e, false), name))
	require.Equal(t, wire.StockRemoved{ID: name, Gone: true}, e.RemoveUnusedVolume(t.Context(), name), "gone is gone")

	sibling := plainVolume(t, "kiosc-test-"+randomHex(4), map[string]string{"kiosc.cluster": "another"})
	require.Equal(t, "It is of another Kiosc.", e.RemoveUnusedVolume(t.Context(), sibling).Refused)
	require.NotNil(t, volumeIn(stockOf(t, e, false), sibling))
}

func testTwoRemoveTheSame(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeHost)
	var both sync.WaitGroup
	for range 5 {
		name := plainVolume(t, "", nil)
		id := copyOfApp(t, e, "one")
		for range 2 {
			both.Go(func() {
				if got := e.RemoveUnusedVolume(t.Context(), name); got.Refused != "" {
					t.Error(got.Refused)
				}
			})
			both.Go(func() {
				if got := e.RemoveImage(t.Context(), wire.StockImageRemoval{ID: id, Tags: []string{"kiosc-test/" + id[7:15] + ":one"}}); got.Refused != "" {
					t.Error(got.Refused)
				}
			})
		}
		both.Wait()
		stock := stockOf(t, e, false)
		require.Nil(t, volumeIn(stock, name))
		require.Nil(t, imageIn(stock, id))
	}
}

// copyOfApp makes an image like the app's with an id of its own, and tags with names that begin with its id.
func copyOfApp(t *testing.T, e *engine.Engine, tags ...string) string {
	t.Helper()
	from, err := docker.ContainerCreate(t.Context(), &container.Config{Image: appImage, Cmd: []string{"wait"}}, nil, nil, nil, "")
	require.NoError(t, err)
	made, err := docker.ContainerCommit(t.Context(), from.ID, container.CommitOptions{Config: &container.Config{Labels: map[string]string{"kiosc.test.copy": randomHex(8)}}})
	require.NoError(t, err)
	require.NoError(t, docker.ContainerRemove(t.Context(), from.ID, container.RemoveOptions{}))
	t.Cleanup(func() { docker.ImageRemove(context.Background(), made.ID, image.RemoveOptions{Force: true}) })
	for _, tag := range tags {
		require.NoError(t, docker.ImageTag(t.Context(), made.ID, "kiosc-test/"+made.ID[7:15]+":"+tag))
	}
	return made.ID
}

func testUnusedImagesAreRemoved(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeHost)
	id := copyOfApp(t, e, "one", "two")
	tags := []string{"kiosc-test/" + id[7:15] + ":one", "kiosc-test/" + id[7:15] + ":two"}
	got := imageIn(stockOf(t, e, false), id)
	require.ElementsMatch(t, tags, got.Tags)
	require.Zero(t, got.Used)
	require.Positive(t, got.Size)

	require.Contains(t, e.RemoveImage(t.Context(), wire.StockImageRemoval{ID: id, Tags: tags[:1]}).Refused, "It has got another name meanwhile: "+tags[1])
	require.NotEmpty(t, e.RemoveImage(t.Context(), wire.StockImageRemoval{ID: tags[0], Tags: tags}).Refused, "names may come to mean something else")
	user, err := docker.ContainerCreate(t.Context(), &container.Config{Image: id}, nil, nil, nil, "kiosc-test-user-"+randomHex(4))
	require.NoError(t, err)
	t.Cleanup(func() {
		docker.ContainerRemove(context.Background(), user.ID, container.RemoveOptions{Force: true})
	})
	require.Contains(t, e.RemoveImage(t.Context(), wire.StockImageRemoval{ID: id, Tags: tags}).Refused, "It is used by the Docker container kiosc-test-user-")
	got = imageIn(stockOf(t, e, false), id)
	require.ElementsMatch(t, tags, got.Tags, "it has kept its names")
	require.Equal(t, 1, got.Used)
	require.NoError(t, docker.ContainerRemove(t.Context(), user.ID, container.RemoveOptions{}))

	require.Equal(t, wire.StockRemoved{ID: id}, e.RemoveImage(t.Context(), wire.StockImageRemoval{ID: id, Tags: tags}))
	require.Nil(t, imageIn(stockOf(t, e, false), id))
	require.Equal(t, wire.StockRemoved{ID: id, Gone: true}, e.RemoveImage(t.Context(), wire.StockImageRemoval{ID: id}))
}

// testDockerItselfRefuses removes an image that another one is built on.
func testDockerItselfRefuses(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeHost)
	parent := copyOfApp(t, e, "parent")
	from, err := docker.ContainerCreate(t.Context(), &container.Config{Image: parent, Cmd: []string{"wait"}}, nil, nil, nil, "")
	require.NoError(t, err)
	child, err := docker.ContainerCommit(t.Context(), from.ID, container.CommitOptions{Reference: "kiosc-test/" + parent[7:15] + ":child"})
	require.NoError(t, err)
	t.Cleanup(func() { docker.ImageRemove(context.Background(), child.ID, image.RemoveOptions{Force: true}) })
	require.NoError(t, docker.ContainerRemove(t.Context(), from.ID, container.RemoveOptions{}))
	what := wire.StockImageRemoval{ID: parent, Tags: []string{"kiosc-test/" + parent[7:15] + ":parent"}}
	require.Equal(t, "Other images are built on it.", e.RemoveImage(t.Context(), what).Refused)
	require.NotNil(t, imageIn(stockOf(t, e, false), parent))
}

func testDockerIsAway(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeHost)
	name, id := plainVolume(t, "", nil), copyOfApp(t, e)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	require.Equal(t, "The Docker Engine does not answer.", e.RemoveUnusedVolume(ctx, name).Refused)
	require.Equal(t, "The Docker Engine does not answer.", e.RemoveImage(ctx, wire.StockImageRemoval{ID: id}).Refused)
	_, err := e.Stock(ctx, true)
	require.ErrorIs(t, err, engine.ErrUnavailable)
}

// testKioscKnowsItself runs an engine in a Docker container with Docker's socket in it, as an agent may run, beside one that
// has the label of a node.
func testKioscKnowsItself(t *testing.T) {
	t.Parallel()
	const socket = "/var/run/docker.sock"
	_, err := os.Stat(socket)
	require.NoError(t, err, "this test gives the Docker Engine's socket to a Docker container")
	require.True(t, strings.HasSuffix(docker.DaemonHost(), "docker.sock"), "the Docker Engine has no local socket: %s", docker.DaemonHost())
	e := openEngine(t, engine.ModeHost)
	binary := filepath.Join(t.TempDir(), "self")
	require.NoError(t, buildBinary(binary, "./testdata/self"))
	ref := "kiosc-test/self-" + randomHex(4) + ":1"
	require.NoError(t, e.BuildFromBinary(t.Context(), ref, binary, []string{"/kiosc"}, nil))
	t.Cleanup(func() { docker.ImageRemove(context.Background(), ref, image.RemoveOptions{Force: true}) })
	run := func(name, host string, labels map[string]string, network container.NetworkMode) string {
		made, err := docker.ContainerCreate(t.Context(), &container.Config{Image: ref, Hostname: host, Labels: labels},
			&container.HostConfig{Binds: []string{socket + ":" + socket}, NetworkMode: network}, nil, nil, name)
		require.NoError(t, err)
		t.Cleanup(func() {
			docker.ContainerRemove(context.Background(), made.ID, container.RemoveOptions{Force: true})
		})
		return made.ID
	}
	mark := randomHex(4)
	run("kiosc-test-manager-"+mark, "", map[string]string{"org.kiosc.role": "manager"}, "")
	for name, id := range map[string]string{
		"kiosc-test-agent-" + mark:  run("kiosc-test-agent-"+mark, "", nil, ""),
		"kiosc-test-hosted-" + mark: run("kiosc-test-hosted-"+mark, "called-otherwise", nil, ""),
		"kiosc-test-net-" + mark:    run("kiosc-test-net-"+mark, "", nil, "host"),
	} {
		require.NoError(t, docker.ContainerStart(t.Context(), id, container.StartOptions{}))
		ended, failed := docker.ContainerWait(t.Context(), id, container.WaitConditionNotRunning)
		select {
		case <-ended:
		case err := <-failed:
			require.NoError(t, err)
		}
		logs, err := docker.ContainerLogs(t.Context(), id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
		require.NoError(t, err)
		var stdout bytes.Buffer
		_, err = stdcopy.StdCopy(&stdout, &stdout, logs)
		require.NoError(t, err)
		require.NoError(t, logs.Close())
		var marked []string
		for _, one := range strings.Fields(stdout.String()) {
			if strings.HasSuffix(one, mark) {
				marked = append(marked, one)
			}
		}
		require.ElementsMatch(t, []string{name, "kiosc-test-manager-" + mark}, marked, stdout.String())
	}
	for _, c := range stockOf(t, e, false).Containers {
		if strings.HasSuffix(c.Name, mark) {
			require.Equal(t, c.Name == "kiosc-test-manager-"+mark, c.Self, c.Name+" is not this process's")
		}
	}
}
