package state

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// NodeRole is what a node does in the cluster.
type NodeRole string

const (
	ManagerNode NodeRole = "manager"
	AgentNode   NodeRole = "agent"
)

// Health is what the leader knows of a node. It is part of the state so that every manager shows the same, and so that
// a container's move to another host and the reason for it stand in one order.
type Health string

const (
	Ready Health = "ready"
	Down  Health = "down" // unseen for the grace period
)

// Availability is what the operators want of a Docker host.
type Availability string

const (
	Active   Availability = "active"
	Draining Availability = "drain" // no new containers; those it has move away
)

// Limits of a node's fields.
const (
	MaxNodeName   = 64 // bytes
	MaxNodeLabels = 64
	MaxLabel      = 256 // bytes, key and value each
)

// TopicNodes wakes those who look at nodes: one joined, changed, or was removed.
const TopicNodes = "nodes"

// Node is a manager or a Docker host with its agent.
type Node struct {
	ID       string
	Name     string // unique among the nodes of its role
	Role     NodeRole
	JoinedAt time.Time
	Version  string // of kiosc
	// Address is where a manager's cluster port is reached; empty for agents, which listen on none.
	Address string
	// NoVote keeps a manager from being given a vote in Raft.
	NoVote bool

	// What the agent said of its Docker Engine when it last registered.
	DockerVersion string
	CPUs          int
	MemoryBytes   int64
	NetworkMode   string
	Exposed       string            // why containers are not kept from the host's ports; empty where they are
	Labels        map[string]string // from the agent's own settings
	// SetLabels are the operators'. They go before the agent's.
	SetLabels map[string]string

	Health       Health
	HealthAt     time.Time // when Health last changed
	Availability Availability
	// DrainBy is until when visitors of the node's apps may stay while it drains.
	DrainBy time.Time
}

// AllLabels are the labels that placement goes by.
func (n *Node) AllLabels() map[string]string {
	all := make(map[string]string, len(n.Labels)+len(n.SetLabels))
	maps.Copy(all, n.Labels)
	maps.Copy(all, n.SetLabels)
	return all
}

// Schedulable tells whether containers may be placed on the node.
func (n *Node) Schedulable() bool {
	return n.Role == AgentNode && n.Health == Ready && n.Availability == Active
}

var errNoNode = Errorf(NotFound, "There is no such node. \"kiosc node ls\" lists them.")

// NodeRegistered adds a node or brings its description up to date: name, role, version, address, engine and labels.
// What operators and the leader have said of the node stays.
type NodeRegistered struct {
	Node Node
}

func (c *NodeRegistered) apply(tx *Tx) (any, error) {
	node := c.Node
	if node.Role == "" { // written by a kiosc that knew agents only
		node.Role = AgentNode
	}
	if tx.Revoked(node.ID) {
		return nil, Errorf(Forbidden, "This node was removed from the cluster. Give it an empty data directory to join again.")
	}
	if err := node.validate(); err != nil {
		return nil, err
	}
	old, known, err := tx.Node(node.ID)
	if err != nil {
		return nil, err
	}
	if other := tx.btx.Bucket(bucketNodeNames).Get(node.nameKey()); other != nil && string(other) != node.ID {
		return nil, Errorf(Conflict, "There is a node of the name "+node.Name+" already. Choose another name, or remove the old one with: kiosc node rm "+node.Name)
	}
	node.Health, node.Availability = Ready, Active
	node.HealthAt = node.JoinedAt
	if known {
		node.JoinedAt, node.SetLabels, node.NoVote = old.JoinedAt, old.SetLabels, old.NoVote
		node.Health, node.HealthAt = old.Health, old.HealthAt
		node.Availability, node.DrainBy = old.Availability, old.DrainBy
	}
	if !known || old.Name != node.Name {
		err := errors.Join(tx.delete(bucketNodeNames, old.nameKey()), tx.putRaw(bucketNodeNames, node.nameKey(), []byte(node.ID)))
		if err != nil {
			return nil, err
		}
	}
	return node, node.save(tx)
}

// nameKey is where the index of names has the node.
func (n *Node) nameKey() []byte {
	role := n.Role
	if role == "" { // registered by a kiosc that knew agents only
		role = AgentNode
	}
	return key(string(role), n.Name)
}

func (n *Node) validate() error {
	f := fieldErrors{}
	requireText(f, "name", n.Name, MaxNodeName)
	checkText(f, "address", n.Address, MaxLabel)
	if n.Role != ManagerNode && n.Role != AgentNode {
		f.add("role", "A node is a manager or an agent.")
	}
	checkLabels(f, n.Labels)
	return f.err()
}

func checkLabels(f fieldErrors, labels map[string]string) {
	if len(labels) > MaxNodeLabels {
		f.add("labels", "A node can have "+itoa(MaxNodeLabels)+" labels at most.")
	}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if !labelKey(k) {
			f.add("labels", "A label's name has letters, digits, dots, hyphens and underscores only: "+k)
		}
		checkText(f, "labels", labels[k], MaxLabel)
	}
}

func labelKey(k string) bool {
	return k != "" && len(k) <= MaxLabel && strings.IndexFunc(k, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	}) < 0
}

func (n *Node) save(tx *Tx) error {
	tx.touch(TopicNodes)
	tx.touch(TopicPending)
	return tx.put(bucketNodes, []byte(n.ID), n)
}

// NodeHealthChanged is what the leader has found out about an agent.
type NodeHealthChanged struct {
	Node   string
	Health Health
	At     time.Time
}

func (c *NodeHealthChanged) apply(tx *Tx) (any, error) {
	n, ok, err := tx.Node(c.Node)
	if err != nil || !ok {
		return nil, err // removed in the meantime
	}
	if n.Health == c.Health {
		return nil, nil
	}
	n.Health, n.HealthAt = c.Health, c.At
	return nil, n.save(tx)
}

