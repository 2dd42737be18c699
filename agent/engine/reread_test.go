package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/wire"
)

// TestAFileThatDockerBeginsAgain has Docker read a file twice, as it does where a flood makes it change files while it is
// behind, and the clock set back by an hour.
func TestAFileThatDockerBeginsAgain(t *testing.T) {
	var in bytes.Buffer
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	line := func(at time.Time, text string) {
		frame := fmt.Sprintf("%s %s\n", at.Format(time.RFC3339Nano), text)
		head := [frameHead]byte{0: 1}
		binary.BigEndian.PutUint32(head[4:], uint32(len(frame)))
		in.Write(head[:])
		in.WriteString(frame)
	}
	file := func(until int) {
		for i := range until {
			line(now.Add(time.Duration(i/2)*time.Millisecond), fmt.Sprint(i)) // two of each time
		}
	}
	file(101) // the last time has come once
	file(200)
	line(now.Add(-time.Hour), "200")
	var got []string
	r := &logReader{maxLine: wire.ShortLine, f: func(l wire.LogLine, _ wire.Cursor) error { got = append(got, l.Text); return nil }}
	require.NoError(t, r.readAll(&in))
	require.Len(t, got, 201)
	for i, text := range got {
		require.Equal(t, fmt.Sprint(i), text)
	}
}
