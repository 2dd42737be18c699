package agent

import (
	"slices"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/wire"
)

func kill(t *testing.T, dockerID string) {
	t.Helper()
	require.NoError(t, docker.ContainerKill(t.Context(), dockerID, "KILL"))
	eventually(t, "the process's end", func() bool {
		info, err := docker.ContainerInspect(t.Context(), dockerID)
		return err == nil && !info.State.Running
	})
}

// TestDockerGoesAway ends some containers while Docker is away, as a restart of Docker does.
func TestDockerGoesAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.newBoss("a")
	gate := w.newGateway()
	w.start(w.config(gate.host(), a.addr))
	s := a.session()
	leader := s.lead(1)
	leader.inventory()
	start := func(command ...string) wire.Observed {
		id := randomHex(6)
		leader.order(id, 1, 1, "start", command...)
		o := leader.done(id, 1).Observed
		require.Equal(t, "running", o.State)
		return o
	}
	goesOn, killed, stopped, dies := start("serve", "8080"), start("wait"), start("wait"), start("wait")
	require.False(t, leader.lease(1, time.Minute).DockerAway)
	leader.order(stopped.Container, 2, 1, "stop")
	require.Equal(t, "exited", leader.done(stopped.Container, 2).State)
	// One ends just before, as when Docker is stopped gracefully.
	kill(t, dies.DockerID)
	o := leader.observed("its end", func(o wire.Observed) bool { return o.DockerID == dies.DockerID && o.State == "exited" })
	require.False(t, o.Interrupted)

	gate.close()
	for leader.inventory().Away == false {
	}
	require.True(t, leader.lease(2, time.Minute).DockerAway)
	kill(t, killed.DockerID)
	fresh := randomHex(6)
	leader.order(fresh, 1, 1, "start", "wait") // waits for Docker
	leader.step("Docker does not answer on this Docker host")
	require.Equal(t, 1, a.connected(), "sessions outlast Docker")
	gate.open()
	for leader.inventory().Away {
	}
	reported := make(map[string]bool)
	for len(reported) < 2 {
		o := leader.observed("what was interrupted", func(o wire.Observed) bool { return o.Interrupted })
		reported[o.DockerID] = true
	}
	require.Equal(t, map[string]bool{killed.DockerID: true, dies.DockerID: true}, reported)
	const waited = "warning Docker does not answer on the Docker host host. The action waits for it."
	_, lines := leader.told(fresh, 1)
	require.Contains(t, lines, "info Starting succeeded")
	require.Len(t, slices.DeleteFunc(lines, func(line string) bool { return line != waited }), 1)
	require.False(t, leader.lease(3, time.Minute).DockerAway)

	next := s.lead(2)
	next.inventory()
	// What ends by itself later isn't interrupted, whatever was before.
	kill(t, goesOn.DockerID)
	o = next.observed("its end", func(o wire.Observed) bool { return o.DockerID == goesOn.DockerID && o.State == "exited" })
	require.False(t, o.Interrupted)
	// What is removed while nobody looks is told, too.
	gate.close()
	require.NoError(t, docker.ContainerRemove(t.Context(), stopped.DockerID, container.RemoveOptions{Force: true}))
	gate.open()
	eventually(t, "an inventory without it", func() bool {
		return !slices.ContainsFunc(next.inventory().Containers, func(o wire.Observed) bool { return o.DockerID == stopped.DockerID })
	})
}

// TestDockerIsAwayAtFirst has managers before Docker, as after a start of the machine.
func TestDockerIsAwayAtFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.newBoss("a")
	gate := w.newGateway()
	cfg := w.config(gate.host(), a.addr)
	gate.close()
	agent := New(cfg)
	w.run(agent)
	s := a.session()
	require.Zero(t, s.hello.Engine)
	leader := s.lead(1)
	require.True(t, leader.inventory().Away)
	require.True(t, leader.lease(1, time.Minute).DockerAway)
	gate.open()
	leader.has()
}
