package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"

	"kiosc/proxy"
)

const id = "0123abcd-0000-4000-8000-00000000beef"
const base = proxy.Prefix + id

type gate func(proxy.Credentials) (proxy.Target, error)

func (g gate) Authorize(_ context.Context, who proxy.Credentials, container string) (proxy.Target, error) {
	return g(who)
}

func allow(proxy.Credentials) (proxy.Target, error) {
	return proxy.Target{Container: id, User: "alice", Title: "App"}, nil
}

type dialer func(context.Context) (net.Conn, error)

func (d dialer) Dial(ctx context.Context, _ proxy.Target) (net.Conn, error) { return d(ctx) }

func dialTo(addr string) dialer {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return &streamConn{c.(*net.TCPConn), bufio.NewReader(c)}, nil
	}
}

// streamConn can be waited for without a buffer, as a stream of the tunnel can.
type streamConn struct {
	*net.TCPConn
	br *bufio.Reader
}

func (c *streamConn) Read(p []byte) (int, error) { return c.br.Read(p) }

func (c *streamConn) Wait() error {
	_, err := c.br.Peek(1)
	return err
}

func fiberApp(gate chan struct{}) *fiber.App {
	app := fiber.New(fiber.Config{DisableStartupMessage: true, BodyLimit: 128 << 20, ReadBufferSize: 64 << 10})
	app.Get("/sse", func(c *fiber.Ctx) error {
		c.Set("Content-Type", "text/event-stream")
		c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
			for i := range 3 {
				fmt.Fprintf(w, "data: %d\n\n", i)
				if w.Flush() != nil {
					return
				}
				<-gate
			}
		})
		return nil
	})
	app.Get("/endless", func(c *fiber.Ctx) error {
		c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
			defer close(gate)
			for w.Flush() == nil {
				fmt.Fprintln(w, "more")
			}
		})
		return nil
	})
	app.Post("/len", func(c *fiber.Ctx) error { return c.SendString(fmt.Sprint(len(c.Body()))) })
	app.Use(func(c *fiber.Ctx) error { return c.SendString("fiber " + c.Path()) })
	return app
}

// TestMain also looks for goroutines which the tests' servers left behind.
func TestMain(m *testing.M) {
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	deadline := time.Now().Add(5 * time.Second)
	for code == 0 {
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if !bytes.Contains(stacks, []byte("kiosc/proxy.(")) {
			break
		}
		if time.Now().After(deadline) {
			fmt.Printf("goroutines are left:\n%s", stacks)
			code = 1
		}
		runtime.Gosched()
	}
	os.Exit(code)
}

// start serves a front door and returns its address and what stops it.
func start(t *testing.T, g gate, d dialer, step chan struct{}) (string, func()) {
	t.Helper()
	return startLimited(t, g, d, step, nil, time.Second, 256)
}

func startLimited(t *testing.T, g gate, d dialer, step chan struct{}, secret *tls.Config, grace time.Duration, conns int) (string, func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := ln.Addr().String()
	if secret != nil {
		ln = tls.NewListener(ln, secret)
	}
	app := fiberApp(step)
	app.Handler() // Server alone does not build the routes
	s := proxy.New(proxy.Config{Gate: g, Dialer: d, App: app.Server(), SessionCookie: "kiosc_session"})
	s.Limit(grace, conns)
	return addr, runServer(t, s, ln)
}

// run serves a front door of any kind until the test ends.
func run(t *testing.T, cfg proxy.Config, ln net.Listener) {
	t.Helper()
	s := proxy.New(cfg)
	s.Limit(time.Second, 256)
	runServer(t, s, ln)
}

func runServer(t *testing.T, s *proxy.Server, ln net.Listener) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	var stopped bool
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(8 * time.Second):
			t.Error("Serve did not return")
		}
	}
	t.Cleanup(stop)
	return stop
}

func withBackend(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	b := httptest.NewServer(h)
	t.Cleanup(b.Close)
	addr, _ := start(t, allow, dialTo(b.Listener.Addr().String()), nil)
	return addr
}

// rawBackend runs serve on each connection of a backend without any HTTP.
func rawBackend(t *testing.T, serve func(net.Conn, *bufio.Reader)) string {
	t.Helper()
	addr, _ := start(t, allow, dialTo(rawApp(t, serve)), nil)
	return addr
}

// rawApp is where such a backend is, without a proxy before it.
func rawApp(t *testing.T, serve func(net.Conn, *bufio.Reader)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c, bufio.NewReader(c))
			}()
		}
	}()
	return ln.Addr().String()
}

type conn struct {
	net.Conn
	br *bufio.Reader
	t  *testing.T
}

func dial(t *testing.T, addr string) *conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	return &conn{c, bufio.NewReader(c), t}
}

func (c *conn) send(s string) {
	c.t.Helper()
	_, err := io.WriteString(c, s)
	require.NoError(c.t, err)
}

func (c *conn) response(method string) (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.br, &http.Request{Method: method})
	require.NoError(c.t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return resp, string(body)
}

func (c *conn) closed() {
	c.t.Helper()
	_, err := c.br.ReadByte()
	require.ErrorIs(c.t, err, io.EOF)
}

func get(path string, fields ...string) string {
	head := "GET " + path + " HTTP/1.1\r\nHost: kiosc.test\r\n"
	for _, field := range fields {
		head += field + "\r\n"
	}
	return head + "\r\n"
}
