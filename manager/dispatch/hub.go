package dispatch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"kiosc/cluster/consensus"
	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/cluster/wire"
)

const (
	// helloTimeout bounds how long a new agent may take to introduce itself.
	helloTimeout = 10 * time.Second
	// firstPath is how long a visitor's connection waits for an agent by the first of several ways. A way that took longer
	// is tried last for the time of doubt, in which a dead session is noticed.
	firstPath = 2 * time.Second
	doubt     = 15 * time.Second
)

// Mesh reaches agents through other managers, and tells those things. It is nil in tests of one manager.
type Mesh interface {
	Relay(ctx context.Context, through, node string, kind wire.Kind, header any) (*wire.Stream, error)
	Tell(msg any)
}

// Config is what a Hub works with.
type Config struct {
	Node *consensus.Node
	Mesh Mesh
	// Key opens what service sealed.
	Key Opener
	// Managers lists all managers of the cluster.
	Managers func() []wire.ManagerAddress
	// Renew makes a new certificate for an agent.
	Renew func(peer pki.Peer, csr []byte) ([]byte, error)
	// Grace is how long a host may be unseen before its containers are placed elsewhere; at least MinGrace.
	Grace time.Duration
	// AppsAtRoot says that each app has a host of its own and is not below Kiosc's address.
	AppsAtRoot bool
	// FileHost is the name by which containers find their project's small files; empty for none.
	FileHost string
	Limits   Limits
	Logger   *slog.Logger
}

// Hub has this manager's sessions with agents. Its methods may be called from any goroutine.
type Hub struct {
	cfg    Config
	node   *consensus.Node
	store  *state.Store
	logger *slog.Logger

	mu       sync.Mutex
	sessions map[string]*session            // by node id; the newest session of each node
	routes   map[string]map[string]struct{} // node id → managers that have a session with it
	routed   chan struct{}                  // closed and replaced when sessions or routes change
	leading  *lead                          // nil while this manager doesn't lead
	changed  chan struct{}                  // has a value when the leader should look again
	doubted  map[string]time.Time           // node id → until when this manager's own session with it is tried last

	steps  steps
	visits visits
	lines  lineCounts
}

// New makes a Hub without sessions.
func New(cfg Config) *Hub {
	cfg.Grace = max(cfg.Grace, MinGrace)
	return &Hub{cfg: cfg, node: cfg.Node, store: cfg.Node.Store(), logger: cfg.Logger,
		sessions: make(map[string]*session), routes: make(map[string]map[string]struct{}), routed: make(chan struct{}),
		changed: make(chan struct{}, 1), doubted: make(map[string]time.Time), steps: steps{of: make(map[string]step)}, visits: newVisits(), lines: newLineCounts()}
}

// Serve runs one agent's session on an authenticated connection until either side ends it. A node that connects again
// replaces its older session.
func (h *Hub) Serve(ctx context.Context, conn *tls.Conn, peer pki.Peer) {
	logger := h.logger.With("node", peer.NodeID)
	link, err := wire.NewServerSession(conn)
	if err != nil {
		logger.Warn("an agent's session could not begin", "error", err)
		return
	}
	defer link.Close()
	s := &session{hub: h, link: link, peer: peer, node: peer.NodeID, logger: logger,
		news: make(chan any, queuedNews)}
	if err := s.welcome(ctx); err != nil {
		logger.Warn("an agent was not let in", "error", err)
		return
	}
	h.add(s)
	defer h.remove(s)
	logger.Info("agent connected", "name", s.hello.Name)
	err = s.run(ctx)
	logger.Info("agent disconnected", "name", s.hello.Name, "reason", err)
}

func (h *Hub) add(s *session) {
	h.mu.Lock()
	old := h.sessions[s.node]
	h.sessions[s.node] = s
	delete(h.doubted, s.node)
	h.reroute()
	h.mu.Unlock()
	if old != nil {
		old.link.Close()
	}
	h.tellAgents()
}

