package state_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

func TestAnActionTooSoonAfterAnotherIsPassedOver(t *testing.T) {
	f := newFixture(t)
	f.made("c1", nil)
	act := func(a state.Action, user string, at time.Duration) state.Result {
		return f.apply(&state.ActionRequested{Container: "c1", Action: a, User: user, Time: t0.Add(at), MinDelay: 2 * time.Second})
	}
	require.NoError(t, act(state.Start, "ana", 0).Err)
	for _, early := range []time.Duration{0, 1900 * time.Millisecond, -time.Second} { // another manager's clock is behind
		result := act(state.Stop, "bo", early)
		require.NoError(t, result.Err)
		require.Equal(t, state.CoolingDown{MinDelay: 2 * time.Second}, result.Value)
	}
	c, _ := f.container("c1")
	require.Equal(t, state.Start, c.Action)
	require.EqualValues(t, 1, c.Generation)
	require.Contains(t, f.log("c1"), "[2026-01-02 03:04:05 WARNING bo] (Task) Action not performed: stop. Cool-down is active (2s)")
	require.IsType(t, state.Container{}, act(state.Stop, "bo", 2*time.Second).Value)

	// What Kiosc does by itself holds nobody up.
	f.made("c2", nil)
	f.start("c2", "d2")
	c, _ = f.container("c2")
	f.must(&state.ActionWanted{Container: "c2", Generation: c.Generation, Seen: state.Running, Action: state.Stop, Why: "Unused.", At: t0.Add(time.Hour)})
	f.done("c2", state.Exited)
	require.IsType(t, state.Container{}, f.must(&state.ActionRequested{Container: "c2", Action: state.Start, User: "ana", Time: t0.Add(time.Hour), MinDelay: time.Minute}))
}

func TestTheLeaderWantsAnActionOnlyOfWhatItHasSeen(t *testing.T) {
	f := newFixture(t)
	f.made("c1", func(c *state.Container) { c.MaxRetries = 2 })
	f.start("c1", "d1")
	retry := func(generation uint64, seen state.State, a state.Action) bool {
		return f.must(&state.ActionWanted{Container: "c1", Generation: generation, Seen: seen, Action: a, Retry: true, Why: "Again.", At: t0}).(bool)
	}
	require.False(t, retry(1, state.Running, state.Start), "not allowed in this state")
	require.False(t, retry(1, state.Exited, state.Start), "it isn't as it was seen")
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", DockerID: "d1", State: state.Exited, StartedAt: t0, Time: t0.Add(time.Minute)})
	require.False(t, retry(0, state.Exited, state.Start), "somebody has acted")
	require.True(t, retry(1, state.Exited, state.Start))
	require.False(t, retry(2, state.Exited, state.Start), "it is under way")
	f.done("c1", state.Failed)
	require.True(t, retry(2, state.Failed, state.Start))
	f.done("c1", state.Failed)
	require.False(t, retry(3, state.Failed, state.Start), "twice was the most")
	c, _ := f.container("c1")
	require.Equal(t, 2, c.Retries)
	require.Contains(t, f.log("c1"), "[2026-01-02 03:04:05 WARNING anonymous] (Task) Again.")

	f.must(&state.RetriesForgiven{Container: "c1", Generation: 1})
	c, _ = f.container("c1")
	require.Equal(t, 2, c.Retries, "of a generation that is past")
	f.must(&state.RetriesForgiven{Container: "c1", Generation: 3})
	c, _ = f.container("c1")
	require.Zero(t, c.Retries)

	require.True(t, retry(3, state.Failed, state.Start))
	f.done("c1", state.Failed)
	require.NoError(t, f.act("c1", state.Restart).Err)
	c, _ = f.container("c1")
	require.Zero(t, c.Retries, "a user's action begins anew")
	f.done("c1", state.Failed)
	require.True(t, retry(c.Generation, state.Failed, state.Start))
	c, _ = f.container("c1")
	require.Equal(t, state.Restart, c.Action, "people see what they have asked for")

	f.must(&state.QuotaSet{Project: "p1", Quota: state.Quota{Running: count(0)}})
	f.done("c1", state.Failed)
	f.refused(state.Conflict, &state.ActionWanted{Container: "c1", Generation: c.Generation, Seen: state.Failed, Action: state.Start, Retry: true, At: t0})
}

