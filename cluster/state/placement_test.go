package state_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

func (f *fixture) node(id, name string) {
	f.Helper()
	f.must(&state.NodeRegistered{Node: state.Node{ID: id, Name: name, Role: state.AgentNode, CPUs: 4, MemoryBytes: 8 << 30, JoinedAt: t0}})
}

// placed makes a container that runs on n1.
func (f *fixture) placed(id string, change func(*state.Container)) {
	f.Helper()
	c := container(id)
	if change != nil {
		change(&c)
	}
	f.must(&state.ContainerCreated{Container: c})
	f.must(&state.ActionRequested{Container: id, Action: state.Start, User: "ana", Time: t0})
	f.must(&state.ContainerPlaced{Container: id, Generation: 1, Node: "n1"})
	f.must(&state.ContainerReported{Container: id, Node: "n1", Generation: 1, Seq: 1, Done: true, State: state.Running, DockerID: "d1", Time: t0})
}

func (f *fixture) usage(node string) (u state.Usage) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) (err error) {
		u, err = tx.Usage(node)
		return err
	}))
	return u
}

func (f *fixture) lastLine(id string) (text string) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) error {
		lines, _, err := tx.LogTail(id, 1)
		if len(lines) == 1 {
			text = lines[0].Text
		}
		return err
	}))
	return text
}

func TestUsageFollowsTheContainers(t *testing.T) {
	f := newFixture(t)
	f.node("n2", "host2")
	reserve := func(c *state.Container) { c.ReservedMilliCPUs, c.ReservedMemory = 1500, 1<<30 }
	f.placed("c1", reserve)
	f.placed("c2", reserve)
	require.Equal(t, state.Usage{Placed: 2, Active: 2, MilliCPUs: 3000, MemoryBytes: 2 << 30}, f.usage("n1"))
	f.must(&state.ActionRequested{Container: "c1", Action: state.Stop, Time: t0})
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", Generation: 2, Seq: 2, Done: true, State: state.Exited, DockerID: "d1", Time: t0})
	require.Equal(t, state.Usage{Placed: 2, Active: 1, MilliCPUs: 1500, MemoryBytes: 1 << 30}, f.usage("n1"), "what has ended takes nothing, but stays")
	f.must(&state.ContainerLost{Container: "c2", Generation: 1, From: "n1", To: "n2", At: t0})
	require.Equal(t, state.Usage{Placed: 1}, f.usage("n1"))
	require.Equal(t, state.Usage{Placed: 1, Active: 1, MilliCPUs: 1500, MemoryBytes: 1 << 30}, f.usage("n2"))
	f.must(&state.ActionRequested{Container: "c2", Action: state.Delete, Time: t0})
	f.must(&state.ContainerReported{Container: "c2", Node: "n2", Generation: 3, Seq: 9, Done: true, State: state.Deleted, Time: t0})
	require.Zero(t, f.usage("n2"))
}

func TestALostContainerGoesToAnotherHost(t *testing.T) {
	f := newFixture(t)
	f.node("n2", "host2")
	f.placed("c1", nil)
	f.must(&state.ContainerLost{Container: "c1", Generation: 9, From: "n1", To: "n2", At: t0})
	f.must(&state.ContainerLost{Container: "c1", Generation: 1, From: "n9", To: "n2", At: t0})
	f.must(&state.ContainerLost{Container: "c1", Generation: 1, From: "n1", To: "n9", At: t0})
	c, _ := f.container("c1")
	require.Equal(t, "n1", c.Node, "decisions that were overtaken change nothing")

	f.must(&state.ContainerLost{Container: "c1", Generation: 1, From: "n1", To: "n2", At: t0})
	c, _ = f.container("c1")
	require.Equal(t, "n2", c.Node)
	require.EqualValues(t, 2, c.Placement)
	require.EqualValues(t, 2, c.Generation)
	require.True(t, c.Pending())
	require.Equal(t, "starting", c.Shown())
	require.Empty(t, c.DockerID)
	require.Contains(t, f.lastLine("c1"), "The Docker host host1 is down.")
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", State: state.Exited, DockerID: "d1", Time: t0})
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", Generation: 2, Seq: 5, Done: true, State: state.Running, DockerID: "d1", Time: t0})
	c, _ = f.container("c1")
	require.True(t, c.Pending(), "what the old host says doesn't count")
}

func TestActionsOnALostHostComeToAnEnd(t *testing.T) {
	for _, row := range []struct {
		action state.Action
		to     string
		gone   bool
		state  state.State
	}{
		{state.Stop, "", false, state.Exited},
		{state.Delete, "", true, ""},
		{state.Restart, "n2", false, state.Initial},
	} {
		f := newFixture(t)
		f.node("n2", "host2")
		f.placed("c1", nil)
		f.must(&state.ActionRequested{Container: "c1", Action: row.action, Time: t0})
		f.must(&state.ContainerLost{Container: "c1", Generation: 2, From: "n1", To: row.to, At: t0})
		c, ok := f.container("c1")
		require.Equal(t, row.gone, !ok, row.action)
		require.Equal(t, row.state, c.State, row.action)
		require.Equal(t, row.to != "", c.Pending(), row.action)
	}
}

