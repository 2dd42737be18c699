package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// maxPacket bounds one message of a directory, in bytes: an entry with all its groups has far less.
const maxPacket = 8 << 20

func init() { ber.MaxPacketLengthBytes = maxPacket }

// conn is one connection. It is used by one goroutine at a time.
type conn struct {
	raw     net.Conn // below TLS, for deadlines
	ldap    *ldap.Conn
	timeout time.Duration
	broken  bool
	used    time.Time
}

// do runs one exchange. It takes no longer than the timeout and than ctx.
func (c *conn) do(ctx context.Context, f func(*ldap.Conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	deadline := time.Now().Add(c.timeout)
	if end, ok := ctx.Deadline(); ok && end.Before(deadline) {
		deadline = end
	}
	if err := c.raw.SetDeadline(deadline); err != nil {
		c.broken = true
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.raw.SetDeadline(time.Unix(1, 0)) })
	err := f(c.ldap)
	stopped := stop()
	var answer *ldap.Error
	c.broken = c.broken || !stopped || err != nil && (!errors.As(err, &answer) || answer.ResultCode >= ldap.ErrorNetwork) || c.ldap.IsClosing()
	if c.raw.SetDeadline(time.Time{}) != nil {
		c.broken = true
	}
	c.used = time.Now()
	if err != nil && c.broken && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && c.broken && !time.Now().Before(deadline) {
		return fmt.Errorf("no answer within %s: %w", c.timeout, err)
	}
	return err
}

// close ends the connection at once.
func (c *conn) close() {
	c.raw.Close() // first, so that nothing of ldap waits for the other side
	c.ldap.Close()
}

// server is one server of a directory.
type server struct {
	address  string // host:port
	tls      *tls.Config
	direct   bool // TLS from the first byte
	startTLS bool
}

// servers are those of one directory, which all know the same.
type servers struct {
	all     []server
	timeout time.Duration
	// good is the one that worked last.
	good *atomic.Int32
}

// dial connects to the first server that works.
func (s servers) dial(ctx context.Context) (c *conn, err error) {
	first := int(s.good.Load())
	for i := range s.all {
		at := (first + i) % len(s.all)
		var oneErr error
		if c, oneErr = s.all[at].dial(ctx, s.timeout); oneErr == nil {
			s.good.Store(int32(at))
			return c, nil
		}
		err = errors.Join(err, fmt.Errorf("%s: %w", s.all[at].address, oneErr))
	}
	return nil, err
}

// dial connects, and ends the handshake of TLS.
func (s server) dial(ctx context.Context, timeout time.Duration) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	over := raw
	if s.direct {
		secure := tls.Client(raw, s.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, fmt.Errorf("TLS: %w", err)
		}
		over = secure
	}
	c := &conn{raw: raw, ldap: ldap.NewConn(over, s.direct), timeout: timeout}
	c.ldap.SetTimeout(timeout) // so that closing waits no longer either
	c.ldap.Start()
	if s.startTLS {
		if err := c.do(ctx, func(l *ldap.Conn) error { return l.StartTLS(s.tls) }); err != nil {
			c.close()
			return nil, fmt.Errorf("StartTLS: %w", err)
		}
	}
	return c, nil
}

const (
	// maxSearching is how many connections for searches one manager has with one directory.
	maxSearching = 4
	// maxIdle is how long an unused one may have been silent. Firewalls forget longer ones without a word.
	maxIdle = time.Minute
)

// pool keeps connections that are bound for searches.
type pool struct {
	open  func(context.Context) (*conn, error)
	slots chan struct{}

	mu     sync.Mutex
	idle   []*conn // the latest last
	closed bool
}

func newPool(open func(context.Context) (*conn, error)) *pool {
	return &pool{open: open, slots: make(chan struct{}, maxSearching)}
}

// with runs f on a connection. One that has broken while nobody used it is replaced, and f runs again.
func (p *pool) with(ctx context.Context, f func(*conn) error) error {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return fmt.Errorf("waiting for a connection: %w", ctx.Err())
	}
	if c := p.take(); c != nil {
		err := f(c)
		if p.put(c) || ctx.Err() != nil {
			return err
		}
	}
	c, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer p.put(c)
	return f(c)
}

// take returns an unused connection, nil for none.
func (p *pool) take() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if time.Since(c.used) < maxIdle && !c.ldap.IsClosing() {
			return c
		}
		c.close()
	}
	return nil
}

// put keeps a connection for the next, and tells whether it is whole.
func (p *pool) put(c *conn) (whole bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.broken || p.closed {
		c.close()
		return !c.broken
	}
	p.idle = append(p.idle, c)
	return true
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		c.close()
	}
	p.idle = nil
}
