package proxy

import (
	"bufio"
	"context"
	"io"
	"math"
	"net"
	"sync"
	"time"
)

const (
	// maxIdle and maxIdleOfApp bound the connections to apps that wait for
	// another request. One costs some 30 KiB on both ends of the tunnel.
	maxIdle      = 1024
	maxIdleOfApp = 256
	// keepIdle is how long they wait, which bounds how long they keep what they
	// have buffered at most. A fresh one costs a visitor little.
	keepIdle = 10 * time.Second
)

// restful is a connection that can wait in the pool, see Dialer.
type restful interface {
	Rest()
	Resume() bool
}

// route is what the requests have in common that may share a connection.
type route struct {
	container, dockerID, node string
	port                      int
}

// backend is a connection to an app with what was read from it ahead.
type backend struct {
	net.Conn
	route  route
	limit  io.LimitedReader // below br; bounds a head
	br     *bufio.Reader
	reused bool // it has carried another request before
	rested time.Time
}

func newBackend(conn net.Conn, r route) *backend {
	b := &backend{Conn: conn, route: r}
	b.limit.R = conn
	b.br = bufio.NewReaderSize(&b.limit, 4<<10)
	return b
}

// limitHead begins a head; untouched tells whether any of it has come.
func (b *backend) limitHead()      { b.limit.N = maxAnswerHead }
func (b *backend) unlimit()        { b.limit.N = math.MaxInt64 }
func (b *backend) untouched() bool { return b.limit.N == maxAnswerHead }

// canRest tells whether the connection may carry another request later.
func (b *backend) canRest() bool {
	_, ok := b.Conn.(restful)
	return ok
}

// kill ends the connection at once, with all that is on its way.
func (b *backend) kill() {
	if k, ok := b.Conn.(interface{ Kill() }); ok {
		k.Kill()
	}
	_ = b.Close()
}

// connect returns a connection to an app, one that has waited if reuse is set.
func (s *Server) connect(ctx context.Context, t Target, reuse bool) (*backend, error) {
	r := route{t.Container, t.DockerID, t.Node, t.Port}
	if reuse {
		if b := s.pool.take(r); b != nil {
			return b, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := s.cfg.Dialer.Dial(ctx, t)
	if err != nil {
		return nil, dialError{err}
	}
	return newBackend(conn, r), nil
}

// pool keeps connections to apps between requests, the longest waiting of each
// app first.
type pool struct {
	mu    sync.Mutex
	idle  map[route][]*backend
	count int
	sweep *time.Timer // set while there are any
}

// put keeps a connection, or closes it where there are enough.
func (p *pool) put(b *backend) {
	b.Conn.(restful).Rest()
	b.reused, b.rested = true, time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count >= maxIdle || len(p.idle[b.route]) >= maxIdleOfApp {
		_ = b.Close()
		return
	}
	if p.idle == nil {
		p.idle = map[route][]*backend{}
	}
	p.idle[b.route] = append(p.idle[b.route], b)
	p.count++
	if p.sweep == nil {
		p.sweep = time.AfterFunc(keepIdle, p.expire)
	}
}

// take returns the connection that has waited the shortest time, or nil.
func (p *pool) take(r route) *backend {
	for {
		b := p.pop(r)
		if b == nil || b.Conn.(restful).Resume() {
			return b
		}
		// The app has ended it, or has said something unasked, which nobody
		// may take for the answer to the next request.
		b.kill()
	}
}

func (p *pool) pop(r route) *backend {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[r]
	if len(list) == 0 {
		return nil
	}
	last := len(list) - 1
	b := list[last]
	list[last] = nil
	p.idle[r] = list[:last]
	p.count--
	return b
}

// expire closes what has waited too long. It runs now and then.
func (p *pool) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(time.Now().Add(-keepIdle))
	p.sweep = nil
	if p.count > 0 {
		p.sweep = time.AfterFunc(keepIdle, p.expire)
	}
}

// clear closes all.
func (p *pool) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(time.Now().Add(time.Hour))
	if p.sweep != nil {
		p.sweep.Stop()
		p.sweep = nil
	}
}

// drop closes what waits since before a time. Its caller holds the lock.
func (p *pool) drop(before time.Time) {
	for r, list := range p.idle {
		n := 0
		for n < len(list) && list[n].rested.Before(before) {
			_ = list[n].Close()
			n++
		}
		p.count -= n
		if n == len(list) {
			delete(p.idle, r)
		} else {
			p.idle[r] = append(list[:0:0], list[n:]...)
		}
	}
}