func TestAMoveEndsOnAnotherHost(t *testing.T) {
	f := newFixture(t)
	f.placed("c1", nil)
	f.must(&state.ContainerMoveRequested{Container: "c1", Generation: 7, At: t0})
	c, _ := f.container("c1")
	require.False(t, c.Pending(), "a decision that was overtaken changes nothing")
	f.must(&state.ContainerMoveRequested{Container: "c1", Generation: 1, At: t0})
	c, _ = f.container("c1")
	require.Equal(t, "moving", c.Shown())
	f.refused(state.Conflict, &state.ActionRequested{Container: "c1", Action: state.Start, Time: t0})
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", Generation: 2, Seq: 2, Done: true, State: state.Deleted, Time: t0})
	c, _ = f.container("c1")
	require.Empty(t, c.Node)
	require.Equal(t, state.Start, c.Action)
	require.EqualValues(t, 3, c.Generation)
	require.True(t, c.Pending())
	f.must(&state.ActionRequested{Container: "c1", Action: state.Stop, User: "ana", Time: t0})
	c, _ = f.container("c1")
	require.Equal(t, state.Exited, c.State, "what waits for a host is stopped at once")
	require.False(t, c.Pending())
}

func TestAnInterruptedContainerStartsAgain(t *testing.T) {
	f := newFixture(t)
	f.placed("c1", nil)
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", State: state.Exited, DockerID: "d1", Interrupted: true, Time: t0.Add(time.Hour)})
	c, _ := f.container("c1")
	require.True(t, c.Pending())
	require.Equal(t, state.Start, c.Action)
	require.Equal(t, "n1", c.Node)

	// One that a user has stopped does not, nor one that had ended by itself long before.
	f.placed("c2", nil)
	f.must(&state.ActionRequested{Container: "c2", Action: state.Stop, Time: t0})
	f.must(&state.ContainerReported{Container: "c2", Node: "n1", Generation: 2, Seq: 2, Done: true, State: state.Exited, DockerID: "d1", Time: t0})
	f.placed("c3", nil)
	f.must(&state.ContainerReported{Container: "c3", Node: "n1", State: state.Exited, DockerID: "d1", Time: t0.Add(time.Hour)})
	for _, id := range []string{"c2", "c3"} {
		f.must(&state.ContainerReported{Container: id, Node: "n1", State: state.Exited, DockerID: "d1", Interrupted: true, Time: t0.Add(3 * time.Hour)})
		c, _ := f.container(id)
		require.Equal(t, state.Exited, c.State, id)
		require.False(t, c.Pending(), id)
	}
}

func TestNodes(t *testing.T) {
	f := newFixture(t)
	f.node("n2", "host2")
	f.refused(state.Conflict, &state.NodeRegistered{Node: state.Node{ID: "n3", Name: "host2", Role: state.AgentNode}})
	f.must(&state.NodeRegistered{Node: state.Node{ID: "m1", Name: "host2", Role: state.ManagerNode}}) // another role
	f.refused(state.Invalid, &state.NodeRegistered{Node: state.Node{ID: "n3", Name: "", Role: state.AgentNode}})
	f.refused(state.Invalid, &state.NodeRegistered{Node: state.Node{ID: "n3", Name: "x", Role: "king"}})

	f.must(&state.NodeLabelled{Node: "n2", Set: map[string]string{"gpu": "true"}})
	f.must(&state.NodeAvailabilitySet{Node: "n2", Availability: state.Draining, DrainBy: t0})
	f.must(&state.NodeHealthChanged{Node: "n2", Health: state.Down, At: t0})
	f.must(&state.NodeRegistered{Node: state.Node{ID: "n2", Name: "host2b", Role: state.AgentNode, Labels: map[string]string{"gpu": "false", "a": "b"}}})
	f.see("n2", func(n state.Node) {
		require.Equal(t, "host2b", n.Name)
		require.Equal(t, map[string]string{"gpu": "true", "a": "b"}, n.AllLabels(), "the operators' go first")
		require.Equal(t, state.Draining, n.Availability, "a node doesn't say this of itself")
		require.Equal(t, state.Down, n.Health)
		require.True(t, n.JoinedAt.Equal(t0))
		require.False(t, n.Schedulable())
	})
	f.refused(state.Conflict, &state.NodeLabelled{Node: "n2", Remove: []string{"a"}})
	f.refused(state.Invalid, &state.NodeLabelled{Node: "n2", Set: map[string]string{"no spaces": "x"}})
	f.refused(state.Conflict, &state.NodeAvailabilitySet{Node: "m1", Availability: state.Draining})
	f.refused(state.NotFound, &state.NodeAvailabilitySet{Node: "n9", Availability: state.Draining})
	f.refused(state.Conflict, &state.ManagerVoteSet{Node: "n2"})
}

