package service

import (
	"container/heap"
	"encoding/json"
	"io"
	"time"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

const (
	// A download is brought in time order within a window of so many lines or so many bytes of text: what Docker wrote is
	// stored a little later than what Kiosc did at that time.
	mergeLines = 2000
	mergeBytes = 4 << 20
)

// WholeLog gives each line of the log that the filter chooses to f, in time order, up to what is there at the call. It
// holds a small part of the log at a time. An error of f ends it.
func (s *Service) WholeLog(a Actor, id string, filter LogFilter, f func(state.LogEntry) error) error {
	if err := filter.Validate(); err != nil {
		return err
	}
	p := pick(a, filter)
	var end uint64
	err := s.viewLog(a, id, func(tx *state.Tx) error {
		meta, err := tx.LogMeta(id)
		end = meta.Next
		return err
	})
	var window merge
	for place, more := uint64(0), true; more && err == nil; {
		var lines []state.LogEntry
		err = s.viewLog(a, id, func(tx *state.Tx) (err error) {
			lines, place, more, err = tx.LogSince(id, place, mergeLines)
			return err
		})
		more = more && place < end
		for _, e := range p.of(lines) {
			if err == nil {
				err = window.add(e, f)
			}
		}
	}
	if err != nil {
		return err
	}
	return window.flush(f)
}

// merge is a window in which lines are brought in time order.
type merge struct {
	lines []merged
	seq   int
	size  int
}

type merged struct {
	state.LogEntry
	seq int // lines of one time stay in the order of storing
}

func (m *merge) Len() int      { return len(m.lines) }
func (m *merge) Swap(i, j int) { m.lines[i], m.lines[j] = m.lines[j], m.lines[i] }
func (m *merge) Less(i, j int) bool {
	if c := m.lines[i].Time.Compare(m.lines[j].Time); c != 0 {
		return c < 0
	}
	return m.lines[i].seq < m.lines[j].seq
}
func (m *merge) Push(x any) { m.lines = append(m.lines, x.(merged)) }
func (m *merge) Pop() any {
	last := m.lines[len(m.lines)-1]
	m.lines = m.lines[:len(m.lines)-1]
	return last
}

func (m *merge) add(e state.LogEntry, f func(state.LogEntry) error) error {
	m.seq++
	m.size += len(e.Text)
	heap.Push(m, merged{e, m.seq})
	for len(m.lines) > mergeLines || m.size > mergeBytes {
		if err := m.next(f); err != nil {
			return err
		}
	}
	return nil
}

func (m *merge) next(f func(state.LogEntry) error) error {
	e := heap.Pop(m).(merged).LogEntry
	m.size -= len(e.Text)
	return f(e)
}

func (m *merge) flush(f func(state.LogEntry) error) error {
	for len(m.lines) > 0 {
		if err := m.next(f); err != nil {
			return err
		}
	}
	return nil
}

// logLine is a line of a log as programs read it.
type logLine struct {
	Time   time.Time     `json:"time"`
	Level  state.Level   `json:"level"`
	User   string        `json:"user"` // empty for nobody
	Source state.Process `json:"source"`
	Text   string        `json:"text"`
}

// WriteLog writes the lines that the filter chooses, as people know them or as one JSON object each, and ends with the first
// error of w. A log that can't be read to its end says so with its last line.
func (s *Service) WriteLog(w io.Writer, a Actor, id string, filter LogFilter, asJSON bool, zone *time.Location) error {
	if _, err := s.container(a, id, auth.ViewLogs); err != nil {
		return err
	}
	to := json.NewEncoder(w)
	to.SetEscapeHTML(false)
	var failed error
	err := s.WholeLog(a, id, filter, func(e state.LogEntry) error {
		if asJSON {
			if e.Level == "" {
				e.Level = state.Info
			}
			failed = to.Encode(logLine{e.Time.UTC(), e.Level, e.User, e.Process, e.Text})
		} else {
			_, failed = io.WriteString(w, e.Format(zone)+"\n")
		}
		return failed
	})
	if err == nil || failed != nil {
		return err
	}
	s.logger.Warn("a download of a log broke off", "container", id, "error", err)
	const text = "The rest of the log can't be read."
	if asJSON {
		return to.Encode(map[string]string{"error": text})
	}
	_, err = io.WriteString(w, text+"\n")
	return err
}
