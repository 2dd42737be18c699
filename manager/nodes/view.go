package nodes

import (
	"context"
	"slices"
	"time"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

// yieldPatience is how long a leader may take to hand over before it is changed itself.
const yieldPatience = 10 * time.Second

// maxDrain is the longest time that visitors can be given.
const maxDrain = 7 * 24 * time.Hour

// Cluster tells how the cluster stands, as this manager sees it.
func (n *Nodes) Cluster() (out service.ClusterStatus, err error) {
	s := n.node.Status()
	out = service.ClusterStatus{ClusterID: n.cfg.Credentials.Peer().ClusterID, Answered: n.self, Leader: s.Leader, Term: s.Term,
		Quorum: s.Leader != "", Index: s.Applied}
	var list []state.Node
	if err = n.store.View(func(tx *state.Tx) (err error) {
		list, err = tx.Nodes()
		return err
	}); err != nil {
		return out, err
	}
	slices.SortStableFunc(list, func(a, b state.Node) int {
		if a.Role != b.Role {
			if a.Role == state.ManagerNode {
				return -1
			}
			return 1
		}
		return compareNames(a, b)
	})
	for _, node := range list {
		status, err := n.status(node)
		if err != nil {
			return out, err
		}
		out.Nodes = append(out.Nodes, status)
	}
	return out, nil
}

func compareNames(a, b state.Node) int {
	switch {
	case a.Name < b.Name:
		return -1
	case a.Name > b.Name:
		return 1
	}
	return 0
}

func (n *Nodes) status(node state.Node) (service.NodeStatus, error) {
	out := service.NodeStatus{ID: node.ID, Name: node.Name, Role: string(node.Role), Version: node.Version,
		Health: string(node.Health), JoinedAt: node.JoinedAt}
	if node.Role == state.ManagerNode {
		return out, n.managerStatus(node, &out)
	}
	return out, n.agentStatus(node, &out)
}

func (n *Nodes) managerStatus(node state.Node, out *service.NodeStatus) error {
	out.Address = node.Address
	members, err := n.node.Members()
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.ID == node.ID {
			out.Voter = m.Voter
		}
	}
	own := n.node.Status()
	out.Leader = own.Leader == node.ID
	ahead := own.Last
	if l, ok := n.last(own.Leader); ok {
		ahead = max(ahead, l.status.Last)
	}
	out.Health = string(state.Down)
	if h, ok := n.last(node.ID); ok {
		out.Index, out.LastContact = h.status.Applied, &h.at
		if time.Since(h.at) < contact {
			out.Health = string(state.Ready)
		}
	}
	// Entries of Raft's own never reach the state, so that a lag of one or two means none.
	if ahead > out.Index {
		out.Lag = ahead - out.Index
	}
	return nil
}

func (n *Nodes) agentStatus(node state.Node, out *service.NodeStatus) error {
	out.Availability = string(node.Availability)
	if node.Availability == state.Draining {
		out.DrainBy = &node.DrainBy
	}
	out.DockerVersion, out.NetworkMode, out.Exposed = node.DockerVersion, node.NetworkMode, node.Exposed
	out.CPUs, out.MemoryBytes, out.Labels = node.CPUs, node.MemoryBytes, node.AllLabels()
	var names map[string]string
	err := n.store.View(func(tx *state.Tx) error {
		usage, err := tx.Usage(node.ID)
		out.Containers, out.Active = usage.Placed, usage.Active
		out.ReservedCPUs, out.ReservedBytes = float64(usage.MilliCPUs)/1000, usage.MemoryBytes
		if err != nil {
			return err
		}
		names, err = managerNames(tx)
		return err
	})
	others, here := n.cfg.Hub.ConnectedTo(node.ID)
	if here {
		others = append(others, n.self)
	}
	for _, id := range others {
		out.Managers = append(out.Managers, orElse(names[id], id))
	}
	slices.Sort(out.Managers)
	seen := n.cfg.Hub.Seen(node.ID)
	if seen.IsZero() && len(others) > 0 {
		seen = time.Now()
	}
	switch {
	case !seen.IsZero():
		out.LastContact = &seen
	case node.Health == state.Down: // it was last heard a grace period before
		out.LastContact = &node.HealthAt
	}
	return err
}

func managerNames(tx *state.Tx) (map[string]string, error) {
	managers, err := tx.Managers()
	names := make(map[string]string, len(managers))
	for _, m := range managers {
		names[m.ID] = m.Name
	}
	return names, err
}

// find looks a node up by its id, the beginning of it, or its name.
func (n *Nodes) find(name string) (state.Node, error) { return n.findIn(name, (*state.Tx).Nodes) }

// DockerHost looks a Docker host up in the same way, whatever managers are called.
func (n *Nodes) DockerHost(name string) (state.Node, error) {
	return n.findIn(name, (*state.Tx).Agents)
}

func (n *Nodes) findIn(name string, among func(*state.Tx) ([]state.Node, error)) (found state.Node, err error) {
	var list []state.Node
	if err := n.store.View(func(tx *state.Tx) (err error) {
		list, err = among(tx)
		return err
	}); err != nil {
		return found, err
	}
	var matches []state.Node
	for _, node := range list {
		if node.ID == name {
			return node, nil
		}
		if node.Name == name || len(name) >= 6 && len(name) <= len(node.ID) && node.ID[:len(name)] == name {
			matches = append(matches, node)
		}
	}
	switch len(matches) {
	case 1:
		return matches[0], nil
	case 0:
		return found, state.Errorf(state.NotFound, "There is no node "+name+". \"kiosc node ls\" lists them.")
	}
	return found, state.Errorf(state.Conflict, "Several nodes are called "+name+". Give the id that \"kiosc node ls\" shows.")
}

