package agent

import (
	"fmt"
	"time"

	"kiosc/cluster/wire"
)

// throttle lets lines through as long as there is room, and leaves out those beyond. As soon as there is room again, or
// the log ends, one line says how many were left out. That line carries the place behind them, so it is stored once and
// never lost: until it is, the next reader begins before the lines that it counts.
type throttle struct {
	put  func(entry) error
	room int // bytes that may be let through now
	at   time.Time

	left  int         // lines left out since the last that was let through
	last  int64       // time of the newest of them
	after wire.Cursor // behind them
}

// resumeRoom is how much room must have come back before lines are let through again, so that a lasting flood gives
// stretches of lines and not a count between every two.
const resumeRoom = floodRate

func (t *throttle) take(line wire.LogLine, after wire.Cursor) error {
	now := time.Now()
	t.room = min(floodBurst, t.room+int(now.Sub(t.at).Seconds()*floodRate))
	t.at = now
	if t.left > 0 && t.room < resumeRoom || t.room < len(line.Text) {
		t.left++
		t.last, t.after = line.Time, after
		return nil
	}
	if err := t.finish(); err != nil {
		return err
	}
	t.room -= len(line.Text)
	return t.put(entry{line: line, after: after})
}

// finish says how many lines were left out, if any were.
func (t *throttle) finish() error {
	if t.left == 0 {
		return nil
	}
	left, lines := t.left, "lines were"
	if left == 1 {
		lines = "line was"
	}
	text := fmt.Sprintf("%d %s left out here because the container writes more than %d MiB each second.", left, lines, floodRate>>20)
	t.left = 0
	return t.put(entry{line: wire.LogLine{Time: t.last, Text: text}, after: t.after, left: left})
}
