package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// serveApp lets Kiosc's own application answer one request. fasthttp only
// serves connections, so it is given one that ends after this request.
func (s *Server) serveApp(c *client, req *request, b body) bool {
	conn := &appConn{client: c, head: req.forApp(), body: b, isHead: req.method == http.MethodHead}
	var err error
	if t, ok := c.Conn.(*tls.Conn); ok {
		err = s.cfg.App.ServeConn(&appTLSConn{conn, t})
	} else {
		err = s.cfg.App.ServeConn(conn)
	}
	_ = c.SetReadDeadline(time.Time{})
	if err != nil || conn.failed || !conn.answered {
		if conn.answered && conn.writeErr == nil {
			c.linger()
		}
		return false
	}
	if !req.keepAlive() || !conn.reusable {
		if !b.done() {
			c.linger()
		}
		return false
	}
	if b.done() {
		return true
	}
	if req.header.Get("Expect") != "" && !conn.continued {
		// The client may have kept the body back, so what follows is unclear.
		c.linger()
		return false
	}
	_ = c.SetReadDeadline(time.Now().Add(lingerTimeout))
	return discard(b, maxDrain) && b.done()
}

// forApp is the head as fasthttp gets it. fasthttp stops reading a multipart
// body at its last boundary and would take what follows for a next request,
// so such a request is made the last one of its connection.
func (r *request) forApp() []byte {
	multipart := strings.Contains(strings.ToLower(strings.Join(r.header["Content-Type"], ",")), "multipart")
	if !multipart || r.length == 0 {
		return r.raw
	}
	line := bytes.Index(r.raw, []byte("\r\n")) + 2
	return bytes.Join([][]byte{r.raw[:line], []byte("Connection: close\r\n"), r.raw[line:]}, nil)
}

// appConn is the connection fasthttp sees: one request long, and watched for
// how the response ends.
type appConn struct {
	*client
	head   []byte
	body   body
	isHead bool

	sniff     []byte
	answered  bool // the head of the final response was written
	reusable  bool // the end of the response is clear without closing
	continued bool
	failed    bool // reading the request failed
	writeErr  error
}

// appTLSConn also tells fasthttp that the connection is encrypted.
type appTLSConn struct {
	*appConn
	tls *tls.Conn
}

func (a *appTLSConn) Handshake() error                     { return nil }
func (a *appTLSConn) ConnectionState() tls.ConnectionState { return a.tls.ConnectionState() }

func (a *appConn) Read(p []byte) (int, error) {
	if len(a.head) > 0 {
		n := copy(p, a.head)
		a.head = a.head[n:]
		return n, nil
	}
	_ = a.awaitBody()
	n, err := a.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		a.failed = true
	}
	return n, err
}

// awaitBody bounds the wait for the next piece of a body.
func (a *appConn) awaitBody() error {
	return a.client.SetReadDeadline(time.Now().Add(bodyIdleTimeout))
}

func (a *appConn) Write(p []byte) (int, error) {
	if !a.answered {
		a.watch(p)
	}
	n, err := a.client.Write(p)
	if err != nil {
		a.writeErr = err
	}
	return n, err
}

// watch collects the head of the response and draws from it whether the
// connection can be kept.
func (a *appConn) watch(p []byte) {
	a.sniff = append(a.sniff, p[:min(len(p), maxHead)]...)
	for !a.answered {
		end := bytes.Index(a.sniff, []byte("\r\n\r\n"))
		if end < 0 {
			if len(a.sniff) > 2*maxHead {
				a.answered = true
			}
			return
		}
		head := a.sniff[:end]
		a.sniff = a.sniff[end+4:]
		if bytes.HasPrefix(head, []byte("HTTP/1.1 1")) {
			a.continued = true
			continue
		}
		a.answered = true
		a.reusable = isReusable(string(head), a.isHead)
	}
	a.sniff = nil
}

func isReusable(head string, isHead bool) bool {
	lines := strings.Split(head, "\r\n")
	framed := isHead
	if _, status, ok := strings.Cut(lines[0], " "); ok {
		framed = framed || strings.HasPrefix(status, "204") || strings.HasPrefix(status, "304")
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case strings.EqualFold(name, "Connection") && strings.EqualFold(value, "close"):
			return false
		case strings.EqualFold(name, "Content-Length"):
			framed = true
		case strings.EqualFold(name, "Transfer-Encoding") && strings.EqualFold(value, "chunked"):
			framed = true
		}
	}
	return framed
}

// Close does nothing: the connection outlives the request.
func (a *appConn) Close() error { return nil }

// The deadlines of the connection are the proxy's alone.

func (a *appConn) SetDeadline(time.Time) error      { return nil }
func (a *appConn) SetReadDeadline(time.Time) error  { return nil }
func (a *appConn) SetWriteDeadline(time.Time) error { return nil }

var _ net.Conn = (*appConn)(nil)
