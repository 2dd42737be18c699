package agent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/wire"
)

func TestAFloodIsCountedAndNotLost(t *testing.T) {
	var got []entry
	room := throttle{put: func(e entry) error { got = append(got, e); return nil }, room: floodBurst, at: time.Now()}
	line := strings.Repeat("x", 1023)
	const all = 40 << 10 // lines of 1 KiB, more than twice the burst
	at := func(i int) wire.Cursor { return wire.Cursor{Stdout: wire.Place{Time: int64(i), Count: 1}} }
	for i := 1; i <= all; i++ {
		require.NoError(t, room.take(wire.LogLine{Time: int64(i), Text: line}, at(i)))
	}
	require.NoError(t, room.finish())
	through, counted := 0, 0
	for _, e := range got {
		var n int
		if _, err := fmt.Sscanf(e.line.Text, "%d lines were left out", &n); err == nil {
			require.Equal(t, n, e.left)
			counted += n
			continue
		}
		through++
	}
	require.Equal(t, all, through+counted, "each line is there or counted")
	require.GreaterOrEqual(t, through, floodBurst/1024)
	require.Less(t, through, all)
	require.Equal(t, at(all), got[len(got)-1].after, "the place is behind what was left out")
	for i := 1; i < len(got); i++ {
		require.Greater(t, got[i].after.Stdout.Time, got[i-1].after.Stdout.Time, "in order")
	}
}

func TestLinesComeBackAfterAFlood(t *testing.T) {
	var got []string
	room := throttle{put: func(e entry) error { got = append(got, e.line.Text); return nil }, at: time.Now()}
	require.NoError(t, room.take(wire.LogLine{Text: "too much"}, wire.Cursor{}))
	require.Empty(t, got)
	room.at = room.at.Add(-2 * time.Second) // as if so much time had passed
	require.NoError(t, room.take(wire.LogLine{Text: "again"}, wire.Cursor{}))
	require.Equal(t, []string{"1 line was left out here because the container writes more than 1 MiB each second.", "again"}, got)
}
