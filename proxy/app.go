package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"
)

// serveApp lets Kiosc's own application answer one request. fasthttp only
// serves connections, so it is given one that carries this request alone.
func (s *Server) serveApp(c *client, req *request, b body) bool {
	app := s.cfg.App
	if s.cfg.Uploads != nil && strings.HasPrefix(req.target, s.cfg.UploadPrefix) {
		app = s.cfg.Uploads
	}
	conn := &appConn{client: c, req: req, head: req.forApp(), body: b}
	_ = c.SetReadDeadline(time.Time{})
	var err error
	if t, ok := c.Conn.(*tls.Conn); ok {
		err = app.ServeConn(&appTLSConn{conn, t})
	} else {
		err = app.ServeConn(conn)
	}
	_ = c.SetDeadline(time.Time{})
	switch {
	case conn.writeErr != nil:
		return false
	case err == nil && conn.keep:
		return true
	case conn.answered && !b.done():
		c.linger()
	}
	return false
}

// forApp is the head as fasthttp gets it: as it came, but with a path for
// target, with what locate has found out in X-Forwarded-For and -Proto and in
// Host, and as the last one of its connection. fasthttp leaves parts of some
// bodies unread, such as what follows the last boundary of a multipart form,
// and would take them for a next request that no check has seen. Of several
// Connection fields it believes the last, so the client's have to go.
func (r *request) forApp() []byte {
	var b bytes.Buffer
	b.Grow(len(r.raw) + 128)
	lines := strings.Split(strings.TrimSuffix(string(r.raw), "\r\n\r\n"), "\r\n")
	method, rest, _ := strings.Cut(lines[0], " ")
	_, version, _ := strings.Cut(rest, " ")
	b.WriteString(method + " " + r.target + " " + version + "\r\n")
	for _, line := range lines[1:] {
		name, _, _ := strings.Cut(line, ":")
		switch strings.ToLower(name) {
		case "connection", "keep-alive", "proxy-connection", "host":
			continue
		}
		if !isUntrusted(name) {
			b.WriteString(line + "\r\n")
		}
	}
	if r.host != "" {
		b.WriteString("Host: " + r.host + "\r\n")
	}
	b.WriteString("X-Forwarded-For: " + r.address + "\r\nX-Forwarded-Proto: " + r.scheme + "\r\nConnection: close\r\n\r\n")
	return b.Bytes()
}

// appConn is the connection fasthttp sees. It passes the response on as it is
// written and changes one thing: that the connection closes is told to the
// client only where it does.
type appConn struct {
	*client
	req  *request
	head []byte // still to be read
	body body

	sniff    []byte // the head of the response as far as it was written
	answered bool   // the head of the final response was sent
	keep     bool   // and lets the connection carry another request
	writeErr error
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
	_ = a.client.SetReadDeadline(time.Now().Add(bodyIdleTimeout))
	return a.body.Read(p)
}

func (a *appConn) Write(p []byte) (int, error) {
	if a.writeErr != nil {
		return 0, a.writeErr
	}
	if a.answered {
		return a.send(p, len(p))
	}
	a.sniff = append(a.sniff, p...)
	for {
		end := bytes.Index(a.sniff, []byte("\r\n\r\n"))
		if end < 0 {
			if len(a.sniff) > maxAnswerHead {
				a.writeErr = errors.New("proxy: the head of the response is too large")
				return 0, a.writeErr
			}
			return len(p), nil
		}
		end += 4
		if !bytes.HasPrefix(a.sniff, []byte("HTTP/1.1 1")) {
			out := append(a.finalHead(string(a.sniff[:end])), a.sniff[end:]...)
			a.answered, a.sniff = true, nil
			return a.send(out, len(p))
		}
		if bytes.HasPrefix(a.sniff, []byte("HTTP/1.1 101")) {
			a.writeErr = errors.New("proxy: the application cannot change the protocol")
			return 0, a.writeErr
		}
		if _, err := a.send(a.sniff[:end], 0); err != nil {
			return 0, err
		}
		a.sniff = a.sniff[end:]
	}
}

// send writes p and reports n bytes of what fasthttp wrote as taken.
func (a *appConn) send(p []byte, n int) (int, error) {
	if _, err := a.client.Write(p); err != nil {
		a.writeErr = err
		return 0, err
	}
	return n, nil
}

// finalHead decides whether the connection is kept and writes that into the
// head of the response. It is kept only when all of the request was read: a
// client that waits with its body would otherwise be misunderstood.
func (a *appConn) finalHead(head string) []byte {
	lines := strings.SplitAfter(head, "\r\n")
	_, status, _ := strings.Cut(lines[0], " ")
	framed := a.req.method == http.MethodHead || strings.HasPrefix(status, "204") || strings.HasPrefix(status, "304")
	kept := lines[:1]
	for _, line := range lines[1 : len(lines)-2] {
		name, value, _ := strings.Cut(line, ":")
		switch strings.ToLower(name) {
		case "connection":
			continue
		case "content-length":
			framed = true
		case "transfer-encoding":
			framed = framed || a.req.minor == 1 && strings.EqualFold(strings.TrimSpace(value), "chunked")
		}
		kept = append(kept, line)
	}
	a.keep = framed && a.req.keepAlive() && a.body.done() && !a.run.isStopping()
	switch {
	case !a.keep:
		kept = append(kept, "Connection: close\r\n")
	case a.req.minor == 0:
		kept = append(kept, "Connection: keep-alive\r\n")
	}
	return []byte(strings.Join(kept, "") + "\r\n")
}

// Close does nothing: the connection outlives the request.
func (a *appConn) Close() error { return nil }

// The deadlines of the connection are the proxy's alone, but for writing: whoever streams an answer bounds how long the
// client may not read.

func (a *appConn) SetDeadline(time.Time) error        { return nil }
func (a *appConn) SetReadDeadline(time.Time) error    { return nil }
func (a *appConn) SetWriteDeadline(t time.Time) error { return a.client.SetWriteDeadline(t) }

var _ net.Conn = (*appConn)(nil)
