package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
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

// outputOf runs the app to its end as a container of a spec and returns what it printed.
func outputOf(t *testing.T, e *engine.Engine, spec wire.Spec) string {
	t.Helper()
	id, err := e.Create(t.Context(), engine.Making{Container: randomHex(6), Generation: 1, Spec: spec, ImageID: imageID(t, e)})
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), id))
	awaitState(t, e, id, "exited")
	out := printed(t, id)
	require.NoError(t, e.Remove(t.Context(), id))
	return out
}

// printed is what a Docker container has printed so far.
func printed(t *testing.T, dockerID string) string {
	t.Helper()
	logs, err := docker.ContainerLogs(t.Context(), dockerID, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	require.NoError(t, err)
	defer logs.Close()
	var out bytes.Buffer
	_, err = stdcopy.StdCopy(&out, &out, logs)
	require.NoError(t, err)
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
		"docker socket fails: stat /var/run/docker.sock: no such file or directory\n", "root works\n", "Seccomp 2\n",
		"sysctl fails: open /proc/sys/kernel/hostname: read-only file system\n",
		"setuid 1000\nsetuid program works\n", "pid 1\n", "ipv6 addresses 0\n",
	} {
		require.Contains(t, out, fact)
	}
	require.ElementsMatch(t, []string{"lo", "eth0"}, facts(out, "interface"))
	require.ElementsMatch(t, []string{"full", "null", "random", "tty", "urandom", "zero"}, facts(out, "device node"))
	namespaces := facts(out, "namespace")
	require.Len(t, namespaces, 5)
	for _, name := range []string{"net", "pid", "ipc", "mnt", "uts"} {
		mine, err := os.Readlink("/proc/self/ns/" + name)
		require.NoError(t, err)
		require.NotContains(t, namespaces, mine)
	}
	var ofHost []string // that a directory or file of the host could be behind
	for _, m := range facts(out, "mounted") {
		where, kind, _ := strings.Cut(m, " ")
		if !slices.Contains([]string{"proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "tmpfs"}, kind) {
			ofHost = append(ofHost, where)
		}
	}
	require.ElementsMatch(t, []string{"/", "/etc/resolv.conf", "/etc/hostname", "/etc/hosts"}, ofHost, "Docker's own")
	spec.Capabilities = []string{"NET_RAW"}
	require.Contains(t, outputOf(t, e, spec), "raw socket works\n", "a site may widen it")
}

// facts are what the app said of something.
func facts(out, of string) (list []string) {
	for line := range strings.Lines(out) {
		if fact, ok := strings.CutPrefix(line, of+" "); ok {
			list = append(list, strings.TrimSpace(fact))
		}
	}
	return list
}

// testASetuidProgramWouldGain sees that it is Kiosc that keeps it from that.
func testASetuidProgramWouldGain(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeHost)
	made, err := docker.ContainerCreate(t.Context(), &container.Config{Image: imageID(t, e), Cmd: []string{"look"}}, nil, nil, nil, "")
	require.NoError(t, err)
	defer docker.ContainerRemove(context.WithoutCancel(t.Context()), made.ID, container.RemoveOptions{Force: true})
	require.NoError(t, docker.ContainerStart(t.Context(), made.ID, container.StartOptions{}))
	ended, failed := docker.ContainerWait(t.Context(), made.ID, container.WaitConditionNotRunning)
	select {
	case <-ended:
	case err := <-failed:
		require.NoError(t, err)
	}
	require.Contains(t, printed(t, made.ID), "setuid 0\n")
}

// testAForkBomb sees that one stops at its limit, and that others of the host don't feel it.
func testAForkBomb(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeHost)
	spec := specOf("bomb", "bomb")
	spec.MaxProcesses = 50
	id, err := e.Create(t.Context(), engine.Making{Container: randomHex(6), Generation: 1, Spec: spec, ImageID: imageID(t, e)})
	require.NoError(t, err)
	defer e.Remove(context.WithoutCancel(t.Context()), id)
	require.NoError(t, e.Start(t.Context(), id))
	var made int
	eventually(t, "the bomb's end", func() bool {
		_, err := fmt.Sscanf(printed(t, id), "stopped after %d", &made)
		return err == nil
	})
	require.Less(t, made, 50)
	require.Contains(t, outputOf(t, e, specOf("bomb", "look")), "pid 1\n", "another one starts")
	require.NoError(t, e.Stop(t.Context(), id, time.Second))
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

// testATagIsNoImageID sees that nobody gets at an image of the host under another name, by the beginning of its id.
func testATagIsNoImageID(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeHost)
	id := strings.TrimPrefix(imageID(t, e), "sha256:")
	for _, image := range []string{"sha256:" + id[:20], id[:12]} {
		_, _, err := e.EnsureImage(t.Context(), engine.Wanted{Image: image, PullPolicy: "never"}, nil)
		require.ErrorContains(t, err, "is not on this Docker host", image)
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