// NodeAvailabilitySet is what operators want of a Docker host from here on. Applied, it returns the Node.
type NodeAvailabilitySet struct {
	Node         string
	Availability Availability
	DrainBy      time.Time
}

func (c *NodeAvailabilitySet) apply(tx *Tx) (any, error) {
	n, ok, err := tx.Node(c.Node)
	if err != nil || !ok {
		return nil, orError(err, errNoNode)
	}
	if n.Role != AgentNode {
		return nil, Errorf(Conflict, "Only Docker hosts have containers to drain; "+n.Name+" is a manager.")
	}
	if c.Availability != Active && c.Availability != Draining {
		return nil, Errorf(Invalid, "A node is active or drains.")
	}
	n.Availability, n.DrainBy = c.Availability, c.DrainBy
	return n, n.save(tx)
}

// ManagerVoteSet says whether a manager shall vote in Raft. Raft itself is changed by the leader, once that is safe.
// Applied, it returns the Node.
type ManagerVoteSet struct {
	Node string
	Vote bool
}

func (c *ManagerVoteSet) apply(tx *Tx) (any, error) {
	n, ok, err := tx.Node(c.Node)
	if err != nil || !ok {
		return nil, orError(err, errNoNode)
	}
	if n.Role != ManagerNode {
		return nil, Errorf(Conflict, n.Name+" is a Docker host; only managers vote.")
	}
	n.NoVote = !c.Vote
	return n, n.save(tx)
}

// NodeLabelled changes the operators' labels of a node. Applied, it returns the Node.
type NodeLabelled struct {
	Node   string
	Set    map[string]string
	Remove []string
}

func (c *NodeLabelled) apply(tx *Tx) (any, error) {
	n, ok, err := tx.Node(c.Node)
	if err != nil || !ok {
		return nil, orError(err, errNoNode)
	}
	if n.SetLabels == nil {
		n.SetLabels = make(map[string]string)
	}
	for _, k := range c.Remove {
		if _, own := n.Labels[k]; own && n.SetLabels[k] == "" {
			return nil, Errorf(Conflict, "The label "+k+" comes from the agent's own settings; change it there.")
		}
		delete(n.SetLabels, k)
	}
	maps.Copy(n.SetLabels, c.Set)
	f := fieldErrors{}
	checkLabels(f, n.SetLabels)
	if err := f.err(); err != nil {
		return nil, err
	}
	return n, n.save(tx)
}

// NodeRemoved takes a node out of the cluster for good: its certificate is refused from here on.
type NodeRemoved struct {
	Node string
	// Force removes a Docker host with running containers. They are started elsewhere.
	Force bool
	At    time.Time
}

func (c *NodeRemoved) apply(tx *Tx) (any, error) {
	n, ok, err := tx.Node(c.Node)
	if err != nil || !ok {
		return nil, orError(err, errNoNode)
	}
	if n.Role == AgentNode {
		if err := c.release(tx, n); err != nil {
			return nil, err
		}
	}
	return n, n.revoke(tx, c.At)
}

// revoke takes the node out of the state, and its certificate's worth.
func (n *Node) revoke(tx *Tx, at time.Time) error {
	tx.touch(TopicNodes)
	tx.touch(TopicPending)
	return errors.Join(tx.forgetOrphans(n.ID), tx.put(bucketRevoked, []byte(n.ID), at), tx.delete(bucketNodeNames, n.nameKey()), tx.delete(bucketNodes, []byte(n.ID)))
}

// release makes the node's containers that don't run placeable anywhere. Those that run stay its own until the leader
// has another node for them.
func (c *NodeRemoved) release(tx *Tx, n Node) error {
	usage, err := tx.Usage(n.ID)
	if err != nil {
		return err
	}
	if usage.Active > 0 && !c.Force {
		return Errorf(Conflict, "The node "+n.Name+" has running containers. Drain it first with: kiosc node drain "+n.Name+", or remove it with --force")
	}
	mine, err := tx.ContainersOn(n.ID)
	if err != nil {
		return err
	}
	for _, cont := range mine {
		if cont.active() {
			continue
		}
		cont.unplace()
		if err := cont.save(tx); err != nil {
			return err
		}
	}
	return nil
}

// Revoked tells whether a node was removed: its certificate doesn't count any more.
func (tx *Tx) Revoked(node string) bool {
	return tx.btx.Bucket(bucketRevoked).Get([]byte(node)) != nil
}

// Node returns a node by id.
func (tx *Tx) Node(id string) (n Node, ok bool, err error) {
	n, ok, err = get[Node](tx, bucketNodes, []byte(id))
	if n.Role == "" { // registered by a kiosc that knew agents only
		n.Role, n.Health, n.Availability = AgentNode, Ready, Active
	}
	return n, ok, err
}

// Nodes returns all nodes, in an order that stays the same.
func (tx *Tx) Nodes() (nodes []Node, err error) {
	c := tx.btx.Bucket(bucketNodes).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		n, _, err := tx.Node(string(k))
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// Agents returns the Docker hosts.
func (tx *Tx) Agents() ([]Node, error) { return tx.nodesOf(AgentNode) }

// Managers returns the managers as the state knows them. Which of them vote is Raft's to say.
func (tx *Tx) Managers() ([]Node, error) { return tx.nodesOf(ManagerNode) }

func (tx *Tx) nodesOf(role NodeRole) ([]Node, error) {
	nodes, err := tx.Nodes()
	return slices.DeleteFunc(nodes, func(n Node) bool { return n.Role != role }), err
}
