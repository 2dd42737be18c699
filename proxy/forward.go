package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// serveContainer answers one request to an app below Prefix.
func (s *Server) serveContainer(c *client, req *request, b body, id, rest string) bool {
	if rest == "" || rest[0] == '?' {
		return s.answer(c, req, b, redirect(http.StatusPermanentRedirect, Prefix+id+"/"+rest))
	}
	who := s.credentials(req.header)
	at := place{id: id, rest: rest, prefix: Prefix + id}
	switch {
	case req.method == http.MethodGet && req.header.Get(probeField) != "":
		return s.answer(c, req, b, s.probe(c, req, at, who))
	case s.cfg.Apps != nil && who.Token == "":
		return s.answer(c, req, b, redirect(http.StatusTemporaryRedirect, s.cfg.Apps.URL(id, rest)))
	case who.Session != "" && who.Token == "" && req.isForeign():
		return s.answer(c, req, b, foreign(req))
	}
	return s.serveAt(c, req, b, at, who)
}

// place is where a request finds an app.
type place struct {
	id     string // of the container
	rest   string // the target behind prefix
	prefix string // what the browser has before it; empty at an app's own host
}

// forApp is the target that the app is asked for.
func (at place) forApp(t Target) string {
	if t.KeepPrefix {
		return at.prefix + at.rest
	}
	return at.rest
}

// serveAt lets the app answer.
func (s *Server) serveAt(c *client, req *request, b body, at place, who Credentials) bool {
	target, conn, refusal := s.reach(c, req, at, who, false)
	if refusal != nil {
		s.counts.status(refusal.status)
		return s.answer(c, req, b, refusal)
	}
	defer s.loads.leave(target.Container)
	s.counts.streams.Inc()
	defer s.counts.streams.Dec()
	s.accessed(target)
	x := &exchange{s: s, c: c, req: req, body: b, target: target, rest: at.forApp(target), prefix: at.prefix, visit: visit{who, at.id}, sent: make(chan struct{})}
	x.use(conn)
	defer x.end()
	return x.run()
}

// reach authorises, counts the exchange in and connects. Its caller counts it
// out again where there was no refusal. waiting is as in Failure.
func (s *Server) reach(c *client, req *request, at place, who Credentials, waiting bool) (Target, *backend, *answer) {
	target, err := s.cfg.Gate.Authorize(c.run.ctx, who, at.id)
	if err != nil {
		return target, nil, s.denied(req, at, err)
	}
	if status := s.loads.enter(target.Container, s.cfg.Limits, time.Now()); status != 0 {
		return target, nil, busyApp(req, target, status)
	}
	conn, err := s.connect(c.run.ctx, target, req.isRepeatable())
	if err != nil {
		s.loads.leave(target.Container)
		if !errors.Is(err, ErrRefused) {
			s.log.Warn("an app cannot be reached", "container", at.id, "node", target.Node, "error", err)
		}
		s.failed(c, target, visit{who, at.id}, err, waiting)
		return target, nil, unreachable(req, target, http.StatusBadGateway)
	}
	return target, conn, nil
}

// answer sends an answer of the proxy's own. A request with a body ends the
// connection, which spares reading an upload that nobody wants.
func (s *Server) answer(c *client, req *request, b body, a *answer) bool {
	a.close = !req.keepAlive() || !b.done() || c.run.isStopping()
	if req.minor == 0 && !a.close {
		a.header.Set("Connection", "keep-alive")
	}
	if a.write(c, req.method) != nil {
		return false
	}
	if a.close && !b.done() {
		c.linger()
	}
	return !a.close
}

// exchange is one request to an app and its response. The connection's own
// goroutine receives the response. Another one sends a request that has a body
// and then watches the client; for one without a body it only watches, and
// begins with that when the answer takes a while.
type exchange struct {
	s      *Server
	c      *client
	req    *request
	body   body
	target Target
	rest   string
	prefix string
	visit  visit

	bodyRead atomic.Bool   // all of the request was read from the client
	sentAll  atomic.Bool   // and the app was given all of it
	bad      *badRequest   // what is wrong with the body; set before sent is closed
	sent     chan struct{} // closed when the other goroutine has ended
	watcher  *time.Timer   // starts it; nil where it was started at once
	excess   bool          // more came from the app than it had announced

	mu       sync.Mutex
	backend  *backend // nil once it waits in the pool
	watching bool     // the answer has a deadline
	answered bool     // guards the deadline of the answer
	stopping bool     // the sender is being interrupted on purpose
	gone     bool     // the client went away
}

