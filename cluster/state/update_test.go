package state_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

// update gives a container of the fixture another tag, as somebody who saw it as it is.
func (f *fixture) update(id, tag string) *state.ContainerUpdated {
	f.Helper()
	c, ok := f.container(id)
	require.True(f, ok)
	spec := c.Spec
	spec.Tag = tag
	return &state.ContainerUpdated{Container: id, Spec: spec, Seen: c.ModifiedAt, User: "ana", Time: t0.Add(time.Minute)}
}

func TestUpdateOfAStoppedContainerChangesItOnly(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
	got := f.must(f.update("c1", "2")).(state.Container)
	require.False(t, got.Pending())
	require.Equal(t, "nginx:2", got.Image())
	require.Equal(t, t0.Add(time.Minute), got.ModifiedAt)
	require.Contains(t, f.log("c1"), "[2026-01-02 03:05:05 INFO ana] (Object) Updated")
}

func TestUpdateRestartsWhatRuns(t *testing.T) {
	for what, to := range map[string]func(f *fixture){
		"running": func(f *fixture) {},
		"paused": func(f *fixture) {
			f.must(&state.ActionRequested{Container: "c1", Action: state.Pause, Time: t0})
			c, _ := f.container("c1")
			f.must(&state.ContainerReported{Container: "c1", Node: "n1", Generation: c.Generation, Seq: 9, Done: true, State: state.Paused, DockerID: "d1", Time: t0})
		},
		"starting": func(f *fixture) { f.must(&state.ActionRequested{Container: "c1", Action: state.Restart, Time: t0}) },
	} {
		f := newFixture(t)
		f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
		f.start("c1", "d1")
		to(f)
		before, _ := f.container("c1")
		got := f.must(f.update("c1", "2")).(state.Container)
		require.Equal(t, state.Restart, got.Action, what)
		require.Equal(t, before.Generation+1, got.Generation, what)
		require.True(t, got.Pending(), what)
		lines := f.log("c1")
		require.Equal(t, []string{"[2026-01-02 03:05:05 INFO ana] (Object) Updated", "[2026-01-02 03:05:05 INFO ana] (Action) Restart"},
			lines[len(lines)-2:], what)
		require.NoError(t, f.store.View(func(tx *state.Tx) error {
			pending, err := tx.Pending()
			require.Len(t, pending, 1, what)
			return err
		}))
	}
}

func TestUpdateOfAnOldVersionIsRefused(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
	first, second := f.update("c1", "2"), f.update("c1", "3")
	f.must(first)
	f.refused(state.Conflict, second)
	c, _ := f.container("c1")
	require.Equal(t, "2", c.Tag)
	// Also where the clock of the second manager doesn't go on.
	first = f.update("c1", "4")
	f.must(first)
	f.refused(state.Conflict, first)
}

func TestUpdateKeepsTitlesUnique(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
	f.must(&state.ContainerCreated{Container: container("c2"), User: "ana"})
	taken := f.update("c2", "1")
	taken.Spec.Title = "App c1"
	f.refused(state.Invalid, taken)
	moved := f.update("c1", "1")
	moved.Spec.Title = "Other"
	f.must(moved)
	f.must(f.update("c1", "2")) // its own title is not another's
	f.must(taken)
	f.refused(state.Invalid, &state.ContainerCreated{Container: container("c1")}) // App c1 is the title of c2
	require.NoError(t, f.store.View(func(tx *state.Tx) error {
		list, err := tx.ContainersOf("p1")
		require.Len(t, list, 2)
		return err
	}))
}

func TestUpdateOfABadOrGoingContainerIsRefused(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
	f.start("c1", "d1")
	bad := f.update("c1", "2")
	bad.Spec.Port = 0
	f.refused(state.Invalid, bad)
	good := f.update("c1", "2")
	f.must(&state.ActionRequested{Container: "c1", Action: state.Delete, Time: t0})
	f.refused(state.Conflict, good)
	good.Container = "none"
	f.refused(state.NotFound, good)
}

func TestUpdateKeepsToQuotas(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
	f.start("c1", "d1")
	one := int64(1000)
	f.must(&state.QuotaSet{Project: "p1", Quota: state.Quota{MilliCPUs: &one}})
	more := f.update("c1", "2")
	more.Spec.LimitMilliCPUs = 2000
	f.refused(state.Conflict, more)
	more.Spec.LimitMilliCPUs = 1000
	f.must(more)
}
