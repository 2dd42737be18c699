package state_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

// writes has the Docker container d1 of c1 write lines that end with a time, after what it wrote before.
func (f *fixture) writes(from, to int64, leftOut uint64, texts ...string) {
	f.Helper()
	entries := make([]state.LogEntry, len(texts))
	for i, text := range texts {
		entries[i] = state.LogEntry{Time: t0.Add(time.Duration(to)), Process: state.ProcessDocker, Text: text}
	}
	chunk, err := state.PackLog(entries)
	require.NoError(f, err)
	at := func(n int64) (c state.Cursor) {
		if n > 0 {
			c.Stdout = state.Place{Time: n, Count: 1}
		}
		return c
	}
	require.True(f, f.must(&state.LogAppended{Container: "c1", Node: "n1", DockerID: "d1", From: at(from), To: at(to), Chunk: chunk,
		LeftOut: leftOut}).(state.LogOutcome).Stored)
}

func (f *fixture) logMeta(id string) (m state.LogMeta) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) (err error) {
		m, err = tx.LogMeta(id)
		return err
	}))
	return m
}

func TestLogLimitsAreSet(t *testing.T) {
	f := newFixture(t)
	limits := func() (l state.LogLimits) {
		require.NoError(t, f.store.View(func(tx *state.Tx) (err error) {
			l, err = tx.LogLimits()
			return err
		}))
		return l
	}
	require.Equal(t, state.DefaultLogLimits, limits())
	for _, bad := range []state.LogLimits{{}, {Lines: 99, Bytes: 1 << 20}, {Lines: 100, Bytes: 1<<20 - 1}, {Lines: 10_000_001, Bytes: 1 << 20},
		{Lines: 100, Bytes: 1<<30 + 1}} {
		f.refused(state.Invalid, &state.LogLimitsSet{Limits: bad})
	}
	f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
	f.start("c1", "d1")
	before := f.logMeta("c1").Lines
	for i := range 300 {
		f.writes(int64(i), int64(i+1), 0, fmt.Sprint(i))
	}
	require.Equal(t, before+300, f.logMeta("c1").Lines)
	low := state.LogLimits{Lines: 100, Bytes: 1 << 20}
	f.must(&state.LogLimitsSet{Limits: low})
	require.Equal(t, low, limits())
	require.Equal(t, before+300, f.logMeta("c1").Lines, "a log is cut with its next lines")
	f.writes(300, 301, 0, "last")
	require.Equal(t, 100, f.logMeta("c1").Lines)
	lines := f.log("c1")
	require.Len(t, lines, 100)
	require.True(t, strings.HasSuffix(lines[99], "(Docker) last"))
}

func TestLinesThatWereLeftOutAreCounted(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
	f.start("c1", "d1")
	f.writes(0, 1, 0, "one")
	f.writes(1, 2, 7, "7 lines were left out")
	f.writes(2, 3, 5, "5 lines were left out")
	require.EqualValues(t, 12, f.logMeta("c1").LeftOut)
}

func TestALogIsReadInParts(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
	f.start("c1", "d1")
	long := strings.Repeat("x", 128<<10)
	const n = 200 // 25 MiB
	for i := range n {
		f.writes(int64(i), int64(i+1), 0, long)
	}
	total := f.logMeta("c1").Lines
	require.NoError(t, f.store.View(func(tx *state.Tx) error {
		tail, end, err := tx.LogTail("c1", 1<<20)
		require.NoError(t, err)
		require.Less(t, len(tail), 100, "long lines come in small parts")
		require.Greater(t, len(tail), 50)

		seen := 0
		for place, more := uint64(0), true; more; {
			var lines []state.LogEntry
			lines, place, more, err = tx.LogSince("c1", place, 1<<20)
			require.NoError(t, err)
			require.Less(t, len(lines), 100)
			seen += len(lines)
		}
		require.Equal(t, total, seen)

		seen = 0
		for place := end; ; {
			lines, first, err := tx.LogBefore("c1", place, 10)
			require.NoError(t, err)
			if first == place {
				break
			}
			seen += len(lines)
			place = first
		}
		require.Equal(t, total, seen)
		return nil
	}))
}