// Inspect tells of one node, with the containers that are placed on it.
func (n *Nodes) Inspect(name string) (out service.NodeStatus, err error) {
	node, err := n.find(name)
	if err != nil {
		return out, err
	}
	if out, err = n.status(node); err != nil {
		return out, err
	}
	err = n.store.View(func(tx *state.Tx) error {
		placed, err := tx.ContainersOn(node.ID)
		if err != nil {
			return err
		}
		for _, c := range placed {
			project, _, err := tx.Project(c.Project)
			if err != nil {
				return err
			}
			one := service.PlacedContainer{ID: c.ID, Title: c.Title, Project: project.Title, State: c.Shown()}
			if c.Pending() || node.Health == state.Down || node.Availability == state.Draining {
				one.Note, _ = n.cfg.Hub.Progress(c.ID)
			}
			out.Placed = append(out.Placed, one)
		}
		return nil
	})
	return out, err
}

// change proposes a change of a node and tells how it stands then.
func (n *Nodes) change(ctx context.Context, name string, command func(state.Node) state.Command) (out service.NodeStatus, err error) {
	node, err := n.find(name)
	if err != nil {
		return out, err
	}
	got, err := n.node.Propose(ctx, command(node))
	if err != nil {
		return out, err
	}
	if changed, ok := got.(state.Node); ok {
		node = changed
	}
	return n.status(node)
}

// Drain takes a Docker host out of use: nothing new is placed there, and what runs moves away as soon as its visitors
// have left, but no later than after the deadline.
func (n *Nodes) Drain(ctx context.Context, name string, deadline time.Duration, now bool) (service.NodeStatus, error) {
	if now {
		deadline = 0
	}
	if deadline < 0 || deadline > maxDrain {
		return service.NodeStatus{}, state.Errorf(state.Invalid, "Give a deadline between 0 and 168 hours.")
	}
	return n.change(ctx, name, func(node state.Node) state.Command {
		return &state.NodeAvailabilitySet{Node: node.ID, Availability: state.Draining, DrainBy: time.Now().UTC().Add(deadline)}
	})
}

// Activate brings a Docker host back into use.
func (n *Nodes) Activate(ctx context.Context, name string) (service.NodeStatus, error) {
	return n.change(ctx, name, func(node state.Node) state.Command {
		return &state.NodeAvailabilitySet{Node: node.ID, Availability: state.Active}
	})
}

// Label sets and removes labels of a node.
func (n *Nodes) Label(ctx context.Context, name string, set map[string]string, remove []string) (service.NodeStatus, error) {
	return n.change(ctx, name, func(node state.Node) state.Command {
		return &state.NodeLabelled{Node: node.ID, Set: set, Remove: remove}
	})
}

// Remove takes a node out of the cluster for good. A manager that leads hands over first.
func (n *Nodes) Remove(ctx context.Context, name string, force bool) (service.NodeStatus, error) {
	node, err := n.find(name)
	if err != nil {
		return service.NodeStatus{}, err
	}
	if node.Role == state.AgentNode {
		return n.change(ctx, node.ID, func(node state.Node) state.Command {
			return &state.NodeRemoved{Node: node.ID, Force: force, At: time.Now().UTC()}
		})
	}
	return n.changeManager(ctx, node, methodRm)
}

// Promote gives a manager a vote, Demote takes it.
func (n *Nodes) Promote(ctx context.Context, name string) (service.NodeStatus, error) {
	return n.changeNamed(ctx, name, methodVote)
}

// Demote takes a manager's vote. One that leads hands over first.
func (n *Nodes) Demote(ctx context.Context, name string) (service.NodeStatus, error) {
	return n.changeNamed(ctx, name, methodMute)
}

func (n *Nodes) changeNamed(ctx context.Context, name, method string) (service.NodeStatus, error) {
	node, err := n.find(name)
	if err != nil {
		return service.NodeStatus{}, err
	}
	return n.changeManager(ctx, node, method)
}

func (n *Nodes) changeManager(ctx context.Context, node state.Node, method string) (out service.NodeStatus, err error) {
	if node.Role != state.ManagerNode {
		return out, state.Errorf(state.Conflict, node.Name+" is a Docker host; only managers vote.")
	}
	if method != methodVote && n.node.Leader() == node.ID {
		if err := n.yield(ctx, node.ID); err != nil {
			return out, err
		}
	}
	if err := n.atLeader(ctx, method, memberRequest{Node: node.ID}); err != nil {
		return out, err
	}
	return n.status(node)
}

// yield has the leader hand over, and waits until another leads. Whether it can be spared is asked first of this
// manager's own view of the others, which is as good as the leader's.
func (n *Nodes) yield(ctx context.Context, leader string) error {
	if err := n.spare(leader, "Changing"); err != nil {
		return err
	}
	if err := n.atLeader(ctx, methodYield, memberRequest{}); err != nil {
		return state.Errorf(state.Conflict, "The manager leads, and no other manager can take over at the moment. Nothing was changed.")
	}
	ctx, cancel := context.WithTimeout(ctx, yieldPatience)
	defer cancel()
	for {
		changed := n.node.LeaderChanged()
		if now := n.node.Leader(); now != "" && now != leader {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return state.Errorf(state.Unavailable, "The manager leads, and no other manager has taken over in time. Try again.")
		}
	}
}
