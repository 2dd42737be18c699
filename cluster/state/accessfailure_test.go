package state_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

// proxyLines are what a container's log has of its proxy.
func (f *fixture) proxyLines(id string) (lines []string) {
	f.Helper()
	for _, line := range f.log(id) {
		if _, text, ok := strings.Cut(line, "["+t0.Format(time.DateOnly)+" "); ok && strings.Contains(text, "(Proxy)") {
			lines = append(lines, text)
		}
	}
	return lines
}

func TestAFailedAccessIsNotedOnceAVisitorAndMinute(t *testing.T) {
	f := newFixture(t)
	f.placed("c1", nil)
	f.placed("c10", nil)
	fail := func(user string, reason state.AccessFailure, cause string, from, to time.Duration) {
		f.must(&state.AccessesFailed{Failures: []state.FailedAccess{{Container: "c1", User: user, Reason: reason, Cause: cause,
			First: t0.Add(from), Last: t0.Add(to)}}})
	}
	line := func(at time.Duration, level, user, text string) string {
		return t0.Add(at).Format(time.TimeOnly) + " " + level + " " + user + "] (Proxy) " + text
	}
	const refused = "Access to the app failed: nothing listens on port 80 in the container."
	want := []string{line(0, "ERROR", "ana", refused)}
	fail("ana", state.AppRefused, "", 0, 10*time.Second)
	fail("ana", state.AppRefused, "", time.Second, 5*time.Second) // another manager's, told late
	fail("ana", state.AppRefused, "", 70*time.Second, 5*time.Minute)
	require.Equal(t, want, f.proxyLines("c1"), "a minute without is no pause yet")

	fail("ben", state.AppRefused, "", 5*time.Minute, 5*time.Minute)
	fail("ana", state.AppRefused, "", 6*time.Minute+time.Second, 6*time.Minute+time.Second)
	want = append(want, line(5*time.Minute, "ERROR", "ben", refused), line(6*time.Minute+time.Second, "ERROR", "ana", refused))
	require.Equal(t, want, f.proxyLines("c1"))

	fail("ana", state.AppRefused, "", 7*time.Minute, 66*time.Minute)
	require.Equal(t, want, f.proxyLines("c1"))
	fail("ana", state.AppRefused, "", 66*time.Minute+time.Second, 67*time.Minute)
	fail("ana", state.AppRefused, "", 67*time.Minute+time.Second, 70*time.Minute)
	want = append(want, line(67*time.Minute, "ERROR", "ana", refused))
	require.Equal(t, want, f.proxyLines("c1"), "once an hour while it goes on")
	require.True(t, f.lastAccess("c1").IsZero(), "who gets no answer doesn't use the app")

	for reason, text := range map[state.AccessFailure]string{
		state.AppLate:         ": there was no answer in time.",
		state.AppNoAnswer:     ": it gave no proper answer in HTTP.",
		state.AppUnconnected:  ": its Docker host host1 could not connect to it.",
		state.HostUnreachable: ": its Docker host host1 can't be reached.",
		"of a later kiosc":    ".",
	} {
		fail("ana", reason, "EOF", 71*time.Minute, 71*time.Minute)
		want = append(want, line(71*time.Minute, "ERROR", "ana", "Access to the app failed"+text), line(71*time.Minute, "DEBUG", "ana", "EOF"))
	}
	require.ElementsMatch(t, want, f.proxyLines("c1"))
	require.Empty(t, f.proxyLines("c10"))

	f.must(&state.ActionRequested{Container: "c1", Action: state.Delete, User: "ana", Time: t0})
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", Generation: 2, Seq: 2, Done: true, State: state.Deleted, Time: t0})
	fail("ana", state.AppRefused, "", 71*time.Minute, 71*time.Minute)
	f.placed("c1", nil)
	fail("ana", state.AppRefused, "", 71*time.Minute, 71*time.Minute)
	require.Equal(t, []string{line(71*time.Minute, "ERROR", "ana", refused)}, f.proxyLines("c1"), "a container that is gone leaves nothing")
}

func TestFailedAccessesAreBounded(t *testing.T) {
	f := newFixture(t)
	f.refused(state.Invalid, &state.AccessesFailed{Failures: make([]state.FailedAccess, state.MaxAccesses+1)})
	long := state.FailedAccess{Container: "c1", User: "ana", Reason: state.AppLate, Cause: strings.Repeat("x", state.MaxFailureCause+1)}
	f.refused(state.Invalid, &state.AccessesFailed{Failures: []state.FailedAccess{long}})
	long.Cause = long.Cause[1:]
	f.must(&state.AccessesFailed{Failures: []state.FailedAccess{long}})
}
