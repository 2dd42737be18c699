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
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// Prefix is the path under which every app is reached, followed by the
// container's id.
const Prefix = "/containers/proxy/"

const (
	idleTimeout     = 2 * time.Minute
	headTimeout     = 10 * time.Second
	bodyIdleTimeout = 2 * time.Minute
	dialTimeout     = 10 * time.Second
	answerTimeout   = 10 * time.Minute
	stopGrace       = 5 * time.Second
	lingerTimeout   = time.Second

	maxHead    = 64 << 10
	maxDrain   = 256 << 10
	maxLinger  = 4 << 20
	bufferSize = 32 << 10
)

// Credentials is what a request shows of who sent it; both may be empty.
type Credentials struct {
	Session string // value of the session cookie
	Token   string // API token, with its kiosc_ prefix
}

// Target is a running app and the user on whose behalf it is opened.
type Target struct {
	Container string
	DockerID  string
	Node      string
	Port      int
	User      string
	Title     string
}

// Gate decides who may open which app. It answers a refusal with a *Denial;
// any other error is a failure of Kiosc itself.
type Gate interface {
	Authorize(ctx context.Context, who Credentials, containerID string) (Target, error)
}

// Dialer opens a connection to an app's port. It answers ErrRefused when the
// container runs but nothing listens there.
type Dialer interface {
	Dial(ctx context.Context, t Target) (net.Conn, error)
}

// ErrRefused says that nothing listens on the app's port (yet).
var ErrRefused = errors.New("proxy: the app does not accept connections")

// DenialKind says why a request was turned away.
type DenialKind int

// The reasons for which a Gate turns a request away.
const (
	NotLoggedIn DenialKind = iota + 1
	NoAccess
	NotRunning
)

// Denial is a Gate's refusal; Message is shown to the client.
type Denial struct {
	Kind    DenialKind
	Message string
}

// Error returns the message of the denial.
func (d *Denial) Error() string { return d.Message }

// Config holds what a Server works with; Gate, Dialer and App are required.
type Config struct {
	Gate          Gate
	Dialer        Dialer
	App           *fasthttp.Server // answers everything that is not an app's; Fiber needs App.Handler called before
	SessionCookie string
	Logger        *slog.Logger
}

// Server is the front door; use New.
type Server struct {
	cfg Config
	log *slog.Logger
}

// New returns a Server for the given parts.
func New(cfg Config) *Server {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: cfg, log: log}
}

// run is one call of Serve: its open connections and how it ends.
type run struct {
	ctx context.Context // ends when the grace period is over

	mu       sync.Mutex
	stopping bool
	conns    map[*client]bool // value: idle
	wg       sync.WaitGroup
}

// client is one connection from a browser.
type client struct {
	net.Conn
	br  *bufio.Reader
	run *run
	tls bool
}

// Serve accepts connections from ln until ctx ends, which is no error. It
// closes ln, and returns when every goroutine it started has ended.
//
// A response which App streams ends when a write of it fails; Serve waits for
// it, so App's endless streams must write now and then.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	r := &run{ctx: base, conns: map[*client]bool{}}
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	err := s.accept(ctx, ln, r)
	_ = ln.Close()
	r.closeIdle()
	kill := time.AfterFunc(stopGrace, func() {
		cancel()
		r.closeAll()
	})
	r.wg.Wait()
	kill.Stop()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *Server) accept(ctx context.Context, ln net.Listener, r *run) error {
	delay := 5 * time.Millisecond
	for {
		conn, err := ln.Accept()
		if err == nil {
			delay = 5 * time.Millisecond
			r.wg.Go(func() { s.serveConn(r, conn) })
			continue
		}
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

// mark records whether a connection waits for a request; it answers false
// when the connection has to end because the server stops.
func (r *run) mark(c *client, idle bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping && idle {
		return false
	}
	r.conns[c] = idle
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
	for c, idle := range r.conns {
		if idle {
			c.abort()
		}
	}
}

func (r *run) closeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.abort()
	}
}

// abort closes the connection below TLS, whose own Close may wait for a peer.
func (c *client) abort() {
	if t, ok := c.Conn.(*tls.Conn); ok {
		_ = t.NetConn().Close()
		return
	}
	_ = c.Conn.Close()
}

func (s *Server) serveConn(r *run, conn net.Conn) {
	c := &client{Conn: conn, run: r, br: bufio.NewReaderSize(conn, maxHead)}
	defer func() {
		r.forget(c)
		_ = conn.Close()
		if p := recover(); p != nil {
			s.log.Error("serving a connection panicked", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if !r.mark(c, true) {
		return
	}
	if t, ok := conn.(*tls.Conn); ok {
		c.tls = true
		_ = conn.SetDeadline(time.Now().Add(headTimeout))
		if t.HandshakeContext(r.ctx) != nil {
			return
		}
		_ = conn.SetDeadline(time.Time{})
	}
	for s.serveOne(c) && r.mark(c, true) {
	}
}

// serveOne waits for a request and answers it; it reports whether the
// connection can carry another one.
func (s *Server) serveOne(c *client) bool {
	_ = c.SetReadDeadline(time.Now().Add(idleTimeout))
	if _, err := c.br.Peek(1); err != nil {
		return false
	}
	c.run.mark(c, false)
	_ = c.SetReadDeadline(time.Now().Add(headTimeout))
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
	_ = c.SetReadDeadline(time.Time{})
	body := req.body(c.br)
	if id, rest, ok := split(req.target); ok {
		return s.serveContainer(c, req, body, id, rest)
	}
	return s.serveApp(c, req, body)
}

// refuse answers a request that was not understood.
func (s *Server) refuse(c *client, bad *badRequest) {
	s.log.Debug("request refused", "reason", bad.reason, "remote", c.RemoteAddr().String())
	a := answer{status: bad.status, close: true, header: http.Header{}}
	a.json(http.StatusText(bad.status) + ": " + bad.reason)
	if a.write(c, "GET") == nil {
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
	discard(c.br, maxLinger)
	_ = c.Close()
}
