package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// serveContainer answers one request to an app.
func (s *Server) serveContainer(c *client, req *request, b body, id, rest string) bool {
	if rest == "" || rest[0] == '?' {
		return s.answer(c, req, b, redirect(http.StatusPermanentRedirect, Prefix+id+"/"+rest))
	}
	who := s.credentials(req.header)
	// Browsers add cookies to WebSockets of any site's pages, but never tokens.
	if req.header.Get("Upgrade") != "" && who.Session != "" && who.Token == "" && req.isForeign() {
		return s.answer(c, req, b, failure(req, http.StatusForbidden, "This connection was opened by a page of another site."))
	}
	target, err := s.cfg.Gate.Authorize(c.run.ctx, who, id)
	if err != nil {
		return s.answer(c, req, b, s.denied(req, id, rest, err))
	}
	x := &exchange{s: s, c: c, req: req, body: b, target: target, rest: rest, prefix: Prefix + id, sent: make(chan struct{})}
	conn, err := s.connect(c.run.ctx, target, req.isRepeatable())
	if err != nil {
		if !errors.Is(err, ErrRefused) {
			s.log.Warn("an app cannot be reached", "container", id, "node", target.Node, "error", err)
		}
		return s.answer(c, req, b, unreachable(req, target, http.StatusBadGateway))
	}
	x.use(conn)
	defer x.end()
	return x.run()
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

	bodyRead atomic.Bool   // all of the request was read from the client
	sentAll  atomic.Bool   // and the app was given all of it
	bad      *badRequest   // what is wrong with the body; set before sent is closed
	sent     chan struct{} // closed when the other goroutine has ended
	watcher  *time.Timer   // starts it; nil where it was started at once

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
	x.c.attach(b)
}

// end closes the connection to the app unless it waits for another request.
func (x *exchange) end() {
	x.c.attach(nil)
	if x.backend != nil {
		_ = x.backend.Close()
	}
}

