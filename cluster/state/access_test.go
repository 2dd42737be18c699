package state_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

func (f *fixture) lastAccess(container string) (at time.Time) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) (err error) {
		at, err = tx.LastAccess(container)
		return err
	}))
	return at
}

func TestAccessIsNotedOnceAVisit(t *testing.T) {
	f := newFixture(t)
	f.placed("c1", nil)
	f.placed("c10", nil)
	use := func(container, user string, from, to time.Duration) {
		f.must(&state.AppsAccessed{Accesses: []state.Access{{Container: container, User: user, First: t0.Add(from), Last: t0.Add(to)}}})
	}
	last := f.lastAccess
	visits := func() (lines []string) {
		for _, line := range f.log("c1") {
			if strings.Contains(line, "(Proxy)") {
				lines = append(lines, line)
			}
		}
		return lines
	}
	require.True(t, last("c1").IsZero())
	use("c1", "ana", 0, time.Minute)
	use("c1", "ana", 2*time.Minute, 5*time.Minute) // a minute without any isn't a pause yet
	use("c1", "ben", 3*time.Minute, 3*time.Minute)
	use("c10", "ana", time.Hour, time.Hour)
	require.Equal(t, t0.Add(5*time.Minute), last("c1"), "of all users, and of no other container")
	use("c1", "ana", time.Minute, 4*time.Minute) // another manager's, told late
	require.Equal(t, t0.Add(5*time.Minute), last("c1"))
	require.Len(t, visits(), 2, "one visit of each")
	use("c1", "ana", 5*time.Minute+61*time.Second, 40*time.Minute)
	require.Equal(t, t0.Add(40*time.Minute), last("c1"))
	visit := func(at time.Duration, user string) string {
		return "[" + t0.Add(at).Format(time.DateTime) + " INFO " + user + "] (Proxy) Accessing the app"
	}
	require.Equal(t, []string{visit(0, "ana"), visit(3*time.Minute, "ben"), visit(5*time.Minute+61*time.Second, "ana")}, visits())

	f.must(&state.ActionRequested{Container: "c1", Action: state.Delete, User: "ana", Time: t0})
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", Generation: 2, Seq: 2, Done: true, State: state.Deleted, Time: t0})
	use("c1", "ana", time.Hour, time.Hour)
	require.True(t, last("c1").IsZero(), "a container that is gone leaves nothing")
	require.False(t, last("c10").IsZero())
	f.refused(state.Invalid, &state.AppsAccessed{Accesses: make([]state.Access, state.MaxAccesses+1)})
}
