package agent

import (
	"context"
	"sync"
	"time"
)

// leaseLook is how often the lease's end is looked for. A container is placed elsewhere later than that after it.
const leaseLook = 250 * time.Millisecond

// lease says whether this host may serve its containers to visitors.
//
// A leader has confirmed what the host has, and nobody else starts its containers before the lease has run out. After
// that they may run elsewhere, so a host that hears of no manager at all serves nothing until a leader has looked at what
// it has. A host that hears of managers, but of no leader, goes on: that is how apps survive the loss of the quorum.
type lease struct {
	mu        sync.Mutex
	until     time.Time
	confirmed bool
	serving   context.Context // ends when serving must
	stop      context.CancelFunc
}

func newLease() *lease {
	l := &lease{}
	l.serving, l.stop = context.WithCancel(context.Background())
	l.stop()
	return l
}

// extend confirms what the host has, until then.
func (l *lease) extend(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = until
	if !l.confirmed {
		l.confirmed = true
		l.serving, l.stop = context.WithCancel(context.Background())
	}
}

// hold returns the context for serving a visitor; ok is false while nobody may be served.
func (l *lease) hold() (ctx context.Context, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.serving, l.confirmed
}

// lapse ends serving if the lease has run out, and tells whether it did.
func (l *lease) lapse(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.confirmed || now.Before(l.until) {
		return false
	}
	l.confirmed = false
	l.stop()
	return true
}

// mindLease ends serving when the lease has run out while no manager is in sight.
func (a *Agent) mindLease(ctx context.Context) {
	tick := time.NewTicker(leaseLook)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			if !a.links.any() && a.lease.lapse(now) {
				a.logger.Warn("cut off from all managers for longer than the lease: serving no visitors until a leader confirms what this host has; the containers go on")
			}
		case <-ctx.Done():
			a.lease.mu.Lock()
			a.lease.stop()
			a.lease.mu.Unlock()
			return
		}
	}
}
