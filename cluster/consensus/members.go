package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// memberTimeout bounds one change of the members, with its replication.
const memberTimeout = 10 * time.Second

// Member is one node of the Raft cluster.
type Member struct {
	ID      string
	Address string
	Voter   bool
}

// Members lists the Raft cluster's nodes as this node knows them.
func (n *Node) Members() ([]Member, error) {
	future := n.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return nil, fmt.Errorf("reading the members of the cluster: %w", err)
	}
	var members []Member
	for _, s := range future.Configuration().Servers {
		members = append(members, Member{ID: string(s.ID), Address: string(s.Address), Voter: s.Suffrage == raft.Voter})
	}
	return members, nil
}

// AddMember takes a node in without a vote, or brings its address up to date. Only the leader can.
func (n *Node) AddMember(id, address string) error {
	return n.changed(n.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(address), 0, memberTimeout))
}

// SetVoter gives a member the vote, or brings a voter's address up to date. Only the leader can.
func (n *Node) SetVoter(id, address string) error {
	return n.changed(n.raft.AddVoter(raft.ServerID(id), raft.ServerAddress(address), 0, memberTimeout))
}

// Demote takes a member's vote. Only the leader can.
func (n *Node) Demote(id string) error {
	return n.changed(n.raft.DemoteVoter(raft.ServerID(id), 0, memberTimeout))
}

// RemoveMember takes a node out. Only the leader can.
func (n *Node) RemoveMember(id string) error {
	return n.changed(n.raft.RemoveServer(raft.ServerID(id), 0, memberTimeout))
}

func (n *Node) changed(f raft.IndexFuture) error {
	err := f.Error()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost):
		return errNoLeader
	}
	return fmt.Errorf("changing the members of the cluster: %w", err)
}

// HandOver gives the leadership to another voter, if this node leads and there is one. Without an error another node
// leads, or is about to.
func (n *Node) HandOver(ctx context.Context) error {
	if !n.Leading() {
		return nil
	}
	future := n.raft.LeadershipTransfer()
	done := make(chan error, 1)
	go func() { done <- future.Error() }() // ends by Raft's election timeout
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("handing the leadership over: %w", err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Status is this node's place in the Raft cluster.
type Status struct {
	Term   uint64
	Leader string // node id; empty for none
	// Applied is how far the state goes, Last how far the log does.
	Applied, Last uint64
}

// Status tells where this node stands.
func (n *Node) Status() Status {
	return Status{Term: n.Term(), Leader: n.Leader(), Applied: n.store.AppliedIndex(), Last: n.raft.LastIndex()}
}

// VerifyLeader returns nil if this node leads and a majority has just confirmed it.
func (n *Node) VerifyLeader() error {
	if err := n.raft.VerifyLeader().Error(); err != nil {
		return errNoLeader
	}
	return nil
}

// ID is this node's id.
func (n *Node) ID() string { return n.id }
