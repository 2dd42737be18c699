// Package proxy is the front door of a manager: it serves the one web port
// and decides, request by request, whether an app in a container or Kiosc's
// own web application answers.
//
// It owns the client connections, their timeouts, the HTTP/1 framing on both
// sides and the rewriting of headers between browser and app. It never
// decides who may see an app (Gate does), never knows how a container is
// reached (Dialer does), and keeps no state between requests.
//
// Invariants: a request whose framing could be read in two ways is answered
// with 400 and its connection closed; no app ever sees a credential of Kiosc
// or an identity header it did not get from the proxy; a response that broke
// off is never made to look complete; memory per exchange does not grow with
// the size of what passes through.
package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// Prefix is the path under which every app is reached, followed by the
// container's id.
const Prefix = "/containers/proxy/"

const (
	// idleTimeout is how long a connection may wait for a request: longer
	// than browsers and proxies before Kiosc keep theirs (60 s and more).
	idleTimeout = 2 * time.Minute
	// headTimeout is how long a head may take from its first byte, and a TLS
	// handshake; a client that trickles more slowly than this is an attack.
	headTimeout = 10 * time.Second
	// bodyIdleTimeout is how long App waits for the next piece of a body; App
	// holds the pieces in memory until then.
	bodyIdleTimeout = 2 * time.Minute
	// dialTimeout covers the way over the tunnel and a busy container host.
	dialTimeout = 10 * time.Second
	// answerTimeout is how long an app may think before the first byte of its
	// answer, and how long it may leave a piece of the request unread. Some
	// analyses compute for minutes; longer than this nobody waits at a page.
	// Once the answer has begun, there is no limit.
	answerTimeout = 10 * time.Minute
	// stopGrace is how long active requests may go on when Serve stops.
	stopGrace = 10 * time.Second
	// lingerTimeout is how long an upload is still taken after its answer.
	lingerTimeout = 2 * time.Second

	// maxConns bounds the client connections. An idle one costs about 20 KiB
	// and a proxied one 100 KiB. More than this wait in the listener's backlog.
	maxConns = 8192
	// maxHead is the size of a request head and of trailers, in bytes. Apps
	// set many cookies, and this is more than browsers send.
	maxHead = 64 << 10
	// maxAnswerHead is the size of an app's head with all interim ones before
	// it, in bytes.
	maxAnswerHead = 256 << 10
	// readSize is the read buffer of a client connection. It also bounds one
	// line between chunks.
	readSize = 16 << 10
	// bufferSize is what one direction of an exchange holds at a time. With
	// less, the calls cost more than the bytes.
	bufferSize = 64 << 10
)

// Config holds what a Server works with; Gate, Dialer and App are required.
type Config struct {
	Gate   Gate
	Dialer Dialer
	// App answers everything that is not an app's. Fiber builds its routes
	// only when its method Handler is called, which must have happened. App
	// bounds its request bodies itself and cannot hijack connections; its
	// time limits have no effect.
	App *fasthttp.Server
	// Uploads answers in place of App where the path begins with UploadPrefix: it has the same handlers and leaves it to
	// them to read the body. nil for none.
	Uploads      *fasthttp.Server
	UploadPrefix string
	// SessionCookie is the name of Kiosc's session cookie. Apps see neither it
	// nor any cookie whose name begins with kiosc_.
	SessionCookie string
	// TrustedProxies are where proxies in front of Kiosc connect from. They
	// alone are believed who their clients are: by X-Forwarded-For, -Proto and
	// -Host, which they must set themselves.
	TrustedProxies []netip.Prefix
	// Apps gives each app a host of its own; nil for none. Redeemer is needed
	// with it.
	Apps     *AppHosts
	Redeemer Redeemer
	// Limits hold for each app by itself; the zero value sets none.
	Limits Limits
	// Accessed is told of each request that is let to an app, and of what
	// browsers send over an upgraded connection, but not of pings. It must not
	// wait. nil where nobody asks.
	Accessed func(Target)
	// Failed is told of each request of somebody who may open the app, and who
	// got no answer of it. It must not wait. nil where nobody asks.
	Failed func(Target, Failure)
	Logger *slog.Logger // nil discards
}