func (h *Hub) remove(s *session) {
	h.mu.Lock()
	if h.sessions[s.node] == s {
		delete(h.sessions, s.node)
		delete(h.doubted, s.node)
	}
	h.reroute()
	h.mu.Unlock()
	h.tellAgents()
}

// reroute tells those who look for a way to a node that there may be another. h.mu is held.
func (h *Hub) reroute() {
	close(h.routed)
	h.routed = make(chan struct{})
}

func (h *Hub) wake() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

func (h *Hub) session(node string) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[node]
}

// Connected tells whether the node has a session with this manager.
func (h *Hub) Connected(node string) bool { return h.session(node) != nil }

// ConnectedTo lists the managers other than this one that have a session with the node, and tells whether this has.
func (h *Hub) ConnectedTo(node string) (others []string, here bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range h.routes[node] {
		others = append(others, id)
	}
	slices.Sort(others)
	return others, h.sessions[node] != nil
}

// Agents is the list of this manager's sessions, for the others.
func (h *Hub) Agents() *wire.PeerAgents {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := &wire.PeerAgents{}
	for id := range h.sessions {
		list.Nodes = append(list.Nodes, id)
	}
	return list
}

func (h *Hub) tellAgents() {
	if h.cfg.Mesh != nil {
		h.cfg.Mesh.Tell(h.Agents())
	}
}

// Told takes what another manager tells of itself.
func (h *Hub) Told(from string, msg any) {
	switch m := msg.(type) {
	case *wire.PeerAgents:
		h.setRoutes(from, m.Nodes)
	case *wire.Progress:
		h.steps.set(m.Container, step{generation: m.Generation, text: m.Text, percent: m.Percent})
	case *wire.Visits:
		h.visits.told(from, m.Open)
	}
}

// Left forgets what a manager has told that has gone.
func (h *Hub) Left(from string) {
	h.setRoutes(from, nil)
	h.visits.told(from, nil)
}

func (h *Hub) setRoutes(through string, nodes []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for node, by := range h.routes {
		delete(by, through)
		if len(by) == 0 {
			delete(h.routes, node)
		}
	}
	for _, node := range nodes {
		if h.routes[node] == nil {
			h.routes[node] = make(map[string]struct{})
		}
		h.routes[node][through] = struct{}{}
	}
	h.reroute()
}

var (
	// ErrNotConnected says that the Docker host has no session with any manager that can be reached.
	ErrNotConnected = errors.New("the Docker host is not connected")
	// ErrRefused says that the Docker host answered and nothing listens on the container's port.
	ErrRefused = errors.New("nothing listens on the container's port")
)

// keepEvery is how often sessions are looked at without a change of the nodes.
const keepEvery = time.Second

