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
	credentials *pki.Credentials
	address     address
	conns       chan net.Conn
	closed      chan struct{}
	closing     sync.Once
}

// address is a host:port that others dial.
type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

var _ raft.StreamLayer = (*RaftLayer)(nil)

// NewRaftLayer takes the listener's connections of Raft's protocol. The others reach this manager at advertised, a
// host:port.
func NewRaftLayer(l *Listener, credentials *pki.Credentials, advertised string) *RaftLayer {
	r := &RaftLayer{credentials: credentials, address: address(advertised), conns: make(chan net.Conn), closed: make(chan struct{})}
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
func (r *RaftLayer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: timeout}, Config: r.credentials.ClientConfig(ALPNRaft)}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return dialer.DialContext(ctx, "tcp", string(to))
}

// Close ends Accept. The listener stays open.
func (r *RaftLayer) Close() error {
	r.closing.Do(func() { close(r.closed) })
	return nil
}

// Addr is where the others reach this manager.
func (r *RaftLayer) Addr() net.Addr { return r.address }