// watchDelay is how long an answer may take before the client is watched.
const watchDelay = 50 * time.Millisecond

// use makes a connection the exchange's, and ends the one it had.
func (x *exchange) use(b *backend) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.backend != nil {
		x.backend.kill()
	}
	x.backend = b
	if x.watching {
		_ = b.SetDeadline(time.Now().Add(answerTimeout))
	}
	if x.gone {
		b.kill()
	}
	x.c.attach(b, x.visit)
}

// end closes the connection to the app unless it waits for another request.
func (x *exchange) end() {
	x.c.attach(nil, visit{})
	if x.backend != nil {
		_ = x.backend.Close()
	}
}

func (x *exchange) run() bool {
	began := time.Now()
	resp, err := x.ask()
	if err == nil {
		x.s.counts.status(resp.StatusCode)
		x.s.counts.latency.Observe(time.Since(began).Seconds())
	}
	x.backend.unlimit()
	switch {
	case err != nil:
		x.stop((*backend).kill)
		if x.bad != nil {
			x.s.refuse(x.c, x.bad)
			return false
		}
		if x.gone {
			return false
		}
		return x.fail(err)
	case resp.StatusCode == http.StatusSwitchingProtocols:
		return x.switchProtocols(resp)
	}
	reuse := x.req.keepAlive() && x.bodyRead.Load() && !x.c.run.isStopping()
	reuse, err = x.relay(resp, reuse)
	if err != nil {
		x.stop((*backend).kill)
		return false
	}
	x.finish(resp)
	if x.gone {
		return false
	}
	if !x.body.done() {
		x.c.linger()
		return false
	}
	return reuse
}

// ask sends the request and receives the head of the response. A connection
// that has waited may turn out to be dead; then a fresh one is tried.
func (x *exchange) ask() (*http.Response, error) {
	x.bodyRead.Store(x.body.done())
	if !x.body.done() {
		go x.send()
		return x.receiveHead()
	}
	x.watcher = time.AfterFunc(watchDelay, x.watch)
	for {
		// An app may have answered although it takes no more.
		x.sentAll.Store(x.sendHead() == nil)
		resp, err := x.receiveHead()
		dead := err != nil && x.backend.reused && x.backend.untouched() && !errors.Is(err, os.ErrDeadlineExceeded)
		if !dead {
			return resp, err
		}
		b, dialErr := x.s.connect(x.c.run.ctx, x.target, false)
		if dialErr != nil {
			return nil, dialErr
		}
		x.use(b)
	}
}

// finish ends the sender after a complete response, and keeps the connection
// to the app where nothing of this exchange is left on it.
func (x *exchange) finish(resp *http.Response) {
	b := x.backend
	if !b.canRest() || resp.Close || !x.sentAll.Load() || x.req.upgrade() != "" || b.br.Buffered() > 0 || x.excess {
		x.stop(func(b *backend) { _ = b.Close() })
		return
	}
	x.stop(nil)
	if x.gone {
		return
	}
	if x.watching || x.watcher == nil {
		_ = b.SetDeadline(time.Time{})
	}
	x.c.attach(nil, visit{})
	x.backend = nil
	x.s.pool.put(b)
}

// fail answers for an app that did not.
func (x *exchange) fail(err error) bool {
	status := http.StatusBadGateway
	if errors.Is(err, os.ErrDeadlineExceeded) {
		status = http.StatusGatewayTimeout
	}
	x.s.counts.status(status)
	x.s.log.Info("an app gave no answer", "container", x.target.Container, "error", err)
	x.s.failed(x.c, x.target, x.visit, err, false)
	return x.s.answer(x.c, x.req, x.body, unreachable(x.req, x.target, status))
}

