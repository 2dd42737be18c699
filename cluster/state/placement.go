package state

import (
	"slices"
	"time"
)

// Usage is what a node's containers take of it.
type Usage struct {
	Placed int // containers, running or not
	Active int // those that run, or shall
	// What the active ones have reserved: thousandths of a CPU, and bytes.
	MilliCPUs   int64
	MemoryBytes int64
}

// startLike are the actions after which the container takes part of its node.
var startLike = []Action{Start, Restart, Unpause, Pause, Move}

// active tells whether the container runs, or shall.
func (c *Container) active() bool {
	if c.Pending() {
		return slices.Contains(startLike, c.Action)
	}
	return c.State == Running || c.State == Restarting || c.State == Paused
}

// index keeps the indices of placement in step with a container's record. old is nil for a new one, c for one that goes.
func index(tx *Tx, old, c *Container) error {
	if err := count(tx, old, -1); err != nil {
		return err
	}
	if err := count(tx, c, +1); err != nil {
		return err
	}
	if old != nil && old.Node != "" && (c == nil || c.Node != old.Node) {
		if err := tx.delete(bucketPlaced, key(old.Node, old.ID)); err != nil {
			return err
		}
	}
	if c != nil && c.Node != "" && (old == nil || c.Node != old.Node) {
		return tx.putRaw(bucketPlaced, key(c.Node, c.ID), []byte{})
	}
	return nil
}

// count adds a container to its node's usage, or takes it away.
func count(tx *Tx, c *Container, sign int) error {
	if c == nil || c.Node == "" {
		return nil
	}
	u, err := tx.Usage(c.Node)
	if err != nil {
		return err
	}
	u.Placed += sign
	if c.active() {
		u.Active += sign
		u.MilliCPUs += int64(sign) * c.ReservedMilliCPUs
		u.MemoryBytes += int64(sign) * c.ReservedMemory
	}
	if u == (Usage{}) {
		return tx.delete(bucketUsage, []byte(c.Node))
	}
	return tx.put(bucketUsage, []byte(c.Node), u)
}

// Usage returns what a node's containers take of it.
func (tx *Tx) Usage(node string) (Usage, error) {
	u, _, err := get[Usage](tx, bucketUsage, []byte(node))
	return u, err
}

// ContainersOn returns the containers that are placed on a node, in an order that stays the same.
func (tx *Tx) ContainersOn(node string) (list []Container, err error) {
	c := tx.btx.Bucket(bucketPlaced).Cursor()
	prefix := append([]byte(node), 0)
	for k, _ := c.Seek(prefix); k != nil && hasPrefix(k, prefix); k, _ = c.Next() {
		cont, ok, err := tx.Container(string(k[len(prefix):]))
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, cont)
		}
	}
	return list, nil
}

// UsedNodes lists the nodes that containers are placed on, removed ones included, in an order that stays the same.
func (tx *Tx) UsedNodes() (ids []string, err error) {
	err = each(tx, bucketUsage, nil, func(k []byte, _ Usage) bool {
		ids = append(ids, string(k))
		return true
	})
	return ids, err
}

// unplace takes the container from its node; what ran there is the node's to remove.
func (c *Container) unplace() {
	c.Node, c.DockerID, c.IP, c.HostPort = "", "", "", 0
	c.ReportSeq = 0
}

// ContainerPlaced says which node has the container from here on. It is only valid for the container's current
// generation, so that a decision which an action has overtaken changes nothing.
type ContainerPlaced struct {
	Container  string
	Generation uint64
	Node       string
}

func (c *ContainerPlaced) apply(tx *Tx) (any, error) {
	cont, ok, err := tx.Container(c.Container)
	if err != nil || !ok || cont.Generation != c.Generation {
		return nil, err
	}
	if _, known, err := tx.Node(c.Node); err != nil || !known {
		return nil, err
	}
	cont.unplace()
	cont.Node = c.Node
	cont.Placement++
	tx.touch(TopicPending)
	return nil, cont.save(tx)
}

// ContainerLost says that the node of a container is down for the leader. One that runs, or shall, goes to the node To
// and is started there; one that shall stop or be deleted is done with. It is only valid for the generation and the
// node that the leader has seen.
type ContainerLost struct {
	Container  string
	Generation uint64
	From, To   string
	At         time.Time
}

func (c *ContainerLost) apply(tx *Tx) (any, error) {
	cont, ok, err := tx.Container(c.Container)
	if err != nil || !ok || cont.Generation != c.Generation || cont.Node != c.From {
		return nil, err
	}
	from, known, err := tx.Node(c.From)
	if err != nil {
		return nil, err
	}
	if !known {
		from.Name = "(removed)"
	}
	lost := "The Docker host " + from.Name + " is down. Lines of the log that it had not sent are lost."
	switch {
	case cont.Pending() && cont.Action == Delete:
		return nil, cont.remove(tx)
	case cont.Pending() && cont.Action == Stop:
		cont.State, cont.StatusAt = Exited, c.At
		cont.DoneGeneration = cont.Generation
		cont.unplace()
		if err := tx.delete(bucketPending, []byte(cont.ID)); err != nil {
			return nil, err
		}
		tx.touch(TopicPending)
	case c.To != "" && cont.active():
		to, known, err := tx.Node(c.To)
		if err != nil || !known {
			return nil, err
		}
		lost += " The container is started on " + to.Name + "."
		cont.unplace()
		cont.Node = c.To
		cont.Placement++
		if err := cont.again(tx, c.At); err != nil {
			return nil, err
		}
	default:
		return nil, nil
	}
	err = tx.log(cont.ID, LogEntry{Time: c.At, Level: Severe, Process: ProcessTask, Text: lost})
	if err != nil {
		return nil, err
	}
	return nil, cont.save(tx)
}

// again makes a start the container's next goal, by no user's wish.
func (c *Container) again(tx *Tx, at time.Time) error {
	c.goal(Start, "", at)
	c.State, c.StatusAt = Initial, at
	tx.touch(TopicPending)
	return tx.putRaw(bucketPending, []byte(c.ID), []byte{})
}

// ContainerMoveRequested asks the container's node, which drains, to give it up. Once the Docker container is removed
// there, the container is placed and started anew. It is only valid for the generation that the leader has seen.
type ContainerMoveRequested struct {
	Container  string
	Generation uint64
	At         time.Time
}

func (c *ContainerMoveRequested) apply(tx *Tx) (any, error) {
	cont, ok, err := tx.Container(c.Container)
	if err != nil || !ok || cont.Generation != c.Generation || cont.Node == "" || !cont.active() {
		return nil, err
	}
	node, _, err := tx.Node(cont.Node)
	if err != nil {
		return nil, err
	}
	cont.goal(Move, "", c.At)
	err = tx.log(cont.ID, LogEntry{Time: c.At, Process: ProcessTask,
		Text: "The Docker host " + node.Name + " is being drained. The container moves to another one."})
	if err != nil {
		return nil, err
	}
	if err := tx.putRaw(bucketPending, []byte(cont.ID), []byte{}); err != nil {
		return nil, err
	}
	tx.touch(TopicPending)
	return nil, cont.save(tx)
}
