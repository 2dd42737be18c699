package dispatch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"kiosc/cluster/consensus"
	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/cluster/wire"
)

// helloTimeout bounds how long a new agent may take to introduce itself.
const helloTimeout = 10 * time.Second

// Hub has this manager's sessions with agents. Its methods may be called from any goroutine.
type Hub struct {
	node   *consensus.Node
	store  *state.Store
	key    opener
	logger *slog.Logger

	mu       sync.Mutex
	sessions map[string]*session // by node id; the newest session of each node
	changed  chan struct{}       // has a value after the sessions changed

	steps steps
}

// New makes a Hub without sessions. key opens what service sealed.
func New(node *consensus.Node, key opener, logger *slog.Logger) *Hub {
	return &Hub{node: node, store: node.Store(), key: key, logger: logger,
		sessions: make(map[string]*session), changed: make(chan struct{}, 1), steps: steps{of: make(map[string]step)}}
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
	s := &session{hub: h, link: link, node: peer.NodeID, logger: logger, sent: make(map[string]uint64)}
	if err := s.welcome(ctx); err != nil {
		logger.Warn("an agent was not let in", "error", err)
		return
	}
	h.add(s)
	defer h.remove(s)
	logger.Info("agent connected", "name", s.name)
	err = s.run(ctx)
	logger.Info("agent disconnected", "name", s.name, "reason", err)
}

func (h *Hub) add(s *session) {
	h.mu.Lock()
	old := h.sessions[s.node]
	h.sessions[s.node] = s
	h.mu.Unlock()
	if old != nil {
		old.link.Close()
	}
	h.wake()
}

func (h *Hub) remove(s *session) {
	h.mu.Lock()
	if h.sessions[s.node] == s {
		delete(h.sessions, s.node)
	}
	h.mu.Unlock()
	h.wake()
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

var (
	// ErrNotConnected says that the Docker host has no session with this manager.
	ErrNotConnected = errors.New("the Docker host is not connected")
	// ErrRefused says that the Docker host answered and nothing listens on the container's port.
	ErrRefused = errors.New("nothing listens on the container's port")
)

// Dial opens a connection to a port of a Docker container through its agent.
func (h *Hub) Dial(ctx context.Context, node string, to wire.ProxyHeader) (net.Conn, error) {
	s := h.session(node)
	if s == nil {
		return nil, ErrNotConnected
	}
	stream, err := s.link.Open(ctx, wire.Proxy, to)
	if err != nil {
		return nil, fmt.Errorf("opening a stream to the Docker host: %w", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		stream.SetReadDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { stream.SetReadDeadline(time.Unix(1, 0)) })
	answer, err := read[*wire.ProxyAnswer](stream)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	switch {
	case err != nil:
		stream.Kill()
		return nil, fmt.Errorf("waiting for the Docker host: %w", err)
	case answer.Refused:
		stream.Kill()
		return nil, fmt.Errorf("%w: %s", ErrRefused, answer.Error)
	case answer.Error != "":
		stream.Kill()
		return nil, errors.New(answer.Error)
	}
	stream.SetReadDeadline(time.Time{})
	return stream, nil
}

// read reads the one message that may come next.
func read[T any](stream *wire.Stream) (v T, err error) {
	msg, err := wire.Read(stream)
	if err != nil {
		return v, err
	}
	v, ok := msg.(T)
	if !ok {
		return v, fmt.Errorf("got %T where %T belongs", msg, v)
	}
	return v, nil
}

// steps are the momentary steps of running actions, by container.
type steps struct {
	mu sync.Mutex
	of map[string]step
}

type step struct {
	generation uint64
	text       string
	percent    int
}

func (s *steps) set(container string, at step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.of[container]; !ok || old.generation <= at.generation {
		s.of[container] = at
	}
}

func (s *steps) clear(container string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, container)
}

// Progress tells the momentary step of a container's action; "" when nothing is known.
func (h *Hub) Progress(container string) (text string, percent int) {
	h.steps.mu.Lock()
	defer h.steps.mu.Unlock()
	at, ok := h.steps.of[container]
	if !ok {
		return "", -1
	}
	return at.text, at.percent
}
