package service

import (
	"slices"
	"strings"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// MaxShownLines is the most log lines that one page or request gets.
const (
	DefaultShownLines = 1000
	MaxShownLines     = 10000
)

const (
	// readLines is how many lines are looked at in one view of the state, which keeps old pages of its file alive.
	readLines = 20_000
)

// LogFilter chooses lines of a log. The zero value chooses all.
type LogFilter struct {
	// Text is contained in the line, whatever the case of the letters.
	Text string
	// Sources are the parts that wrote it; none for all.
	Sources []state.Process
	// Least is the least level.
	Least state.Level
}

// MaxLogText bounds LogFilter.Text, in bytes.
const MaxLogText = 1000

// LogSources and LogLevels are all that there are, the levels by weight.
var (
	LogSources = []state.Process{state.ProcessTask, state.ProcessDocker, state.ProcessAction, state.ProcessProxy, state.ProcessObject}
	LogLevels  = []state.Level{state.Debug, state.Info, state.Warning, state.Severe}
)

// Validate checks that the filter can be used.
func (f *LogFilter) Validate() error {
	if len(f.Text) > MaxLogText {
		return wrongField("text", "Ensure this field has no more than 1000 characters.")
	}
	for _, s := range f.Sources {
		if !slices.Contains(LogSources, s) {
			return wrongField("source", "A source is one of task, docker, action, proxy and object.")
		}
	}
	if f.Least != "" && !slices.Contains(LogLevels, f.Least) {
		return wrongField("level", "A level is one of debug, info, warning and error.")
	}
	return nil
}

// picker is a filter for an actor. What it returns is fit to be shown.
type picker struct {
	filter LogFilter
	text   string
	least  int
}

func pick(a Actor, f LogFilter) *picker {
	p := &picker{filter: f, text: strings.ToLower(f.Text), least: weight(f.Least)}
	if f.Least == "" {
		p.least = 0
	}
	if !a.User.Superuser {
		p.least = max(p.least, weight(state.Info))
	}
	return p
}

// weight takes a level that isn't known for info, as is one that isn't given.
func weight(l state.Level) int {
	if i := slices.Index(LogLevels, l); i >= 0 {
		return i
	}
	return slices.Index(LogLevels, state.Info)
}

// of keeps the lines that are wanted, in the same array.
func (p *picker) of(lines []state.LogEntry) []state.LogEntry {
	kept := lines[:0]
	for _, e := range lines {
		if e.Process == "" {
			e.Process = state.ProcessObject
		}
		if weight(e.Level) < p.least || len(p.filter.Sources) > 0 && !slices.Contains(p.filter.Sources, e.Process) {
			continue
		}
		e.Text = plain(e.Text)
		if p.text == "" || strings.Contains(strings.ToLower(e.Text), p.text) {
			kept = append(kept, e)
		}
	}
	return kept
}

// Logs returns the container's last n log lines that the filter chooses, in time order, and the place after which LogsSince
// goes on. n is at most MaxShownLines; very long lines are fewer.
func (s *Service) Logs(a Actor, id string, f LogFilter, n int) (lines []state.LogEntry, place uint64, err error) {
	if err := f.Validate(); err != nil {
		return nil, 0, err
	}
	n = min(max(n, 0), MaxShownLines)
	p := pick(a, f)
	err = s.viewLog(a, id, func(tx *state.Tx) error {
		lines, place, err = tx.LogTail(id, n)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	if p.everything() {
		return p.of(lines), place, nil
	}
	// The lines that are wanted may be anywhere, so the log is read from its end on. They are few enough to be held.
	select {
	case s.searches <- struct{}{}:
		defer func() { <-s.searches }()
	default:
		return nil, 0, errSearching
	}
	lines = nil
	size := 0
	for at, first := place, true; first || len(lines) < n && size < maxShownText; first = false {
		var part []state.LogEntry
		before := at
		err := s.viewLog(a, id, func(tx *state.Tx) (err error) {
			part, at, err = tx.LogBefore(id, before, readLines)
			return err
		})
		if err != nil {
			return nil, 0, err
		}
		if at == before {
			break
		}
		part = p.of(part)
		for i := range part {
			size += len(part[i].Text)
		}
		lines = append(slices.Clone(part), lines...)
	}
	state.SortLog(lines)
	return lines[max(0, len(lines)-n):], place, nil
}

// maxSearches bounds the searches of logs under way on this manager: one can take a second of a CPU.
const maxSearches = 4

var errSearching = state.Errorf(state.TooMany, "Several people search logs at the moment. Try again in a few seconds.")

// maxShownText ends a search, in bytes of text.
const maxShownText = 8 << 20

func (p *picker) everything() bool {
	return p.text == "" && len(p.filter.Sources) == 0 && p.least <= weight(state.Info)
}

// LogsSince returns what was stored after place and the filter chooses, in the order of storing, and the new place. more
// says that there is more to be read already; lines may be none all the same.
func (s *Service) LogsSince(a Actor, id string, f LogFilter, place uint64) (lines []state.LogEntry, next uint64, more bool, err error) {
	if err := f.Validate(); err != nil {
		return nil, 0, false, err
	}
	err = s.viewLog(a, id, func(tx *state.Tx) error {
		lines, next, more, err = tx.LogSince(id, place, MaxShownLines)
		return err
	})
	return pick(a, f).of(lines), next, more, err
}

func (s *Service) viewLog(a Actor, id string, f func(tx *state.Tx) error) error {
	return s.store.View(func(tx *state.Tx) error {
		if _, err := containerFor(tx, a, id, auth.ViewLogs); err != nil {
			return err
		}
		return f(tx)
	})
}