func (x *exchange) run() bool {
	resp, err := x.ask()
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
	if !b.canRest() || resp.Close || !x.sentAll.Load() || x.req.upgrade() != "" || b.br.Buffered() > 0 {
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
	x.c.attach(nil)
	x.backend = nil
	x.s.pool.put(b)
}

// fail answers for an app that did not.
func (x *exchange) fail(err error) bool {
	status := http.StatusBadGateway
	if errors.Is(err, os.ErrDeadlineExceeded) {
		status = http.StatusGatewayTimeout
	}
	x.s.log.Info("an app gave no answer", "container", x.target.Container, "error", err)
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
	h := x.s.backendHeader(x.c, x.req, x.target, x.prefix)
	if !x.backend.canRest() && x.req.upgrade() == "" {
		h.Set("Connection", "close")
	}
	switch {
	case x.req.length == chunked:
		h.Set("Transfer-Encoding", "chunked")
	case x.req.length > 0 || x.req.method == http.MethodPost || x.req.method == http.MethodPut || x.req.method == http.MethodPatch:
		h.Set("Content-Length", strconv.FormatInt(x.req.length, 10))
	}
	h.Set("Host", x.req.host)
	var head bytes.Buffer
	writeHead(&head, fmt.Sprintf("%s %s HTTP/1.1", x.req.method, x.rest), h)
	_, err := x.backend.Write(head.Bytes())
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

// receiveHead reads the head of the final response and passes interim ones on.
func (x *exchange) receiveHead() (*http.Response, error) {
	x.backend.limitHead()
	for {
		resp, err := http.ReadResponse(x.backend.br, &http.Request{Method: x.req.method})
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
		var b bytes.Buffer
		writeHead(&b, statusLine(resp.StatusCode, ""), x.s.clientHeader(resp.Header, x.req.host, x.prefix))
		if _, err := x.c.Write(b.Bytes()); err != nil {
			x.leave()
			return nil, err
		}
	}
}

// relay passes the final response on as it comes; it reports whether the
// connection can be kept.
func (x *exchange) relay(resp *http.Response, reuse bool) (bool, error) {
	defer resp.Body.Close()
	h := x.s.clientHeader(resp.Header, x.req.host, x.prefix)
	bodyless := x.req.method == http.MethodHead || resp.StatusCode == http.StatusNoContent ||
		resp.StatusCode == http.StatusNotModified
	chunks := false
	switch {
	case resp.StatusCode == http.StatusNoContent:
	case bodyless:
		if v := resp.Header.Get("Content-Length"); v != "" {
			h.Set("Content-Length", v)
		}
	case resp.ContentLength >= 0:
		h.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	case x.req.minor == 1:
		chunks = true
		h.Set("Transfer-Encoding", "chunked")
		for name := range resp.Trailer {
			h.Add("Trailer", name)
		}
	default:
		reuse = false
	}
	if !reuse {
		h.Set("Connection", "close")
	} else if x.req.minor == 0 {
		h.Set("Connection", "keep-alive")
	}
	var head bytes.Buffer
	_, reason, _ := strings.Cut(resp.Status, " ")
	writeHead(&head, statusLine(resp.StatusCode, oneLine(reason)), h)
	if _, err := x.c.Write(head.Bytes()); err != nil {
		return false, err
	}
	if bodyless {
		return reuse, nil
	}
	if err := x.relayBody(resp.Body, chunks); err != nil {
		if !chunks && resp.ContentLength < 0 {
			x.c.reset()
		}
		return false, err
	}
	if chunks {
		return reuse, x.endChunks(resp.Trailer)
	}
	return reuse, nil
}

// sizeRoom is the room before a piece for its size in hexadecimal and CR LF.
const sizeRoom = 10

// relayBody writes each piece to the client as soon as it is read.
func (x *exchange) relayBody(from io.Reader, chunks bool) error {
	p := buffers.Get().(*[]byte)
	defer buffers.Put(p)
	buf := *p
	for {
		n, err := from.Read(buf[sizeRoom : len(buf)-2])
		if n > 0 {
			out := buf[sizeRoom : sizeRoom+n]
			if chunks {
				size := strconv.FormatInt(int64(n), 16) + "\r\n"
				start := sizeRoom - len(size)
				copy(buf[start:], size)
				copy(buf[sizeRoom+n:], "\r\n")
				out = buf[start : sizeRoom+n+2]
			}
			if _, err := x.c.Write(out); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (x *exchange) endChunks(trailer http.Header) error {
	kept := http.Header{}
	for name, values := range trailer {
		if !noTrailer[name] && isToken(name) {
			kept[name] = values
		}
	}
	var b bytes.Buffer
	writeHead(&b, "0", kept)
	_, err := x.c.Write(b.Bytes())
	return err
}

// switchProtocols passes the app's consent on and then carries bytes.
func (x *exchange) switchProtocols(resp *http.Response) bool {
	x.stop(nil)
	_ = x.c.SetReadDeadline(time.Time{})
	if !x.body.done() || x.gone || !x.c.run.mark(x.c, upgraded) {
		x.backend.kill()
		return false
	}
	h := x.s.clientHeader(resp.Header, x.req.host, x.prefix)
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", resp.Header.Get("Upgrade"))
	var head bytes.Buffer
	writeHead(&head, statusLine(resp.StatusCode, ""), h)
	if _, err := x.c.Write(head.Bytes()); err != nil {
		x.backend.kill()
		return false
	}
	_ = x.backend.SetDeadline(time.Time{})
	up := make(chan struct{})
	go func() {
		defer close(up)
		x.splice(x.backend.Conn, x.c.br)
	}()
	x.splice(x.c.Conn, x.backend.br)
	<-up
	return false
}

// splice carries one direction. An orderly end is passed on as such where the
// connection can; anything else ends both directions.
func (x *exchange) splice(to net.Conn, from io.Reader) {
	p := buffers.Get().(*[]byte)
	defer buffers.Put(p)
	// The wrapper hides ReadFrom and WriteTo, which would bring own buffers.
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, *p)
	if w, ok := to.(interface{ CloseWrite() error }); ok && err == nil && w.CloseWrite() == nil {
		return
	}
	x.backend.kill()
	x.c.abort()
}
