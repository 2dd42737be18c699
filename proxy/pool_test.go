package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// restingConn is a connection over a tunnel, which can wait in the pool.
type restingConn struct {
	net.Conn
	br *bufio.Reader
}

func (c restingConn) Read(p []byte) (int, error) { return c.br.Read(p) }
func (c restingConn) Rest()                      {}

func (c restingConn) Wait() error {
	_, err := c.br.Peek(1)
	return err
}

// Resume gives an end, or bytes, that are on their way a moment to come.
func (c restingConn) Resume() bool {
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	_, err := c.br.Peek(1)
	_ = c.SetReadDeadline(time.Time{})
	return os.IsTimeout(err)
}

// rashConn doesn't look before it is used again.
type rashConn struct{ restingConn }

func (rashConn) Resume() bool { return true }

// resting serves an app whose connections can wait, and counts them.
func resting(t *testing.T, wrap func(restingConn) net.Conn, serve func(net.Conn, *bufio.Reader)) (addr string, dials *atomic.Int32) {
	t.Helper()
	app := rawApp(t, serve)
	dials = new(atomic.Int32)
	addr, _ = start(t, allow, func(ctx context.Context) (net.Conn, error) {
		dials.Add(1)
		c, err := dialTo(app)(ctx)
		if err != nil {
			return nil, err
		}
		return wrap(restingConn{c, bufio.NewReader(c)}), nil
	}, nil)
	return addr, dials
}

func careful(c restingConn) net.Conn { return c }
func rash(c restingConn) net.Conn    { return rashConn{c} }

// echoes answers each request with its method and the number of bytes in its body.
func echoes(c net.Conn, br *bufio.Reader) {
	for {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		text := fmt.Sprint(r.Method, n)
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	}
}

func TestConnectionsToAppsAreKept(t *testing.T) {
	addr, dials := resting(t, careful, echoes)
	for range 3 { // of several visitors
		c := dial(t, addr)
		for range 3 {
			c.send(get(base + "/"))
			_, body := c.response("GET")
			require.Equal(t, "GET0", body)
		}
		c.send(get("/other")) // answered after the connection to the app was put back
		c.response("GET")
		_ = c.Close()
	}
	require.EqualValues(t, 1, dials.Load())
	// What cannot be repeated gets a connection of its own, which then serves others.
	c := dial(t, addr)
	c.send("POST " + base + "/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
	_, body := c.response("POST")
	require.Equal(t, "POST3", body)
	require.EqualValues(t, 2, dials.Load())
	c.send(get(base + "/"))
	_, body = c.response("GET")
	require.Equal(t, "GET0", body)
	require.EqualValues(t, 2, dials.Load())
}

// An app ends the connections that wait, in the worst moment.
func TestEndedConnectionsCostNoAnswer(t *testing.T) {
	for name, wrap := range map[string]func(restingConn) net.Conn{"seen": careful, "unseen": rash} {
		ended := make(chan struct{})
		addr, dials := resting(t, wrap, func(c net.Conn, br *bufio.Reader) {
			_, _ = http.ReadRequest(br)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			_ = c.Close()
			ended <- struct{}{}
		})
		c := dial(t, addr)
		for n := range 3 {
			c.send(get(base + "/"))
			resp, body := c.response("GET")
			require.Equal(t, 200, resp.StatusCode, name)
			require.Equal(t, "ok", body, name)
			<-ended
			require.EqualValues(t, n+1, dials.Load(), name)
		}
	}
}

// What an app says unasked never becomes the answer to somebody's request.
func TestSurplusBytesReachNobody(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
	step := make(chan struct{})
	addr, dials := resting(t, careful, func(c net.Conn, br *bufio.Reader) {
		for _, surplus := range []string{answer + "xx", ""} {
			if _, err := http.ReadRequest(br); err != nil {
				return
			}
			_, _ = io.WriteString(c, answer+"ok")
			<-step
			_, _ = io.WriteString(c, surplus)
			step <- struct{}{}
		}
	})
	for n := range 3 {
		c := dial(t, addr)
		c.send(get(base + "/"))
		_, body := c.response("GET")
		require.Equal(t, "ok", body)
		step <- struct{}{}
		<-step
		require.EqualValues(t, n+1, dials.Load())
	}
}

func TestAppsMayEndConnectionsAfterEachAnswer(t *testing.T) {
	for _, head := range []string{"HTTP/1.1 200 OK\r\nConnection: close\r\n", "HTTP/1.0 200 OK\r\n", "HTTP/1.1 200 OK\r\n"} {
		addr, dials := resting(t, rash, func(c net.Conn, br *bufio.Reader) {
			_, _ = http.ReadRequest(br)
			_, _ = io.WriteString(c, head+"\r\nto the end")
		})
		c := dial(t, addr)
		for n := range 2 {
			c.send(get(base + "/"))
			_, body := c.response("GET")
			require.Equal(t, "to the end", body)
			require.EqualValues(t, n+1, dials.Load())
		}
	}
}
