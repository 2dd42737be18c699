package nodes

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"kiosc/cluster/consensus"
	"kiosc/cluster/state"
)

const (
	// superviseEvery is how often the leader looks at the members.
	superviseEvery = time.Second
	// caughtUp is how many log entries a manager may be behind to be given a vote, and steadyFor how often in a row it
	// must have been no further behind.
	caughtUp  = 256
	steadyFor = 3
	// heardFrom is how long a removed manager may take to hear of its removal before it is cut off.
	heardFrom = 2 * time.Second
	// votePatience is how long a promotion waits for the manager to catch up.
	votePatience = 15 * time.Second
)

// AdmitRequest is how a manager that has its certificate asks to become a member.
type AdmitRequest struct {
	Address string
}

// AdmitAnswer gives it what it needs for that.
type AdmitAnswer struct {
	// Key is the cluster key. It goes only over a session on which a manager's certificate was shown.
	Key []byte
	// CA is the certificate of the cluster's authority, SealedCAKey its key.
	CA, SealedCAKey []byte
}

// memberRequest asks the leader to change a member.
type memberRequest struct {
	Node    string
	Address string // to add it
	Force   bool   // to remove it
}

// The methods that managers call at each other.
const (
	MethodAdmit = "admit"
	methodAdd   = "add"
	methodVote  = "vote"
	methodMute  = "mute"
	methodRm    = "remove"
	methodYield = "yield"
)

// Call serves the methods that other managers call.
func (n *Nodes) Call(ctx context.Context, from, method string, body []byte) ([]byte, error) {
	if method == MethodAdmit {
		return serve(body, func(in AdmitRequest) (AdmitAnswer, error) { return n.admit(ctx, from, in) })
	}
	f, ok := n.changes()[method]
	if !ok {
		return nil, state.Errorf(state.Invalid, "This manager does not know the method "+method+". Bring all managers to one version.")
	}
	return serve(body, func(in memberRequest) (struct{}, error) { return struct{}{}, f(ctx, in) })
}

func (n *Nodes) changes() map[string]func(context.Context, memberRequest) error {
	return map[string]func(context.Context, memberRequest) error{
		methodAdd: n.add, methodVote: n.vote, methodMute: n.mute, methodRm: n.remove,
		methodYield: func(ctx context.Context, _ memberRequest) error { return n.node.HandOver(ctx) },
	}
}

func serve[In, Out any](body []byte, f func(In) (Out, error)) ([]byte, error) {
	var in In
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, state.Errorf(state.Invalid, "The request of the other manager can't be read. Bring all managers to one version.")
	}
	out, err := f(in)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// admit makes the manager that asks a member without a vote, and gives it the cluster key.
func (n *Nodes) admit(ctx context.Context, from string, in AdmitRequest) (out AdmitAnswer, err error) {
	if err := n.atLeader(ctx, methodAdd, memberRequest{Node: from, Address: in.Address}); err != nil {
		return out, err
	}
	var cluster state.Cluster
	err = n.store.View(func(tx *state.Tx) (err error) {
		cluster, _, err = tx.Cluster()
		return err
	})
	return AdmitAnswer{Key: n.cfg.Key, CA: cluster.CACertificate, SealedCAKey: cluster.SealedCAKey}, err
}

// atLeader has the leader do something.
func (n *Nodes) atLeader(ctx context.Context, method string, in memberRequest) error {
	switch leader := n.node.Leader(); leader {
	case "":
		return errNoLeader
	case n.self:
		return n.changes()[method](ctx, in)
	default:
		return n.cfg.Peers.Call(ctx, leader, method, in, &struct{}{})
	}
}

var errNoLeader = state.Errorf(state.Unavailable, "No leader is elected at the moment; nothing was changed. Try again in a few seconds.")

// manager returns the record of a manager.
func (n *Nodes) manager(id string) (m state.Node, err error) {
	err = n.store.View(func(tx *state.Tx) error {
		var ok bool
		if m, ok, err = tx.Node(id); err == nil && (!ok || m.Role != state.ManagerNode) {
			err = state.Errorf(state.NotFound, "The leader does not know this manager. Try again in a few seconds.")
		}
		return err
	})
	return m, err
}

func (n *Nodes) add(ctx context.Context, in memberRequest) error {
	if _, err := n.manager(in.Node); err != nil {
		return err
	}
	return n.node.AddMember(in.Node, in.Address)
}

