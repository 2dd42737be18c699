package consensus

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Term is the current Raft term, for the orders that a leader sends out.
func (n *Node) Term() uint64 { return n.raft.CurrentTerm() }

// Leading tells whether this node leads.
func (n *Node) Leading() bool { return n.raft.State() == raft.Leader }

// Leader is the node id of the leader that this node follows or is; empty where it knows of none.
func (n *Node) Leader() string {
	// Raft may go on to name the leader that has told this node to stand for election, and whose heartbeat came just after
	// that: for good, where this node finds no majority.
	if n.raft.State() == raft.Candidate {
		return ""
	}
	_, id := n.raft.LeaderWithID()
	return string(id)
}

// WaitLeader returns once this node knows of a leader.
func (n *Node) WaitLeader(ctx context.Context) error {
	for {
		changed := n.leaders.next()
		if n.Leader() != "" {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for a leader: %w", ctx.Err())
		}
	}
}

// LeaderChanged is closed at the next change of the leader that this node knows of.
func (n *Node) LeaderChanged() <-chan struct{} { return n.leaders.next() }

// LeaderlessFor tells for how long this node has known of no leader; 0 while it knows one.
func (n *Node) LeaderlessFor() time.Duration {
	if n.Leader() != "" {
		return 0
	}
	n.leaders.mu.Lock()
	defer n.leaders.mu.Unlock()
	return time.Since(n.leaders.since)
}

// leaders tells waiting callers of each change of the leader.
type leaders struct {
	mu       sync.Mutex
	changed  chan struct{} // closed and replaced
	since    time.Time     // of the last change
	observer *raft.Observer
	done     chan struct{}
}

// observed is room for observations of Raft, so that it never waits for this side.
const observed = 64

func (l *leaders) observe(r *raft.Raft) {
	l.mu.Lock()
	l.changed, l.since, l.done = make(chan struct{}), time.Now(), make(chan struct{})
	l.mu.Unlock()
	seen := make(chan raft.Observation, observed)
	l.observer = raft.NewObserver(seen, false, func(o *raft.Observation) bool {
		_, is := o.Data.(raft.LeaderObservation)
		return is
	})
	r.RegisterObserver(l.observer)
	go func() {
		for {
			select {
			case <-seen:
				l.mu.Lock()
				close(l.changed)
				l.changed, l.since = make(chan struct{}), time.Now()
				l.mu.Unlock()
			case <-l.done:
				return
			}
		}
	}()
}

func (l *leaders) stop(r *raft.Raft) {
	r.DeregisterObserver(l.observer)
	close(l.done)
}

func (l *leaders) next() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// Lead runs f each time this node becomes the leader, once it has applied everything committed before. f's context
// ends with the leadership; the next f starts only after it has returned. Lead returns when ctx is done.
func (n *Node) Lead(ctx context.Context, f func(ctx context.Context)) {
	leading := n.raft.LeaderCh()
	var stop func()
	var term uint64
	end := func() {
		if stop != nil {
			stop()
			stop = nil
		}
	}
	defer end()
	begin := func() {
		term = n.Term()
		stop = n.lead(ctx, f)
	}
	if n.Leading() {
		begin()
	}
	for {
		select {
		case is := <-leading:
			if is && stop != nil && n.Term() == term {
				continue // it has begun already
			}
			end()
			if is {
				begin()
			}
		case <-ctx.Done():
			return
		}
	}
}

// lead starts f and returns what ends it and waits for it.
func (n *Node) lead(ctx context.Context, f func(ctx context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// An entry of the new term also settles what callers of the lost leader wait for; see origin.
		wait, cancel := context.WithTimeout(ctx, barrierTimeout)
		defer cancel()
		if err := n.Sync(wait); err != nil {
			n.logger.Warn("leadership was lost before it began", "error", err)
			return
		}
		if ctx.Err() == nil {
			f(ctx)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
