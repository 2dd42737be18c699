package consensus

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"kiosc/cluster/state"
)

const (
	// enqueueTimeout bounds how long a command waits for its place in Raft's queue.
	enqueueTimeout = 5 * time.Second
	// ProposeTimeout bounds the whole of Propose.
	ProposeTimeout = 15 * time.Second
	// leaderPatience is how long a command waits for a leader to be elected, so that the death of a leader is a delay
	// for its callers and not an error. Where there has been no leader for longer, commands are refused at once.
	leaderPatience = 5 * time.Second
	// askAgain is the wait before a node that did not take a command is asked once more.
	askAgain = 20 * time.Millisecond
	// catchUpAgain is the wait before a node that has just been opened tries again to catch up.
	catchUpAgain = 100 * time.Millisecond
	// maxProposals bounds the commands under way at once; more are refused with state.Unavailable.
	maxProposals = 4096
)

// Forwarder hands commands to the leader from other nodes.
type Forwarder interface {
	// Forward hands a command to the node, which gives it to its Take. refused is called, from any goroutine and once
	// at most, when it is certain that the command won't reach the log by this call. Forward doesn't wait.
	Forward(ctx context.Context, leader string, origin, command []byte, refused func(error))
}

// ErrNotTaken says that a command is not in the log and won't be.
var ErrNotTaken = errors.New("the command was not taken by a leader")

var (
	errBusy     = state.Errorf(state.Unavailable, "Kiosc has too much to write at the moment; nothing was changed. Try again in a few seconds.")
	errNoLeader = state.Errorf(state.Unavailable, "No leader is elected at the moment; nothing was changed. Try again in a few seconds.")
	errUnsure   = state.Errorf(state.Unavailable, "The change was not confirmed in time. Look whether it was made before you try again.")
)

// Propose makes a command part of the replicated state and returns what applying it on this node gave: its caller reads
// its own write here. Any node may be asked; one that doesn't lead hands the command to the leader. When the leader is
// lost on the way, the command goes to the next one, and is applied once.
//
// The error is a *state.Error where a rule forbade the command. Where it has code Unavailable the command may have been
// applied or not, unless its message says that nothing was changed.
func (n *Node) Propose(ctx context.Context, c state.Command) (_ any, err error) {
	began := time.Now()
	defer func() { n.note(began, err) }()
	raw, err := state.Encode(c)
	if err != nil {
		return nil, err
	}
	select {
	case n.proposals <- struct{}{}:
		defer func() { <-n.proposals }()
	default:
		return nil, errBusy
	}
	ctx, cancel := context.WithTimeout(ctx, ProposeTimeout)
	defer cancel()
	for {
		result, err := n.attempt(ctx, raw)
		if err == nil {
			n.caughtUp.Store(true)
			return result.Value, result.Err
		}
		if !errors.Is(err, ErrNotTaken) {
			return nil, err
		}
		if err := n.awaitLeader(ctx); err != nil {
			return nil, err
		}
	}
}

// Sync returns once this node has applied every command that was confirmed to anybody before the call.
func (n *Node) Sync(ctx context.Context) error {
	_, err := n.Propose(ctx, &state.Synced{})
	return err
}

// CaughtUp tells whether this node has applied what was confirmed before it was opened. Until then its state is that of
// some time in the past: its last snapshot knows nothing of the rights that were taken away since. It is so once a
// command of its own is applied.
func (n *Node) CaughtUp() bool { return n.caughtUp.Load() }

// CatchUp returns when the node has caught up, or with the error of ctx.
func (n *Node) CatchUp(ctx context.Context) error {
	for !n.CaughtUp() {
		if err := n.Sync(ctx); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(catchUpAgain):
		}
	}
	return nil
}

// attempt hands the command to the leader of the present term and waits until this node has applied it, or has seen
// that it never will.
func (n *Node) attempt(ctx context.Context, raw []byte) (state.Result, error) {
	term, leader := n.Term(), n.Leader()
	if leader == "" || leader != n.id && n.forward == nil {
		return state.Result{}, ErrNotTaken
	}
	w := n.waiting.expect(term)
	defer n.waiting.forget(w)
	if leader == n.id {
		go func() { // ends by enqueueTimeout, and when Raft has settled the entry
			if err := n.Take(w.origin, raw)(); errors.Is(err, ErrNotTaken) {
				w.refuse(err)
			}
		}()
	} else {
		n.forward.Forward(ctx, leader, w.origin, raw, w.refuse)
	}
	select {
	case o := <-w.outcome:
		return o.result, o.err
	case <-ctx.Done():
		return state.Result{}, errUnsure
	}
}

// Take puts another node's command into the log, if this node leads. It doesn't wait: the returned function does, and
// says with ErrNotTaken that the command is not in the log. It returns nil also where the outcome is not known here; the
// other node learns of it by applying the log.
func (n *Node) Take(origin, command []byte) (wait func() error) {
	future := n.raft.ApplyLog(raft.Log{Data: command, Extensions: origin}, enqueueTimeout)
	return func() error {
		err := future.Error()
		switch {
		case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout),
			errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrRaftShutdown):
			return ErrNotTaken
		case err != nil:
			n.logger.Debug("a command was not confirmed", "error", err)
		}
		return nil
	}
}

// awaitLeader waits a moment before the next attempt, until there is a leader. It gives up where there has been none for
// leaderPatience.
func (n *Node) awaitLeader(ctx context.Context) error {
	pause := time.NewTimer(askAgain)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
		return errNoLeader
	}
	for {
		changed := n.leaders.next()
		gone := n.LeaderlessFor()
		if gone == 0 {
			return nil
		}
		if gone >= leaderPatience {
			return errNoLeader
		}
		patience := time.NewTimer(leaderPatience - gone)
		select {
		case <-changed:
		case <-patience.C:
		case <-ctx.Done():
			patience.Stop()
			return errNoLeader
		}
		patience.Stop()
	}
}