// Server is the front door; use New. Its methods may be called by many
// goroutines at once.
type Server struct {
	cfg          Config
	log          *slog.Logger
	grace, stall time.Duration
	slots        chan struct{} // one taken for each connection
	pool         pool
	loads        loads
	// counts are for operators.
	counts *counts
}

// New returns a Server for the given parts.
func New(cfg Config) *Server {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: cfg, log: log, grace: stopGrace, stall: stallTimeout, slots: make(chan struct{}, maxConns), counts: newCounts()}
}

func (s *Server) accessed(t Target) {
	if s.cfg.Accessed != nil {
		s.cfg.Accessed(t)
	}
}

// run is one call of Serve: its open connections and how it ends.
type run struct {
	ctx context.Context // ends when the grace period is over

	mu       sync.Mutex
	stopping bool
	conns    map[*client]phase
	wg       sync.WaitGroup
}

// phase is what a connection is doing; it decides how it ends at a stop.
type phase int

const (
	waiting  phase = iota // for a request: ended at once
	busy                  // with a request: has the grace period
	upgraded              // to bytes without end: ended at once
)

// client is one connection from a browser.
type client struct {
	net.Conn
	br  *bufio.Reader
	run *run
	tls bool

	address string // of the other end, without its port
	trusted bool   // the other end is a proxy that is believed

	mu    sync.Mutex
	app   *backend // nil while it is none of its own
	visit visit    // to app
}

// Serve accepts connections from ln, plain or of crypto/tls, until ctx ends,
// which is no error. Then idle and upgraded connections end at once, active
// requests within ten seconds. It closes ln, and returns when every goroutine
// it started has ended.
//
// A response which App streams ends when a write of it fails; Serve waits for
// it, so App's endless streams must write now and then.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	r := &run{ctx: base, conns: map[*client]phase{}}
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	var rechecks sync.WaitGroup
	rechecks.Go(func() { s.recheck(base, r) })
	err := s.accept(ctx, ln, r)
	_ = ln.Close()
	r.closeIdle()
	kill := time.AfterFunc(s.grace, func() {
		cancel()
		r.closeAll()
	})
	r.wg.Wait()
	kill.Stop()
	cancel()
	rechecks.Wait()
	s.pool.clear()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *Server) accept(ctx context.Context, ln net.Listener, r *run) error {
	delay := 5 * time.Millisecond
	for {
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		conn, err := ln.Accept()
		if err == nil {
			delay = 5 * time.Millisecond
			r.wg.Go(func() {
				defer func() { <-s.slots }()
				s.serveConn(r, conn)
			})
			continue
		}
		<-s.slots
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return err
		}
		// Running out of descriptors passes; giving up would not bring them back.
		s.log.Warn("accepting a connection failed", "error", err, "retry", delay)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(delay):
		}
		delay = min(2*delay, time.Second)
	}
}

// mark records what a connection does next; it answers false when the
// connection has to end instead because the server stops.
func (r *run) mark(c *client, p phase) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping && p != busy {
		return false
	}
	r.conns[c] = p
	return true
}

func (r *run) forget(c *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
}

func (r *run) isStopping() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopping
}

func (r *run) closeIdle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopping = true
	for c, p := range r.conns {
		if p != busy {
			c.abort()
		}
	}
}

func (r *run) closeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.abort()
		c.killApp()
	}
}

// attach says to which app the connection speaks and for whom, so that the end
// of the grace period and of the access end that as well.
func (c *client) attach(app *backend, v visit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.app, c.visit = app, v
	if app != nil && c.run.ctx.Err() != nil {
		app.kill()
	}
}

func (c *client) killApp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.app != nil {
		c.app.kill()
	}
}

