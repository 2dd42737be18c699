package state

import "fmt"

// LogLimits bound the log of each container, which keeps its newest lines. They are part of the state, because every node
// must cut a log at the same place.
type LogLimits struct {
	Lines int
	Bytes int // as stored, that is compressed
}

// DefaultLogLimits hold until others are set.
var DefaultLogLimits = LogLimits{Lines: 500_000, Bytes: 64 << 20}

// What the limits may be. Below the least a log would end in the middle of a start; with the most, ten thousand containers
// fill a disk.
const (
	MinLogLines = 100
	MaxLogLines = 10_000_000
	MinLogBytes = 1 << 20
	MaxLogBytes = 1 << 30
)

// maxTrim is how many chunks one command removes at most, so that lower limits don't hold up all nodes: a log comes down to
// them with its next lines. It is as many as one batch of lines can push out.
const maxTrim = 10_000

// Validate checks that the limits may be set.
func (l LogLimits) Validate() error {
	switch {
	case l.Lines < MinLogLines || l.Lines > MaxLogLines:
		return Errorf(Invalid, fmt.Sprintf("A container's log can keep %d to %d lines, not %d.", MinLogLines, MaxLogLines, l.Lines))
	case l.Bytes < MinLogBytes || l.Bytes > MaxLogBytes:
		return Errorf(Invalid, fmt.Sprintf("A container's log can keep %d to %d bytes, not %d.", MinLogBytes, MaxLogBytes, l.Bytes))
	}
	return nil
}

func (l LogLimits) exceeded(m *LogMeta) bool { return m.Lines > l.Lines || m.Bytes > l.Bytes }

// LogLimitsSet sets the limits of all logs.
type LogLimitsSet struct {
	Limits LogLimits
}

func (c *LogLimitsSet) apply(tx *Tx) (any, error) {
	if err := c.Limits.Validate(); err != nil {
		return nil, err
	}
	return nil, tx.put(bucketMeta, metaLogLimits, c.Limits)
}

// LogLimits returns the limits of all logs.
func (tx *Tx) LogLimits() (LogLimits, error) {
	limits, ok, err := get[LogLimits](tx, bucketMeta, metaLogLimits)
	if !ok {
		limits = DefaultLogLimits
	}
	return limits, err
}
