package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"kiosc/cluster/pki"
)

// The ALPN protocols.
const (
	ALPNAgent = "kiosc-agent/1"
	ALPNRaft  = "kiosc-raft/1"
	ALPNJoin  = "kiosc-join/1"
	ALPNPeer  = "kiosc-peer/1"
)

// callers tells whose certificate a protocol needs; "" for nobody's.
var callers = map[string]pki.Role{ALPNAgent: pki.RoleAgent, ALPNRaft: pki.RoleManager, ALPNJoin: "", ALPNPeer: pki.RoleManager}

const (
	handshakeTimeout = 10 * time.Second
	// acceptPause follows a failure to accept, so that a lasting one doesn't fill the log.
	acceptPause = time.Second
	// maxHandshakes bounds the connections that haven't said yet who they are.
	maxHandshakes = 256
)

// Handler serves one connection and returns when it is done with it. peer is zero for protocols without a certificate.
type Handler func(ctx context.Context, conn *tls.Conn, peer pki.Peer)

// Listener is a manager's cluster port.
type Listener struct {
	net.Listener
	cluster string // its id
	config  *tls.Config
	logger  *slog.Logger

	mu       sync.Mutex
	handlers map[string]Handler
	refuses  func(pki.Peer) error // nil for nobody
}

// Listen opens the port. Connections wait until Serve.
func Listen(addr string, credentials *pki.Credentials, logger *slog.Logger) (*Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Listener{Listener: l, cluster: credentials.Peer().ClusterID, logger: logger, handlers: make(map[string]Handler),
		config: credentials.ServerConfig([]string{ALPNAgent, ALPNRaft, ALPNJoin, ALPNPeer})}, nil
}

// Refuse lets f keep out nodes whose certificate is good otherwise, such as removed ones.
func (l *Listener) Refuse(f func(pki.Peer) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuses = f
}

// Handle says who serves a protocol. Connections of a protocol that nobody serves are closed.
func (l *Listener) Handle(protocol string, h Handler) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handlers[protocol] = h
}

// Serve accepts connections until ctx ends, then closes the port and waits for all handlers.
func (l *Listener) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { l.Listener.Close() })
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	defer cancel()
	room := make(chan struct{}, maxHandshakes)
	for {
		conn, err := l.Listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accepting connections of nodes: %w", err)
		}
		if err != nil { // such as too many open files; it passes
			l.logger.Warn("a connection of a node could not be accepted", "error", err)
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
			}
			continue
		}
		select {
		case room <- struct{}{}:
		default:
			conn.Close() // more strangers than there is room for
			continue
		}
		running.Add(1)
		go func() {
			defer running.Done()
			l.serve(ctx, tls.Server(&gatherConn{Conn: conn}, l.config), func() { <-room })
		}()
	}
}

func (l *Listener) serve(ctx context.Context, conn *tls.Conn, known func()) {
	peer, handler, err := l.meet(ctx, conn)
	known()
	if err != nil {
		l.logger.Debug("a connection to the cluster port was refused", "from", conn.RemoteAddr().String(), "error", err)
		conn.Close()
		return
	}
	handler(ctx, conn, peer)
}

// meet completes the handshake and finds out who is there and who serves them.
func (l *Listener) meet(ctx context.Context, conn *tls.Conn) (peer pki.Peer, h Handler, err error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return peer, nil, fmt.Errorf("TLS handshake: %w", err)
	}
	state := conn.ConnectionState()
	role, ok := callers[state.NegotiatedProtocol]
	if !ok {
		return peer, nil, errors.New("the client asks for no protocol of Kiosc's")
	}
	if role != "" {
		if peer, err = pki.Verified(state, l.cluster); err != nil {
			return peer, nil, err
		}
		if peer.Role != role {
			return peer, nil, fmt.Errorf("a node of role %s may not use %s", peer.Role, state.NegotiatedProtocol)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h, ok = l.handlers[state.NegotiatedProtocol]
	if role != "" && l.refuses != nil {
		if err := l.refuses(peer); err != nil {
			return peer, nil, err
		}
	}
	if !ok {
		return peer, nil, fmt.Errorf("nobody serves %s here", state.NegotiatedProtocol)
	}
	return peer, h, nil
}