// vote gives a manager its vote as soon as it has caught up, and waits for that.
func (n *Nodes) vote(ctx context.Context, in memberRequest) error {
	if _, err := n.node.Propose(ctx, &state.ManagerVoteSet{Node: in.Node, Vote: true}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, votePatience)
	defer cancel()
	tick := time.NewTicker(superviseEvery / 4)
	defer tick.Stop()
	for {
		members, err := n.node.Members()
		if err != nil {
			return err
		}
		for _, m := range members {
			if m.ID == in.Node && m.Voter {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return state.Errorf(state.Unavailable, "The manager has not caught up yet. It votes as soon as it has; \"kiosc cluster status\" shows how far it is.")
		}
	}
}

// mute takes a manager's vote.
func (n *Nodes) mute(ctx context.Context, in memberRequest) error {
	if err := n.spare(in.Node, "Demoting"); err != nil {
		return err
	}
	if _, err := n.node.Propose(ctx, &state.ManagerVoteSet{Node: in.Node, Vote: false}); err != nil {
		return err
	}
	return n.node.Demote(in.Node)
}

// remove takes a manager out of the cluster: first its certificate, so that it hears of it, then its place in Raft.
func (n *Nodes) remove(ctx context.Context, in memberRequest) error {
	if err := n.spare(in.Node, "Removing"); err != nil {
		return err
	}
	if _, err := n.node.Propose(ctx, &state.NodeRemoved{Node: in.Node, At: time.Now().UTC()}); err != nil {
		return err
	}
	n.awaitApplied(ctx, in.Node, n.node.Status().Applied)
	return n.node.RemoveMember(in.Node)
}

// awaitApplied waits until a manager says that it has applied the log so far, but not for long: it may be dead.
func (n *Nodes) awaitApplied(ctx context.Context, id string, index uint64) {
	ctx, cancel := context.WithTimeout(ctx, heardFrom)
	defer cancel()
	tick := time.NewTicker(heardFrom / 20)
	defer tick.Stop()
	for {
		if h, ok := n.last(id); ok && h.status.Applied >= index {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// spare refuses to lose a voter where those in contact would no longer be a majority.
func (n *Nodes) spare(id, doing string) error {
	members, err := n.node.Members()
	if err != nil {
		return err
	}
	left, inContact, votes := 0, 0, false
	for _, m := range members {
		if m.ID == id {
			votes = m.Voter
		}
		if m.ID == id || !m.Voter {
			continue
		}
		left++
		if h, ok := n.last(m.ID); ok && time.Since(h.at) < contact {
			inContact++
		}
	}
	need := left/2 + 1
	switch {
	case !votes:
		return nil
	case left == 0:
		return state.Errorf(state.Conflict, doing+" the only voting manager would end the cluster. Add another manager first.")
	case inContact < need:
		return state.Errorf(state.Conflict, fmt.Sprintf("%s this manager would leave %d of %d voting managers in contact where %d are needed. Bring the others back, or add managers, first.",
			doing, inContact, left, need))
	}
	return nil
}

// Supervise is for the leader alone: it gives a vote to managers that have caught up, and keeps their addresses in Raft
// right, until ctx ends.
func (n *Nodes) Supervise(ctx context.Context) {
	tick := time.NewTicker(superviseEvery)
	defer tick.Stop()
	for {
		if err := n.superviseOnce(); err != nil && ctx.Err() == nil {
			n.logger.Warn("the managers could not be looked after; trying again", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Nodes) superviseOnce() error {
	members, err := n.node.Members()
	if err != nil {
		return err
	}
	n.forget(members)
	for _, m := range members {
		record, err := n.manager(m.ID)
		if state.CodeOf(err) == state.NotFound {
			continue // it has not described itself yet
		}
		if err != nil {
			return err
		}
		moved := record.Address != "" && record.Address != m.Address
		switch {
		case m.Voter && moved:
			err = n.node.SetVoter(m.ID, record.Address)
		case !m.Voter && !record.NoVote && n.caughtUp(m):
			n.logger.Info("a manager has caught up and votes from now on", "manager", record.Name)
			err = n.node.SetVoter(m.ID, orElse(record.Address, m.Address))
		case !m.Voter && moved:
			err = n.node.AddMember(m.ID, record.Address)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// caughtUp tells whether a manager has been no more than a little behind for some time.
func (n *Nodes) caughtUp(m consensus.Member) bool {
	h, ok := n.last(m.ID)
	near := ok && time.Since(h.at) < contact && h.status.Applied+caughtUp >= n.node.Status().Applied
	n.mu.Lock()
	defer n.mu.Unlock()
	if !near {
		n.steady[m.ID] = 0
		return false
	}
	n.steady[m.ID]++
	return n.steady[m.ID] >= steadyFor
}
