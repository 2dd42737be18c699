package auth_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/manager/auth"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// tries counts the attempts that are let through.
func tries(a *auth.Attempts, n int, account func(int) string, address string, at time.Time) (through int) {
	for i := range n {
		if a.Begin(account(i), address, at) == 0 {
			through++
		}
	}
	return through
}

func always(name string) func(int) string { return func(int) string { return name } }

func TestGuessingIsSlow(t *testing.T) {
	var a auth.Attempts
	require.Equal(t, 5, tries(&a, 1000, always("ana"), "10.0.0.1", t0))
	require.Equal(t, 10*time.Second, a.Begin("ANA", "10.0.0.1", t0), "names differ in more than their case")
	require.Zero(t, a.Begin("ana", "10.0.0.2", t0), "the owner is elsewhere, and isn't kept out")
	require.Zero(t, a.Begin("ben", "10.0.0.1", t0), "nor are others at that address")
	require.Equal(t, 1, tries(&a, 10, always("ana"), "10.0.0.1", t0.Add(10*time.Second)))
	require.Equal(t, 5, tries(&a, 10, always("ana"), "10.0.0.1", t0.Add(time.Hour)), "no more gather than at first")
}

func TestGuessingOfNamesIsSlow(t *testing.T) {
	var a auth.Attempts
	names := func(i int) string { return fmt.Sprint("user", i) }
	require.Equal(t, 100, tries(&a, 1000, names, "10.0.0.1", t0))
	require.Equal(t, 100, tries(&a, 1000, names, "10.0.0.2", t0))
	require.Equal(t, 6, tries(&a, 1000, names, "10.0.0.1", t0.Add(6*time.Second)))
}

func TestGuessingFromManyAddresses(t *testing.T) {
	var a auth.Attempts
	through := 0
	for i := range 1000 {
		through += tries(&a, 10, always("ana"), fmt.Sprint("10.0.0.", i), t0)
	}
	require.Equal(t, 100, through)
}

func TestRightPasswordsCostNothing(t *testing.T) {
	var a auth.Attempts
	for range 1000 {
		require.Zero(t, a.Begin("ana", "10.0.0.1", t0))
		a.Right("ana", "10.0.0.1", t0)
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	var a auth.Attempts
	waits := 0
	for i := range 60_000 {
		if a.Begin(fmt.Sprint("u", i), fmt.Sprint("10.0.0.", i), t0) > 0 {
			waits++
		}
	}
	require.Positive(t, waits)
	require.Zero(t, a.Begin("ana", "10.0.0.1", t0.Add(time.Hour)), "what has passed is forgotten")
}
