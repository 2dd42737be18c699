package engine_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"kiosc/agent/engine"
	"kiosc/cluster/wire"
)

const (
	appPort = 8080
	// patience is how long a condition may take to come true on a loaded machine.
	patience = 20 * time.Second
)

var (
	clusterID = randomHex(8)
	appImage  = "kiosc-test/" + clusterID + ":1"
	docker    *client.Client
)

// TestContainers holds the tests that run the app, so that its image is made once and nothing is left in Docker.
func TestContainers(t *testing.T) {
	t.Parallel()
	// Not the test's context, which has ended when it is cleaned up.
	ctx := context.Background()
	require.NoError(t, prepare(ctx))
	t.Cleanup(func() {
		require.NoError(t, cleanUp(ctx))
		docker.Close()
	})
	for name, test := range tests {
		t.Run(name, test)
	}
}

var tests = map[string]func(*testing.T){
	"LifeOfAContainer":                 testLifeOfAContainer,
	"WhatDockerIsTold":                 testWhatDockerIsTold,
	"FindIsNewestFirst":                testFindIsNewestFirst,
	"StrangersAreLeftAlone":            testStrangersAreLeftAlone,
	"AProcessThatEndsAtOnce":           testAProcessThatEndsAtOnce,
	"ANetworkGoesWithItsLastContainer": testANetworkGoesWithItsLastContainer,
	"TheImageIsMissing":                testTheImageIsMissing,
	"EachLogLineOnce":                  testEachLogLineOnce,
	"ALogIsReadToItsEnd":               testALogIsReadToItsEnd,
	"OddLines":                         testOddLines,
	"LongLinesArePutTogether":          testLongLinesArePutTogether,
	"LogsFollow":                       testLogsFollow,
	"DockerStopsToFollow":              testDockerStopsToFollow,
	"ASilentLogIsLeftAlone":            testASilentLogIsLeftAlone,
	"Figures":                          testFigures,
	"Dial":                             testDial,
	"DialIsRefused":                    testDialIsRefused,
	"ConfigIsChecked":                  testConfigIsChecked,
	"Events":                           testEvents,
	"EventsEndWithTheCallersError":     testEventsEndWithTheCallersError,
	"WhatAnAppMayDo":                   testWhatAnAppMayDo,
	"AReadOnlyFileSystem":              testAReadOnlyFileSystem,
	"AVolumeOutlivesItsContainers":     testAVolumeOutlivesItsContainers,
	"AVolumeOfStrangers":               testAVolumeOfStrangers,
	"GPUsAreAskedFor":                  testGPUsAreAskedFor,
	"PullPolicies":                     testPullPolicies,
	"AStockOfVolumes":                  testAStockOfVolumes,
	"UnusedVolumesAreRemoved":          testUnusedVolumesAreRemoved,
	"UnusedImagesAreRemoved":           testUnusedImagesAreRemoved,
	"TwoRemoveTheSame":                 testTwoRemoveTheSame,
	"DockerItselfRefuses":              testDockerItselfRefuses,
	"DockerIsAway":                     testDockerIsAway,
	"KioscKnowsItself":                 testKioscKnowsItself,
	"ATagIsNoImageID":                  testATagIsNoImageID,
	"ASetuidProgramWouldGain":          testASetuidProgramWouldGain,
	"AForkBomb":                        testAForkBomb,
}

func prepare(ctx context.Context) error {
	var err error
	if docker, err = client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation()); err != nil {
		return err
	}
	e, err := engine.Open(ctx, config("builder", ""))
	if err != nil {
		return err
	}
	defer e.Close()
	if err := e.BuildFromBinary(ctx, appImage, appBinary, []string{"/kiosc"}, map[string]string{"kiosc.test": clusterID}); err != nil {
		return err
	}
	made, err := docker.ImageInspect(ctx, appImage)
	if err != nil {
		return err
	}
	if err := e.BuildFromBinary(ctx, appImage, appBinary, []string{"/kiosc"}, nil); err != nil {
		return err
	}
	if again, err := docker.ImageInspect(ctx, appImage); err != nil || again.ID != made.ID {
		return fmt.Errorf("the same binary was imported twice (%v)", err)
	}
	return nil
}

func cleanUp(ctx context.Context) error {
	ours := filters.NewArgs(filters.Arg("label", "kiosc.cluster="+clusterID))
	containers, err := docker.ContainerList(ctx, container.ListOptions{All: true, Filters: ours})
	if err != nil {
		return err
	}
	for _, c := range containers {
		if err := docker.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true}); err != nil {
			return err
		}
	}
	networks, err := docker.NetworkList(ctx, network.ListOptions{Filters: ours})
	if err != nil {
		return err
	}
	for _, n := range networks {
		if err := docker.NetworkRemove(ctx, n.ID); err != nil {
			return err
		}
	}
	volumes, err := docker.VolumeList(ctx, volume.ListOptions{Filters: ours})
	if err != nil {
		return err
	}
	for _, v := range volumes.Volumes {
		if err := docker.VolumeRemove(ctx, v.Name, false); err != nil {
			return err
		}
	}
	_, err = docker.ImageRemove(ctx, appImage, image.RemoveOptions{Force: true})
	return err
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

func config(node, mode string) engine.Config {
	return engine.Config{ClusterID: clusterID, NodeID: node, NetworkMode: mode,
		SubnetPool: netip.MustParsePrefix(engine.DefaultSubnetPool), Logger: slog.New(slog.DiscardHandler)}
}

// open returns an engine with a node id of its own, so that tests don't see each other's containers.
func openEngine(t *testing.T, mode string) *engine.Engine {
	t.Helper()
	e, err := engine.Open(t.Context(), config(randomHex(4), mode))
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })
	return e
}

// create makes a Docker container of a new container in a project.
func createApp(t *testing.T, e *engine.Engine, project string, command ...string) (id, dockerID string) {
	t.Helper()
	id = randomHex(6)
	dockerID, err := e.Create(t.Context(), engine.Making{Container: id, Generation: 1, Spec: specOf(project, command...), ImageID: imageID(t, e)})
	require.NoError(t, err)
	t.Cleanup(func() { e.Remove(context.Background(), dockerID) })
	return id, dockerID
}

func startApp(t *testing.T, e *engine.Engine, command ...string) (id, dockerID string) {
	t.Helper()
	id, dockerID = createApp(t, e, randomHex(4), command...)
	require.NoError(t, e.Start(t.Context(), dockerID))
	return id, dockerID
}

func imageID(t *testing.T, e *engine.Engine) string {
	t.Helper()
	id, pulled, err := e.EnsureImage(t.Context(), engine.Wanted{Image: appImage}, nil)
	require.NoError(t, err)
	require.False(t, pulled)
	return id
}

func specOf(project string, command ...string) wire.Spec {
	return wire.Spec{Project: project, Image: appImage, Command: command, Env: []string{"A=b"}, Port: appPort,
		Timeout: time.Minute, NoFileSoft: 1024, NoFileHard: 2048}
}

// eventually waits until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	require.Eventually(t, f, patience, 20*time.Millisecond, what)
}

func awaitState(t *testing.T, e *engine.Engine, dockerID, state string) wire.Observed {
	t.Helper()
	var o wire.Observed
	eventually(t, "the state "+state, func() bool {
		var err error
		o, err = e.Inspect(t.Context(), dockerID)
		require.NoError(t, err)
		return o.State == state
	})
	return o
}