// abort closes the connection below TLS, whose own Close may wait for a peer.
func (c *client) abort() { _ = c.transport().Close() }

func (c *client) transport() net.Conn {
	if t, ok := c.Conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c.Conn
}

// reset ends the connection in a way that cannot be taken for the orderly end
// of a body which lasts until the connection closes.
func (c *client) reset() {
	if t, ok := c.transport().(interface{ SetLinger(seconds int) error }); ok {
		_ = t.SetLinger(0)
	}
	c.abort()
}

func (s *Server) serveConn(r *run, conn net.Conn) {
	c := &client{Conn: conn, run: r, br: bufio.NewReaderSize(conn, readSize)}
	c.address, c.trusted = s.peer(conn)
	c.endStalls(s.stall)
	defer func() {
		r.forget(c)
		_ = conn.Close()
		if p := recover(); p != nil {
			s.log.Error("serving a connection panicked", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if !r.mark(c, waiting) {
		return
	}
	if t, ok := conn.(*tls.Conn); ok {
		c.tls = true
		_ = conn.SetDeadline(time.Now().Add(headTimeout))
		if err := t.HandshakeContext(r.ctx); err != nil {
			explainTLS(err)
			return
		}
		_ = conn.SetDeadline(time.Time{})
	}
	for s.serveOne(c) && r.mark(c, waiting) {
	}
}

var headEnd = []byte("\r\n\r\n")

// explainTLS answers a client that speaks plain HTTP where TLS is spoken.
func explainTLS(err error) {
	var plain tls.RecordHeaderError
	if !errors.As(err, &plain) || plain.Conn == nil {
		return
	}
	switch method := string(plain.RecordHeader[:]); {
	case strings.HasPrefix(method, "GET "), strings.HasPrefix(method, "HEAD "), strings.HasPrefix(method, "POST "), method == "OPTIO":
		_, _ = io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nThis address is served over TLS only: use https.\n")
	}
}

// serveOne waits for a request and answers it; it reports whether the
// connection can carry another one.
func (s *Server) serveOne(c *client) bool {
	_ = c.SetReadDeadline(time.Now().Add(idleTimeout))
	if _, err := c.br.Peek(1); err != nil {
		return false
	}
	c.run.mark(c, busy)
	if ahead, _ := c.br.Peek(c.br.Buffered()); !bytes.Contains(ahead, headEnd) {
		_ = c.SetReadDeadline(time.Now().Add(headTimeout))
	}
	raw, err := readHead(c.br)
	var req *request
	if err == nil {
		req, err = parseHead(raw)
	}
	var bad *badRequest
	if errors.As(err, &bad) {
		s.refuse(c, bad)
		return false
	}
	if err != nil {
		return false
	}
	s.locate(c, req)
	body := req.body(c.br)
	if !body.done() {
		_ = c.SetReadDeadline(time.Time{})
	}
	if id, ours := s.cfg.Apps.lookUp(req.host); ours {
		return s.serveAppHost(c, req, body, id)
	}
	if id, rest, ok := split(req.target); ok {
		return s.serveContainer(c, req, body, id, rest)
	}
	return s.serveApp(c, req, body)
}

// refuse answers a request that was not understood.
func (s *Server) refuse(c *client, bad *badRequest) {
	s.log.Debug("request refused", "reason", bad.reason, "remote", c.RemoteAddr().String())
	a := newAnswer(bad.status)
	a.close = true
	a.json(http.StatusText(bad.status) + ": " + bad.reason)
	if a.write(c, http.MethodGet) == nil {
		c.linger()
	}
}

// linger ends the connection so that an answer sent before all of the request
// was read arrives: closing with unread bytes would reset the connection, and
// the client could lose what it was just sent.
func (c *client) linger() {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
	_ = c.SetReadDeadline(time.Now().Add(lingerTimeout))
	_, _ = io.Copy(io.Discard, c.br)
	_ = c.Close()
}