func (f *fixture) see(id string, look func(state.Node)) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) error {
		n, ok, err := tx.Node(id)
		require.True(f, ok)
		look(n)
		return err
	}))
}

func TestARemovedNodeDoesNotComeBack(t *testing.T) {
	f := newFixture(t)
	f.placed("c1", nil)
	f.refused(state.Conflict, &state.NodeRemoved{Node: "n1", At: t0})
	f.must(&state.NodeRemoved{Node: "n1", Force: true, At: t0})
	c, _ := f.container("c1")
	require.Equal(t, "n1", c.Node, "what runs stays its own until the leader has another host")
	f.refused(state.Forbidden, &state.NodeRegistered{Node: state.Node{ID: "n1", Name: "host1", Role: state.AgentNode}})
	require.NoError(t, f.store.View(func(tx *state.Tx) error {
		require.True(t, tx.Revoked("n1"))
		used, err := tx.UsedNodes()
		require.Equal(t, []string{"n1"}, used)
		return err
	}))
	f.node("n2", "host1") // the name is free again
	f.must(&state.ContainerLost{Container: "c1", Generation: 1, From: "n1", To: "n2", At: t0})
	c, _ = f.container("c1")
	require.Equal(t, "n2", c.Node)
}

func TestARestoredClusterHasOneManager(t *testing.T) {
	f := newFixture(t)
	f.must(&state.NodeRegistered{Node: state.Node{ID: "m1", Name: "m1", Role: state.ManagerNode}})
	f.must(&state.JoinTokenSet{Role: "agent", Hash: []byte{1}, Sealed: []byte{2}})
	f.must(&state.ClusterRestored{Manager: state.Node{ID: "m9", Name: "m1", Role: state.ManagerNode}, At: t0})
	require.NoError(t, f.store.View(func(tx *state.Tx) error {
		managers, err := tx.Managers()
		require.Len(t, managers, 1)
		require.Equal(t, "m9", managers[0].ID)
		require.True(t, tx.Revoked("m1"))
		require.Empty(t, tx.JoinTokenHash("agent"))
		agents, err2 := tx.Agents()
		require.Len(t, agents, 1, "agents stay")
		require.NoError(t, err2)
		return err
	}))
}

func TestConstraints(t *testing.T) {
	n := state.Node{ID: "n1", Name: "host-1", Labels: map[string]string{"gpu": "true", "disk": "ssd"}}
	for text, met := range map[string]bool{
		"node.labels.gpu == true":  true,
		"node.labels.gpu==true":    true,
		"node.labels.gpu != true":  false,
		"node.labels.disk == hdd":  false,
		"node.labels.disk != hdd":  true,
		"node.labels.none == x":    false,
		"node.labels.none != x":    true,
		"node.name == host-1":      true,
		"node.id != n1":            false,
		" node.id  ==  n1 ":        true,
		"node.labels.a.b-c_d != x": true,
	} {
		c, err := state.ParseConstraint(text)
		require.NoError(t, err, text)
		require.Equal(t, met, c.Met(&n), text)
		again, err := state.ParseConstraint(c.String())
		require.NoError(t, err)
		require.Equal(t, c, again)
	}
	for _, text := range []string{"", "gpu", "gpu == true", "node.labels. == x", "node.labels.gpu ==", "node.gpu == x", "node.labels.a b == x",
		"node.labels.gpu = true", "node.labels.gpu === true", "node.id == a\nb"} {
		_, err := state.ParseConstraint(text)
		require.Error(t, err, text)
	}
}

func TestResourcesAreChecked(t *testing.T) {
	f := newFixture(t)
	for field, change := range map[string]func(*state.Container){
		"constraints":        func(c *state.Container) { c.Constraints = []string{"gpu"} },
		"cpu_limit":          func(c *state.Container) { c.LimitMilliCPUs = -1 },
		"cpu_reservation":    func(c *state.Container) { c.ReservedMilliCPUs, c.LimitMilliCPUs = 2000, 1000 },
		"memory_limit":       func(c *state.Container) { c.LimitMemory = 1 << 20 },
		"memory_reservation": func(c *state.Container) { c.ReservedMemory, c.LimitMemory = 2<<30, 1<<30 },
	} {
		c := container("bad")
		change(&c)
		result := f.apply(&state.ContainerCreated{Container: c})
		require.Equal(t, state.Invalid, state.CodeOf(result.Err), field)
		var refused *state.Error
		require.ErrorAs(t, result.Err, &refused)
		require.Contains(t, refused.Fields, field)
	}
}
