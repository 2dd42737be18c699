package wire

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"kiosc/cluster/pki"
)

// RaftLayer carries Raft between managers over the cluster port.
type RaftLayer struct {
	listener *Listener
	identity pki.Identity
	conns    chan net.Conn
	closed   chan struct{}
	closing  sync.Once
}

var _ raft.StreamLayer = (*RaftLayer)(nil)

// NewRaftLayer takes the listener's connections of Raft's protocol.
func NewRaftLayer(l *Listener, identity pki.Identity) *RaftLayer {
	r := &RaftLayer{listener: l, identity: identity, conns: make(chan net.Conn), closed: make(chan struct{})}
	l.Handle(ALPNRaft, func(ctx context.Context, conn *tls.Conn, _ pki.Peer) {
		select {
		case r.conns <- conn: // Raft's to close from here on
		case <-r.closed:
			conn.Close()
		case <-ctx.Done():
			conn.Close()
		}
	})
	return r
}

// Accept waits for another manager.
func (r *RaftLayer) Accept() (net.Conn, error) {
	select {
	case conn := <-r.conns:
		return conn, nil
	case <-r.closed:
		return nil, net.ErrClosed
	}
}

// Dial connects to another manager's cluster port.
func (r *RaftLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: timeout}, Config: r.identity.ClientConfig(ALPNRaft)}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return dialer.DialContext(ctx, "tcp", string(address))
}

// Close ends Accept. The listener stays open.
func (r *RaftLayer) Close() error {
	r.closing.Do(func() { close(r.closed) })
	return nil
}

// Addr is the cluster port's address.
func (r *RaftLayer) Addr() net.Addr { return r.listener.Addr() }
