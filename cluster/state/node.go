package state

import "time"

// Node is a Docker host that has joined. Whether it is connected now is not part of the state.
type Node struct {
	ID       string
	Name     string
	JoinedAt time.Time
	// What the agent said of its Docker Engine when it last registered.
	DockerVersion string
	CPUs          int
	MemoryBytes   int64
	NetworkMode   string
	Labels        map[string]string
}

// NodeRegistered adds a node or brings its description up to date.
type NodeRegistered struct {
	Node Node
}

func (c *NodeRegistered) apply(tx *Tx) (any, error) {
	old, ok, err := tx.Node(c.Node.ID)
	if err != nil {
		return nil, err
	}
	node := c.Node
	if ok {
		node.JoinedAt = old.JoinedAt
	}
	tx.touch(TopicPending)
	return nil, tx.put(bucketNodes, []byte(node.ID), node)
}

// Node returns a node by id.
func (tx *Tx) Node(id string) (n Node, ok bool, err error) {
	return get[Node](tx, bucketNodes, []byte(id))
}

// Nodes returns all nodes, in an order that stays the same.
func (tx *Tx) Nodes() (nodes []Node, err error) {
	err = each(tx, bucketNodes, nil, func(_ []byte, n Node) bool {
		nodes = append(nodes, n)
		return true
	})
	return nodes, err
}