func TestAStateThatDiffersFromTheLastAction(t *testing.T) {
	for _, c := range []struct {
		action state.Action
		state  state.State
		want   bool
	}{
		{"", state.Initial, false}, {state.Start, state.Running, false}, {state.Start, state.Restarting, false},
		{state.Start, state.Exited, true}, {state.Restart, state.Failed, true}, {state.Unpause, state.Paused, true},
		{state.Stop, state.Exited, false}, {state.Stop, state.Initial, false}, {state.Stop, state.Failed, false},
		{state.Stop, state.Running, true}, {state.Stop, state.Paused, true},
		{state.Pause, state.Paused, false}, {state.Pause, state.Running, true}, {state.Delete, state.Failed, true},
	} {
		one := state.Container{Action: c.action, State: c.state}
		require.Equal(t, c.want, one.Differs(), "%s after %s", c.state, c.action)
		one.Generation = 1
		require.False(t, one.Differs(), "it is under way")
	}
}

func TestSinceWhenAContainerRuns(t *testing.T) {
	f := newFixture(t)
	f.made("c1", nil)
	f.start("c1", "d1")
	observe := func(s state.State, began time.Duration, silent bool) state.Container {
		f.must(&state.ContainerReported{Container: "c1", Node: "n1", DockerID: "d1", State: s, Began: t0.Add(began), Silent: silent,
			IP: began.String(), StartedAt: t0, Time: t0.Add(time.Hour)})
		c, _ := f.container("c1")
		return c
	}
	require.Equal(t, t0.Add(time.Minute), observe(state.Running, time.Minute, true).RunningSince)
	c, _ := f.container("c1")
	require.Equal(t, "running (not answering)", c.Shown())
	require.Equal(t, state.Running, c.State)
	c = observe(state.Paused, 2*time.Minute, true)
	require.Equal(t, "paused", c.Shown())
	require.Equal(t, t0.Add(time.Minute), c.RunningSince)
	c = observe(state.Running, 3*time.Minute, false)
	require.Equal(t, t0.Add(time.Minute), c.RunningSince, "a pause interrupts nothing")
	require.Equal(t, "running", c.Shown())
	require.Zero(t, observe(state.Exited, 0, false).RunningSince)
	require.Equal(t, t0.Add(5*time.Minute), observe(state.Running, 5*time.Minute, false).RunningSince)
}

func TestRetriesAreGivenUpOnce(t *testing.T) {
	f := newFixture(t)
	f.made("c1", func(c *state.Container) { c.MaxRetries = 1 })
	f.start("c1", "d1")
	give := func(generation uint64) bool {
		return f.must(&state.RetriesGivenUp{Container: "c1", Generation: generation, At: t0}).(bool)
	}
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", DockerID: "d1", State: state.Exited, StartedAt: t0, Time: t0.Add(time.Minute)})
	require.False(t, give(1), "there is a retry left")
	require.Equal(t, true, f.must(&state.ActionWanted{Container: "c1", Generation: 1, Seen: state.Exited, Action: state.Start, Retry: true, At: t0}))
	require.False(t, give(2), "it is under way")
	f.done("c1", state.Failed)
	require.False(t, give(1), "somebody has acted")
	require.True(t, give(2))
	require.False(t, give(2))
	require.Contains(t, f.log("c1"), "[2026-01-02 03:04:05 ERROR anonymous] (Task) Given up after 1 of 1 retries. Start the container to have it tried again.")
}

func TestAnOrphanIsNotedOnce(t *testing.T) {
	f := newFixture(t)
	f.node("n2", "host2")
	note := func(docker string, gone bool) bool {
		return f.must(&state.OrphanNoted{Orphan: state.Orphan{Node: "n2", DockerID: docker, Container: "c1"}, Gone: gone}).(bool)
	}
	require.False(t, note("d1", true), "it was never seen")
	require.True(t, note("d1", false))
	require.False(t, note("d1", false))
	require.True(t, note("d1", true))
	require.False(t, note("d1", true))
	require.True(t, note("d2", false))
	f.must(&state.NodeRemoved{Node: "n2", At: t0})
	require.False(t, note("d2", true), "it went with the node")
	require.False(t, note("d3", false), "the node is removed")
}
