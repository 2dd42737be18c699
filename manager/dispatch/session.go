package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/cluster/wire"
)

const (
	// maxLogStreams bounds the Docker containers of one node whose logs come in at once.
	maxLogStreams = 4096
	// maxFileStreams bounds the small files that one node fetches at once.
	maxFileStreams = 64
	// writeTimeout bounds each message to an agent.
	writeTimeout = 30 * time.Second
	// registerEvery is the wait before a description that could not be stored is tried again.
	registerEvery = 2 * time.Second
)

// session is one connection with one agent, from its Hello on.
type session struct {
	hub    *Hub
	link   *wire.Session
	peer   pki.Peer
	node   string
	hello  *wire.Hello
	logger *slog.Logger

	news    chan any   // messages that wait to be told
	writing sync.Mutex // one writer on control at a time
	control *wire.Stream
}

// queuedNews bounds what waits to be told to one agent. One that takes less is cut off, and hears all when it is back.
const queuedNews = 16

// tell sends a message without waiting for the agent to take it.
func (s *session) tell(msg any) {
	select {
	case s.news <- msg:
	default:
		s.link.Close()
	}
}

// welcome takes the agent's Hello and lets it in if it is a node of the cluster.
func (s *session) welcome(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	kind, _, control, err := s.link.Accept(ctx)
	if err != nil {
		return fmt.Errorf("waiting for the control stream: %w", err)
	}
	if kind != wire.Control {
		return fmt.Errorf("the first stream has kind %d", kind)
	}
	s.control = control
	control.SetReadDeadline(time.Now().Add(helloTimeout))
	if s.hello, err = wire.ReadAs[*wire.Hello](control); err != nil {
		return fmt.Errorf("reading the agent's hello: %w", err)
	}
	control.SetReadDeadline(time.Time{})
	version, ok := wire.Negotiate(s.hello.Versions)
	if !ok {
		return s.refuse(fmt.Sprintf("This manager speaks protocol version %d and the agent %v; bring both to neighbouring kiosc versions.", wire.Version, s.hello.Versions))
	}
	if err := s.known(ctx); err != nil {
		return err
	}
	return s.write(&wire.Welcome{Version: version, ClusterID: s.peer.ClusterID, NodeID: s.node, Managers: s.hub.cfg.Managers()})
}

func (s *session) refuse(reason string) error {
	return errors.Join(errors.New("refused: "+reason), s.write(&wire.Refusal{Reason: reason}))
}

// known makes sure that the node belongs to the cluster. One that has just joined may be known to other managers first.
func (s *session) known(ctx context.Context) error {
	nodes, stop := s.hub.store.Watch(state.TopicNodes)
	defer stop()
	for {
		var there, revoked bool
		err := s.hub.store.View(func(tx *state.Tx) (err error) {
			_, there, err = tx.Node(s.node)
			revoked = tx.Revoked(s.node)
			return err
		})
		switch {
		case err != nil:
			return err
		case revoked:
			return s.refuse("This node was removed from the cluster. Give it an empty data directory to join again.")
		case there:
			return nil
		}
		select {
		case <-nodes:
		case <-ctx.Done():
			return s.refuse("This manager does not know the node. If it has joined, try again in a few seconds.")
		}
	}
}

func (s *session) write(msg any) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	return wire.Write(s.control, msg)
}

// run serves the session until it ends. It returns after everything it started has.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.link.Close() })
	defer stop()
	var running sync.WaitGroup
	defer running.Wait()
	running.Add(3)
	go func() {
		defer running.Done()
		for {
			select {
			case msg := <-s.news:
				if s.write(msg) != nil {
					s.link.Close()
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	go func() {
		defer running.Done()
		s.accept(ctx, &running)
	}()
	go func() {
		defer running.Done()
		s.register(ctx)
	}()
	err := s.listen()
	cancel()
	s.link.Close()
	return err
}

// listen handles what the agent says on the control stream.
func (s *session) listen() error {
	for {
		msg, err := wire.Read(s.control)
		if err != nil {
			return fmt.Errorf("reading from the agent: %w", err)
		}
		request, ok := msg.(*wire.RenewRequest)
		if !ok {
			return fmt.Errorf("an agent may not send %T here", msg)
		}
		answer := &wire.RenewAnswer{}
		if answer.Certificate, err = s.hub.cfg.Renew(s.peer, request.CSR); err != nil {
			s.logger.Error("an agent's certificate could not be renewed", "error", err)
			answer.Refused = "The manager could not renew the certificate. Its log says why."
		}
		if err := s.write(answer); err != nil {
			return err
		}
	}
}

// register brings the node's description in the state up to date, as soon as that is possible.
func (s *session) register(ctx context.Context) {
	for ctx.Err() == nil {
		news, err := s.description()
		if err == nil && news == nil {
			return
		}
		if err == nil {
			_, err = s.hub.node.Propose(ctx, &state.NodeRegistered{Node: *news})
		}
		if err == nil {
			return
		}
		if state.CodeOf(err) != state.Unavailable {
			s.logger.Warn("an agent's description is not taken", "error", err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(registerEvery):
		}
	}
}

// description is the node as its agent describes it, nil where the state says the same.
func (s *session) description() (*state.Node, error) {
	var old state.Node
	var there bool
	err := s.hub.store.View(func(tx *state.Tx) (err error) {
		old, there, err = tx.Node(s.node)
		return err
	})
	if err != nil || !there {
		return nil, err
	}
	news, h := old, s.hello
	news.Name, news.Version, news.Labels = h.Name, h.Build, h.Labels
	if h.Engine.Version != "" {
		news.DockerVersion, news.NetworkMode = h.Engine.Version, h.Engine.NetworkMode
		news.CPUs, news.MemoryBytes, news.Exposed = h.Engine.CPUs, h.Engine.MemoryBytes, h.Engine.Exposed
	}
	if news.Name == old.Name && news.Version == old.Version && news.DockerVersion == old.DockerVersion && news.CPUs == old.CPUs &&
		news.NetworkMode == old.NetworkMode && news.Exposed == old.Exposed && news.MemoryBytes == old.MemoryBytes && maps.Equal(news.Labels, old.Labels) {
		return nil, nil
	}
	return &news, nil
}