// Keep tells agents of new and removed managers, and ends the sessions of removed agents, until ctx ends.
func (h *Hub) Keep(ctx context.Context) error {
	nodes, stop := h.store.Watch(state.TopicNodes)
	defer stop()
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	var told []wire.ManagerAddress
	for {
		managers := h.cfg.Managers()
		h.keepSessions(managers, !slices.Equal(told, managers))
		told = managers
		select {
		case <-nodes:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (h *Hub) keepSessions(managers []wire.ManagerAddress, news bool) {
	h.mu.Lock()
	sessions := slices.Collect(maps.Values(h.sessions))
	h.mu.Unlock()
	var removed []*session
	h.store.View(func(tx *state.Tx) error {
		for _, s := range sessions {
			if tx.Revoked(s.node) {
				removed = append(removed, s)
			}
		}
		return nil
	})
	for _, s := range removed {
		s.logger.Info("ending the session of a removed node", "name", s.hello.Name)
		s.link.Close()
	}
	if news && len(managers) > 0 {
		for _, s := range sessions {
			s.tell(&wire.Managers{Managers: managers})
		}
	}
}

// ways lists the ways to a node: "" for this manager's own session, then the managers that have one.
func (h *Hub) ways(node string) (ways []string, changed <-chan struct{}) {
	others, here := h.ConnectedTo(node)
	h.mu.Lock()
	defer h.mu.Unlock()
	until, doubtful := h.doubted[node]
	switch {
	case !here:
		return others, h.routed
	case doubtful && time.Now().Before(until):
		return append(others, ""), h.routed
	}
	return append([]string{""}, others...), h.routed
}

// doubtOf makes this manager's own session with a node the last way to it for some time.
func (h *Hub) doubtOf(node string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doubted[node] = time.Now().Add(doubt)
}

// Open opens a stream on this manager's own session with an agent.
func (h *Hub) Open(ctx context.Context, node string, kind wire.Kind, header any) (*wire.Stream, error) {
	s := h.session(node)
	if s == nil {
		return nil, ErrNotConnected
	}
	stream, err := s.link.Open(ctx, kind, header)
	if err != nil {
		return nil, fmt.Errorf("opening a stream to the Docker host: %w", err)
	}
	return stream, nil
}

// open opens a stream to an agent by one of ways.
func (h *Hub) open(ctx context.Context, way, node string, kind wire.Kind, header any) (*wire.Stream, error) {
	if way == "" {
		return h.Open(ctx, node, kind, header)
	}
	return h.cfg.Mesh.Relay(ctx, way, node, kind, header)
}

// Reach opens a stream to an agent, by this manager's own session or through another manager.
func (h *Hub) Reach(ctx context.Context, node string, kind wire.Kind, header any) (*wire.Stream, error) {
	ways, _ := h.ways(node)
	err := error(ErrNotConnected)
	for i, way := range ways {
		bounded, cancel := ctx, context.CancelFunc(func() {})
		if i < len(ways)-1 {
			bounded, cancel = context.WithTimeout(ctx, firstPath)
		}
		var stream *wire.Stream
		stream, err = h.open(bounded, way, node, kind, header)
		cancel()
		if err == nil || ctx.Err() != nil {
			return stream, err
		}
	}
	return nil, err
}

// Dial opens a connection to a port of a Docker container through its agent, by this manager's own session or through
// another manager.
func (h *Hub) Dial(ctx context.Context, node string, to wire.ProxyHeader) (net.Conn, error) {
	ways, _ := h.ways(node)
	err := error(ErrNotConnected)
	for i, way := range ways {
		var stream *wire.Stream
		bounded, cancel := ctx, context.CancelFunc(func() {})
		if i < len(ways)-1 {
			bounded, cancel = context.WithTimeout(ctx, firstPath)
		}
		stream, err = h.dial(bounded, way, node, to)
		cancel()
		if err == nil {
			return h.visits.enter(to.Container, stream), nil
		}
		var answered *answeredError
		if ctx.Err() != nil || errors.Is(err, ErrRefused) || errors.As(err, &answered) {
			break // another way leads to the same answer
		}
		if way == "" && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)) {
			h.doubtOf(node)
		}
	}
	return nil, err
}

// answeredError is what the agent itself has said.
type answeredError struct{ text string }

func (e *answeredError) Error() string { return e.text }

// IsAnswer tells of an error of Dial's whether the Docker host itself has said so: it could be reached.
func IsAnswer(err error) bool {
	var answered *answeredError
	return errors.Is(err, ErrRefused) || errors.As(err, &answered)
}

func (h *Hub) dial(ctx context.Context, way, node string, to wire.ProxyHeader) (*wire.Stream, error) {
	stream, err := h.open(ctx, way, node, wire.Proxy, to)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		stream.SetReadDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { stream.SetReadDeadline(time.Unix(1, 0)) })
	answer, err := wire.ReadAs[*wire.ProxyAnswer](stream)
	if !stop() {
		err = ctx.Err()
	}
	switch {
	case err != nil:
		err = fmt.Errorf("waiting for the Docker host: %w", err)
	case answer.Refused:
		err = fmt.Errorf("%w: %s", ErrRefused, answer.Error)
	case answer.Error != "":
		err = &answeredError{answer.Error}
	}
	if err != nil {
		stream.Kill()
		return nil, err
	}
	stream.SetReadDeadline(time.Time{})
	return stream, nil
}