// send writes a request with a body to the app, then waits for the client to
// leave.
func (x *exchange) send() {
	defer close(x.sent)
	err := x.sendRequest()
	if errors.Is(err, errClient) {
		errors.As(err, &x.bad)
		x.leave()
		return
	}
	x.limitAnswer()
	if err != nil {
		// An app that stopped reading may still answer, and many clients look
		// for an answer only when they have sent everything.
		if _, err := io.Copy(io.Discard, x.body); err != nil {
			x.leave()
			return
		}
	}
	x.sentAll.Store(err == nil)
	x.waitForLeave()
}

// watch is send for a request that has been sent.
func (x *exchange) watch() {
	defer close(x.sent)
	x.mu.Lock()
	if x.stopping {
		x.mu.Unlock()
		return
	}
	_ = x.c.SetReadDeadline(time.Time{})
	x.mu.Unlock()
	x.limitAnswer()
	x.waitForLeave()
}

// limitAnswer bounds the wait for an answer that has not begun.
func (x *exchange) limitAnswer() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.watching = true
	if !x.answered {
		_ = x.backend.SetDeadline(time.Now().Add(answerTimeout))
	}
}

func (x *exchange) waitForLeave() {
	// A request that follows already leaves nothing to watch for.
	if _, err := x.c.br.Peek(1); err != nil {
		x.leave()
	}
}

// leave ends the exchange because the client is gone, unless the sender was
// only interrupted.
func (x *exchange) leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stopping {
		return
	}
	x.gone = true
	x.backend.kill()
}

var errClient = errors.New("proxy: reading the request failed")

func (x *exchange) sendHead() error {
	p := buffers.Get().(*[]byte)
	defer buffers.Put(p)
	_, err := x.backend.Write(x.appHead((*p)[:0]))
	return err
}

func (x *exchange) sendRequest() error {
	_ = x.backend.SetWriteDeadline(time.Now().Add(answerTimeout))
	if err := x.sendHead(); err != nil {
		return err
	}
	p := buffers.Get().(*[]byte)
	defer buffers.Put(p)
	for !x.body.done() {
		n, err := x.body.Read(*p)
		if x.body.done() {
			x.bodyRead.Store(true)
		}
		if n > 0 {
			_ = x.backend.SetWriteDeadline(time.Now().Add(answerTimeout))
			if _, err := x.backend.Write((*p)[:n]); err != nil {
				return err
			}
			x.s.counts.in.Add(float64(n))
		}
		if err != nil && !x.body.done() {
			return fmt.Errorf("%w: %w", errClient, err)
		}
	}
	return nil
}

// stop ends the sender and waits for it; the client connection is ready to be
// read again afterwards. end is what becomes of the backend, nil to keep it.
func (x *exchange) stop(end func(*backend)) {
	begun := x.watcher == nil || !x.watcher.Stop()
	if begun {
		x.mu.Lock()
		x.stopping = true
		_ = x.c.SetReadDeadline(time.Unix(1, 0))
		x.mu.Unlock()
	}
	if end != nil {
		end(x.backend)
	}
	if !begun {
		return
	}
	<-x.sent
	_ = x.c.SetReadDeadline(time.Time{})
}

// asked is what ReadResponse wants to know of a request.
var asked = map[bool]*http.Request{true: {Method: http.MethodHead}, false: {Method: http.MethodGet}}

// receiveHead reads the head of the final response and passes interim ones on.
func (x *exchange) receiveHead() (*http.Response, error) {
	x.backend.limitHead()
	for {
		resp, err := http.ReadResponse(x.backend.br, asked[x.req.method == http.MethodHead])
		if err != nil {
			return nil, err
		}
		if resp.StatusCode < 100 {
			return nil, errors.New("the app's status is not valid")
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			if resp.StatusCode == http.StatusSwitchingProtocols && x.req.upgrade() == "" {
				return nil, errors.New("the app changed the protocol unasked")
			}
			x.mu.Lock()
			x.answered = true
			if x.watching {
				_ = x.backend.SetReadDeadline(time.Time{})
			}
			x.mu.Unlock()
			return resp, nil
		}
		if x.req.minor == 0 {
			continue
		}
		b := x.appendForClient(appendStatus(nil, resp.StatusCode, ""), resp.Header)
		if _, err := x.c.Write(append(b, "\r\n"...)); err != nil {
			x.leave()
			return nil, err
		}
	}
}
