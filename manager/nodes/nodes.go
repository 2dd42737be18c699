package nodes

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"kiosc/cluster/consensus"
	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/cluster/wire"
	"kiosc/manager/dispatch"
	"kiosc/manager/peers"
)

const (
	// tellEvery is how often this manager tells the others how it stands.
	tellEvery = time.Second
	// contact is how old a manager's last word may be for it to count as in contact.
	contact = 4 * time.Second
)

// Sealer encrypts and decrypts with the cluster key.
type Sealer interface {
	Seal(plain []byte, context string) ([]byte, error)
	Open(sealed []byte, context string) ([]byte, error)
}

// Config is what Nodes works with.
type Config struct {
	Node        *consensus.Node
	Peers       *peers.Peers
	Hub         *dispatch.Hub
	Credentials *pki.Credentials
	Sealer      Sealer
	// Key is the cluster key, for managers that join.
	Key []byte
	// CA opens the cluster's certificate authority.
	CA func() (*pki.CA, error)
	// CertLife is how long node certificates are valid.
	CertLife time.Duration
	// Self describes this manager: name, version and address.
	Self   state.Node
	Logger *slog.Logger
}

// Nodes is safe for use by many goroutines.
type Nodes struct {
	cfg     Config
	node    *consensus.Node
	store   *state.Store
	self    string
	logger  *slog.Logger
	joining chan struct{} // has a value for each node that is joining

	mu     sync.Mutex
	heard  map[string]heard // managers, by node id
	steady map[string]int   // how often in a row a manager without a vote had caught up
}

// heard is a manager's last word.
type heard struct {
	status wire.PeerStatus
	at     time.Time
}

// New makes a Nodes.
func New(cfg Config) *Nodes {
	return &Nodes{cfg: cfg, node: cfg.Node, store: cfg.Node.Store(), self: cfg.Credentials.Peer().NodeID, logger: cfg.Logger,
		joining: make(chan struct{}, maxJoining), heard: make(map[string]heard), steady: make(map[string]int)}
}

// Told takes what another manager tells of itself.
func (n *Nodes) Told(from string, msg any) {
	status, ok := msg.(*wire.PeerStatus)
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.heard[from] = heard{*status, time.Now()}
}

// last is a manager's last word; of this one, how it stands now.
func (n *Nodes) last(id string) (heard, bool) {
	if id == n.self {
		return heard{*n.Status(), time.Now()}, true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	h, ok := n.heard[id]
	return h, ok
}

// Status is what this manager tells the others.
func (n *Nodes) Status() *wire.PeerStatus {
	s := n.node.Status()
	return &wire.PeerStatus{Term: s.Term, Leader: s.Leader, Applied: s.Applied, Last: s.Last, Build: n.cfg.Self.Version}
}

// Addresses lists where the managers are, as Raft knows them.
func Addresses(node *consensus.Node) []wire.ManagerAddress {
	members, err := node.Members()
	if err != nil {
		return nil // Raft has stopped
	}
	list := make([]wire.ManagerAddress, len(members))
	for i, m := range members {
		list[i] = wire.ManagerAddress{ID: m.ID, Address: m.Address}
	}
	return list
}

// Run tells the other managers how this one stands, and keeps its description in the state up to date, until ctx ends.
func (n *Nodes) Run(ctx context.Context) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	registered := false
	for {
		n.cfg.Peers.Tell(n.Status())
		n.cfg.Hub.TellVisits()
		if !registered && n.node.Leader() != "" {
			registered = n.register(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// register brings this manager's description up to date, and tells whether that is done.
func (n *Nodes) register(ctx context.Context) bool {
	var old state.Node
	err := n.store.View(func(tx *state.Tx) (err error) {
		old, _, err = tx.Node(n.self)
		return err
	})
	self := n.cfg.Self
	if err == nil && old.Name == self.Name && old.Version == self.Version && old.Address == self.Address {
		return true
	}
	self.ID, self.Role, self.JoinedAt = n.self, state.ManagerNode, time.Now().UTC()
	if _, err = n.node.Propose(ctx, &state.NodeRegistered{Node: self}); err != nil && ctx.Err() == nil {
		n.logger.Warn("this manager's description could not be stored", "error", err)
	}
	return err == nil
}

// Removed waits until ctx ends, or fails with ErrRemoved once this manager was removed from the cluster.
func (n *Nodes) Removed(ctx context.Context) error {
	changed, stop := n.store.Watch(state.TopicNodes)
	defer stop()
	for {
		revoked := false
		err := n.store.View(func(tx *state.Tx) error {
			revoked = tx.Revoked(n.self)
			return nil
		})
		if err != nil {
			return err
		}
		if revoked {
			return ErrRemoved
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// Refuse keeps removed nodes out of the cluster port.
func (n *Nodes) Refuse(peer pki.Peer) error {
	return n.store.View(func(tx *state.Tx) error {
		if tx.Revoked(peer.NodeID) {
			return ErrRemoved
		}
		return nil
	})
}

// forget drops what was heard of managers that are no longer members.
func (n *Nodes) forget(members []consensus.Member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	there := make(map[string]bool, len(members))
	for _, m := range members {
		there[m.ID] = true
	}
	maps.DeleteFunc(n.heard, func(id string, _ heard) bool { return !there[id] })
	maps.DeleteFunc(n.steady, func(id string, _ int) bool { return !there[id] })
}
