// Package access remembers who uses which app through this manager, and whom apps don't answer, and tells the state once in a
// while.
//
// It owns the bounded memory in which accesses and failures wait. It never decides who may use an app, and never holds up a
// request: Note and Failed touch memory only.
//
// What must always hold: a visit is told within seconds of its first request, one that lasts every few minutes, and
// what can't be told, because there is no leader, waits for the next attempt. The same holds for failures.
package access

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"kiosc/cluster/state"
)

const (
	// tellEvery is how soon the state hears of a new visit.
	tellEvery = 5 * time.Second
	// repeatAfter is how much later it hears that a visit goes on. Inactivity is counted in days.
	repeatAfter = 5 * time.Minute
	// forgetAfter is when a visit that has ended is forgotten.
	forgetAfter = 10 * time.Minute
	// tellTimeout bounds one attempt, and so the wait for it when the manager ends.
	tellTimeout = 5 * time.Second
	// maxVisits bounds what is remembered, about 200 bytes each.
	maxVisits = 50_000
)

// Proposer makes a command part of the state.
type Proposer interface {
	Propose(ctx context.Context, c state.Command) (any, error)
}

// Book is what this manager knows of accesses. Its methods may be called by many goroutines at once.
type Book struct {
	node   Proposer
	logger *slog.Logger

	mu      sync.Mutex
	visits  map[who]*visit
	dropped int // accesses that found no room

	failures map[failing]*failure
	unnoted  int // failures that found no room
}

type who struct{ container, user string }

// visit is the requests of one user to one app. Times are zero where there is nothing.
type visit struct {
	first time.Time // of those that weren't told yet
	last  time.Time
	told  time.Time // last, as the state knows it
}

func (v *visit) note(at time.Time) {
	if v.first.IsZero() {
		v.first = at
	}
	v.last = at
}

// isDue tells whether the state has to hear of the visit: of what is new, and of what goes on for longer than repeat since it
// was told.
func (v *visit) isDue(repeat time.Duration) bool {
	return !v.first.IsZero() && (v.told.IsZero() || v.last.Sub(v.told) >= repeat || time.Since(v.told) >= repeat)
}

// isOver tells whether the visit has ended and the state knows all of it.
func (v *visit) isOver() bool { return v.first.IsZero() && time.Since(v.last) >= forgetAfter }

// settle notes that the state knows the visit up to a time.
func (v *visit) settle(told time.Time) {
	v.told, v.first = told, time.Time{}
	if v.last.After(told) {
		v.first = v.last
	}
}

// NewBook makes a Book that tells node.
func NewBook(node Proposer, logger *slog.Logger) *Book {
	return &Book{node: node, logger: logger, visits: make(map[who]*visit), failures: make(map[failing]*failure)}
}

// Note says that a user uses an app now.
func (b *Book) Note(container, user string) {
	at := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.visits[who{container, user}]
	if v == nil {
		if len(b.visits) >= maxVisits {
			b.dropped++
			return
		}
		v = &visit{}
		b.visits[who{container, user}] = v
	}
	v.note(at)
}

// Run tells the state what was noted until ctx ends, and then the rest.
func (b *Book) Run(ctx context.Context) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.tell(ctx, repeatAfter)
		case <-ctx.Done():
			b.tell(context.WithoutCancel(ctx), 0)
			return nil
		}
	}
}

// tell proposes what is new, and what goes on for longer than repeat since it was told.
func (b *Book) tell(ctx context.Context, repeat time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	for batch := range slices.Chunk(b.due(repeat), state.MaxAccesses) {
		if _, err := b.node.Propose(ctx, &state.AppsAccessed{Accesses: batch}); err != nil {
			b.logger.Debug("accesses wait, because the state could not be told", "visits", len(batch), "error", err)
			return
		}
		b.settle(batch)
	}
	for batch := range slices.Chunk(b.dueFailures(repeat), state.MaxAccesses) {
		if _, err := b.node.Propose(ctx, &state.AccessesFailed{Failures: batch}); err != nil {
			b.logger.Debug("failed accesses wait, because the state could not be told", "failures", len(batch), "error", err)
			return
		}
		b.settleFailures(batch)
	}
}

// due lists what the state has to hear of, in order, and forgets the visits that have ended.
func (b *Book) due(repeat time.Duration) (list []state.Access) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w, v := range b.visits {
		switch {
		case v.isDue(repeat):
			list = append(list, state.Access{Container: w.container, User: w.user, First: v.first.UTC().Round(0), Last: v.last.UTC().Round(0)})
		case v.isOver():
			delete(b.visits, w)
		}
	}
	if b.dropped > 0 {
		b.logger.Warn("too many users at once: accesses were not noted", "accesses", b.dropped)
		b.dropped = 0
	}
	slices.SortFunc(list, func(x, y state.Access) int {
		return cmp.Or(x.First.Compare(y.First), cmp.Compare(x.Container, y.Container), cmp.Compare(x.User, y.User))
	})
	return list
}

// settle notes that the state knows these.
func (b *Book) settle(told []state.Access) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range told {
		b.visits[who{a.Container, a.User}].settle(a.Last)
	}
}
