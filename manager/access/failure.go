package access

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"kiosc/cluster/state"
)

const (
	// maxFailures bounds what is remembered of failures, less than 1 KiB each.
	maxFailures = 5_000
	// patience is how long somebody in the lobby may wait for an app before that counts as a failure: its process runs long
	// before it listens. It is also when the lobby says that this takes long.
	patience = 2 * time.Minute
	// pause is the time without a failure after which the next one is news, and without a question after which a page begins to
	// wait anew.
	pause = time.Minute
)

// failing is who gets no answer of which app, and why.
type failing struct {
	container, user string
	reason          state.AccessFailure
}

// failure is the requests for which that is so. With first, last and told zero it only waits.
type failure struct {
	visit
	cause          string
	waits, waiting time.Time // when a page began to wait for the app, and when it last asked; zero for never
}

// Failure is one request that an app did not answer.
type Failure struct {
	Container, User string
	Reason          state.AccessFailure
	Cause           error // in detail; may be nil
	// Waiting says that a page of Kiosc's own asked that waits for the app to start.
	Waiting bool
}

// Failed says that a user who may open an app got no answer of it.
func (b *Book) Failed(f Failure) {
	at := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	key := failing{f.Container, f.User, f.Reason}
	v := b.failures[key]
	if v == nil {
		if len(b.failures) >= maxFailures {
			b.unnoted++
			return
		}
		v = &failure{}
		b.failures[key] = v
	}
	if f.Waiting && !v.hasWaited(at) {
		return
	}
	if v.first.IsZero() {
		v.cause = cause(f.Cause)
	}
	v.note(at)
}

// hasWaited tells whether a page that asks now has waited for too long.
func (v *failure) hasWaited(now time.Time) bool {
	if v.waits.IsZero() || now.Sub(v.waiting) > pause {
		v.waits = now
	}
	v.waiting = now
	return now.Sub(v.waits) >= patience
}

// isDue is as for a visit, but news is told at once: somebody who has just tried again looks for it in the log.
func (v *failure) isDue(repeat time.Duration) bool {
	return v.visit.isDue(repeat) || !v.first.IsZero() && v.first.Sub(v.told) > pause
}

// isOver is as for a visit, and nobody waits.
func (v *failure) isOver() bool {
	return v.first.IsZero() && time.Since(v.last) >= forgetAfter && time.Since(v.waiting) > pause
}

func cause(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if len(text) > state.MaxFailureCause {
		text = text[:state.MaxFailureCause-len(cut)] + cut
	}
	return strings.ToValidUTF8(text, "")
}

// cut ends a text that was too long.
const cut = " …"

// dueFailures lists what the state has to hear of, in order, and forgets the failures that have ended.
func (b *Book) dueFailures(repeat time.Duration) (list []state.FailedAccess) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, v := range b.failures {
		switch {
		case v.isDue(repeat):
			list = append(list, state.FailedAccess{Container: k.container, User: k.user, Reason: k.reason, Cause: v.cause,
				First: v.first.UTC().Round(0), Last: v.last.UTC().Round(0)})
		case v.isOver():
			delete(b.failures, k)
		}
	}
	if b.unnoted > 0 {
		b.logger.Warn("too many accesses fail at once: some were not noted", "requests", b.unnoted)
		b.unnoted = 0
	}
	slices.SortFunc(list, func(x, y state.FailedAccess) int {
		return cmp.Or(x.First.Compare(y.First), cmp.Compare(x.Container, y.Container), cmp.Compare(x.User, y.User), cmp.Compare(x.Reason, y.Reason))
	})
	return list
}

// settleFailures notes that the state knows these.
func (b *Book) settleFailures(told []state.FailedAccess) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range told {
		b.failures[failing{f.Container, f.User, f.Reason}].settle(f.Last)
	}
}
