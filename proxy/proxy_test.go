package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
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
		return d.DialContext(ctx, "tcp", addr)
	}
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
	app.Post("/len", func(c *fiber.Ctx) error { return c.SendString(fmt.Sprint(len(c.Body()))) })
	app.Use(func(c *fiber.Ctx) error { return c.SendString("fiber " + c.Path()) })
	return app
}

// start serves a front door and returns its address and what stops it.
func start(t *testing.T, g gate, d dialer, step chan struct{}) (string, func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	app := fiberApp(step)
	app.Handler() // Server alone does not build the routes
	s := proxy.New(proxy.Config{Gate: g, Dialer: d, App: app.Server(), SessionCookie: "kiosc_session"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	var stopped bool
	stop := func() {
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
	return ln.Addr().String(), stop
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
	addr, _ := start(t, allow, dialTo(ln.Addr().String()), nil)
	return addr
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

func TestMalformedRequestsAreRefused(t *testing.T) {
	addr := withBackend(t, func(w http.ResponseWriter, _ *http.Request) {})
	for name, head := range map[string]string{
		"both":             "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		"two lengths":      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
		"signed length":    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n",
		"list length":      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n",
		"empty length":     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
		"other coding":     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"two codings":      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		"coding on 1.0":    "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
		"fold":             "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
		"space at colon":   "GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n",
		"bare LF":          "GET / HTTP/1.1\r\nHost: a\nX: a\r\n\r\n",
		"bare CR":          "GET / HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n",
		"NUL":              "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00\r\n\r\n",
		"name":             "GET / HTTP/1.1\r\nHost: a\r\nX(: a\r\n\r\n",
		"no colon":         "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
		"no host":          "GET / HTTP/1.1\r\n\r\n",
		"two hosts":        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
		"bad host":         "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
		"connect":          "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
		"method":           "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
		"absolute target":  "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"space in target":  "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
		"version":          "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
		"double space":     "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
		"fragment":         "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
		"container chunks": "POST " + base + "/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, addr)
			c.send(head)
			resp, _ := c.response("GET")
			require.Equal(t, 400, resp.StatusCode)
			c.closed()
		})
	}
	c := dial(t, addr)
	c.send("GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 70<<10) + "\r\n\r\n")
	resp, _ := c.response("GET")
	require.Equal(t, 431, resp.StatusCode)
}

func TestOneConnectionServesBoth(t *testing.T) {
	addr := withBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "app %s %d", r.URL.RequestURI(), len(body))
	})
	c := dial(t, addr)
	requests := get("/a") + get(base+"/b?c=%zz") + "POST " + base + "/up HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" +
		"POST /len HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n" +
		"POST " + base + "/up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" +
		get(proxy.Prefix+"lobby/"+id)
	want := []string{"fiber /a", "app /b?c=%zz 0", "app /up 3", "3", "app /up 5", "fiber " + proxy.Prefix + "lobby/" + id}
	for _, whole := range []bool{true, false} {
		if whole {
			c.send(requests)
		}
		for i, w := range want {
			if !whole && i == 0 {
				go func() {
					for _, b := range []byte(requests) {
						_, _ = c.Write([]byte{b})
					}
				}()
			}
			_, body := c.response("GET")
			require.Equal(t, w, body)
		}
	}
	c.send(get(base + "?q=1"))
	resp, _ := c.response("GET")
	require.Equal(t, 308, resp.StatusCode)
	require.Equal(t, base+"/?q=1", resp.Header.Get("Location"))
	c.send(get("/bye", "Connection: close"))
	_, body := c.response("GET")
	require.Equal(t, "fiber /bye", body)
	c.closed()
}

func TestMultipartCannotHideARequest(t *testing.T) {
	addr := withBackend(t, func(http.ResponseWriter, *http.Request) {})
	body := "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n" + get("/hidden")
	c := dial(t, addr)
	c.send(fmt.Sprintf("POST /x HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	all, err := io.ReadAll(c.br)
	require.NoError(t, err)
	require.NotContains(t, string(all), "hidden")
}

func TestEventsArriveLive(t *testing.T) {
	step := make(chan struct{})
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			<-step
		}
	}))
	defer b.Close()
	addr, _ := start(t, allow, dialTo(b.Listener.Addr().String()), step)
	for _, path := range []string{"/sse", base + "/sse"} {
		resp, err := http.Get("http://" + addr + path)
		require.NoError(t, err)
		br := bufio.NewReader(resp.Body)
		for i := range 3 {
			line, err := br.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("data: %d\n", i), line)
			_, _ = br.ReadString('\n')
			step <- struct{}{}
		}
		_ = resp.Body.Close()
	}
}

func TestWebSocket(t *testing.T) {
	addr := withBackend(t, func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}})
		if err != nil {
			return
		}
		kind, msg, err := ws.Read(r.Context())
		if err == nil {
			_ = ws.Write(r.Context(), kind, msg)
		}
		_, _, _ = ws.Read(r.Context())
	})
	ws, _, err := websocket.Dial(t.Context(), "ws://"+addr+base+"/ws", &websocket.DialOptions{
		Subprotocols: []string{"echo"}, HTTPHeader: http.Header{"Origin": {"http://" + addr}}})
	require.NoError(t, err)
	require.Equal(t, "echo", ws.Subprotocol())
	require.NoError(t, ws.Write(t.Context(), websocket.MessageText, []byte("hello")))
	_, msg, err := ws.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, "hello", string(msg))
	require.NoError(t, ws.Close(websocket.StatusNormalClosure, ""))
	_, resp, err := websocket.Dial(t.Context(), "ws://"+addr+base+"/ws", &websocket.DialOptions{
		HTTPHeader: http.Header{"Origin": {"http://evil.test"}}})
	require.Error(t, err)
	require.Equal(t, 403, resp.StatusCode)
}

func TestEarlyAnswerReachesTheClient(t *testing.T) {
	addr := rawBackend(t, func(c net.Conn, br *bufio.Reader) {
		_, _ = http.ReadRequest(br)
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
	})
	c := dial(t, addr)
	c.send("POST " + base + "/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\nabc")
	resp, body := c.response("POST")
	require.Equal(t, 413, resp.StatusCode)
	require.Equal(t, "big", body)
	require.True(t, resp.Close)
	c.closed()
}

func TestClientLeavingCancels(t *testing.T) {
	entered, left := make(chan struct{}), make(chan struct{})
	addr := withBackend(t, func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	})
	c := dial(t, addr)
	c.send(get(base + "/"))
	<-entered
	_ = c.Close()
	select {
	case <-left:
	case <-time.After(time.Second):
		t.Fatal("the app was not told")
	}
}

func TestBrokenResponseStaysBroken(t *testing.T) {
	for _, head := range []string{"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "Content-Length: 10\r\n\r\nhello"} {
		addr := rawBackend(t, func(c net.Conn, br *bufio.Reader) {
			_, _ = http.ReadRequest(br)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+head)
		})
		resp, err := http.Get("http://" + addr + base + "/")
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Equal(t, "hello", string(body))
	}
}

func TestExpectContinue(t *testing.T) {
	addr := withBackend(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})
	c := dial(t, addr)
	for _, path := range []string{"/len", base + "/"} {
		c.send("POST " + path + " HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
		resp, _ := c.response("POST")
		require.Equal(t, 100, resp.StatusCode)
		c.send("abc")
		_, body := c.response("POST")
		require.Equal(t, "3", body)
	}
}

func TestBodylessAndTrailers(t *testing.T) {
	addr := withBackend(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.WriteHeader(304)
		case "/head":
			w.Header().Set("Content-Length", "7")
		default:
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Trailer", "X-Sum")
			fmt.Fprint(w, r.Trailer.Get("X-In"), r.Trailer.Get("X-Forwarded-User"))
			w.(http.Flusher).Flush()
			w.Header().Set("X-Sum", "42")
		}
	})
	c := dial(t, addr)
	for _, path := range []string{"/204", "/304"} {
		c.send(get(base + path))
		resp, _ := c.response("GET")
		require.Equal(t, path[1:], fmt.Sprint(resp.StatusCode))
	}
	c.send(strings.Replace(get(base+"/head"), "GET", "HEAD", 1))
	resp, _ := c.response("HEAD")
	require.EqualValues(t, 7, resp.ContentLength)
	c.send("POST " + base + "/t HTTP/1.1\r\nHost: a\r\nTrailer: X-In\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-In: yes\r\nX-Forwarded-User: root\r\n\r\n")
	resp, body := c.response("POST")
	require.Equal(t, "yes", body)
	require.Equal(t, "42", resp.Trailer.Get("X-Sum"))
	c.send("GET " + base + "/t HTTP/1.0\r\n\r\n")
	resp, _ = c.response("GET")
	require.Empty(t, resp.TransferEncoding)
	c.closed()
}

func TestLargeBodies(t *testing.T) {
	addr := withBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	})
	const size = 64 << 20
	resp, err := http.Post("http://"+addr+base+"/", "application/octet-stream", bytes.NewReader(make([]byte, size)))
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.EqualValues(t, size, n)
}

func TestHeadersToTheApp(t *testing.T) {
	seen := make(chan *http.Request, 1)
	addr := withBackend(t, func(w http.ResponseWriter, r *http.Request) { seen <- r })
	c := dial(t, addr)
	c.send(get(base+"//raw/%2e%2e?x=%20", "Cookie: a=\"1 2\"; kiosc_session=s; b=2;c", "Cookie: kiosc_x=1", "Authorization: Bearer kiosc_abc",
		"X-Forwarded-User: root", "X_Forwarded_User: root", "Remote-User: root", "Forwarded: for=1", "Connection: X-Hop", "X-Hop: 1"))
	c.response("GET")
	r := <-seen
	require.Equal(t, "//raw/%2e%2e?x=%20", r.RequestURI)
	require.Equal(t, "kiosc.test", r.Host)
	require.Equal(t, []string{"a=\"1 2\"; b=2;c"}, r.Header["Cookie"])
	for _, name := range []string{"Authorization", "X_Forwarded_User", "Remote-User", "Forwarded", "X-Hop"} {
		require.NotContains(t, r.Header, name)
	}
	require.Equal(t, []string{"alice"}, r.Header["X-Forwarded-User"])
	require.Equal(t, base, r.Header.Get("X-Forwarded-Prefix"))
	require.Equal(t, "http", r.Header.Get("X-Forwarded-Proto"))
	require.Equal(t, "127.0.0.1", r.Header.Get("X-Forwarded-For"))
	require.Equal(t, "kiosc.test", r.Header.Get("X-Forwarded-Host"))
	c.send(get(base+"/", "Authorization: Basic eA=="))
	c.response("GET")
	require.Equal(t, "Basic eA==", (<-seen).Header.Get("Authorization"))
}

func TestHeadersToTheClient(t *testing.T) {
	addr := withBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2; Path=/x; Domain=kiosc.test; HttpOnly", "c=3; path=" + base + "/y",
			"kiosc_session=1", "__Host-kiosc_a=1", "__Host-x=1; Path=/; Secure"}
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.Header().Set("Refresh", "1; url=/r")
		w.Header().Set("Clear-Site-Data", "*")
		w.WriteHeader(302)
	})
	c := dial(t, addr)
	for to, want := range map[string]string{
		"/a": base + "/a", base + "/a": base + "/a", "a/b": "a/b", "//other/a": "//other/a", "http://kiosc.test/a?b": "http://kiosc.test" + base + "/a?b",
		"https://kiosc.test": "https://kiosc.test" + base + "/", "http://other/a": "http://other/a", "//kiosc.test/a": "//kiosc.test" + base + "/a",
	} {
		c.send(get(base + "/?to=" + to))
		resp, _ := c.response("GET")
		require.Equal(t, want, resp.Header.Get("Location"))
		require.Equal(t, "1; url="+base+"/r", resp.Header.Get("Refresh"))
		require.Empty(t, resp.Header.Get("Clear-Site-Data"))
		require.Equal(t, []string{"a=1; Path=" + base + "/", "b=2; HttpOnly; Path=" + base + "/x", "c=3; Path=" + base + "/y"}, resp.Header["Set-Cookie"])
	}
}

func TestDenials(t *testing.T) {
	kinds := map[string]error{"login": &proxy.Denial{Kind: proxy.NotLoggedIn, Message: "m"}, "access": &proxy.Denial{Kind: proxy.NoAccess, Message: "m"},
		"stopped": &proxy.Denial{Kind: proxy.NotRunning, Message: "m"}, "broken": io.ErrClosedPipe}
	addr, _ := start(t, func(who proxy.Credentials) (proxy.Target, error) {
		require.Equal(t, "kiosc_t", who.Token)
		return proxy.Target{}, kinds[who.Session]
	}, func(context.Context) (net.Conn, error) { return nil, proxy.ErrRefused }, nil)
	c := dial(t, addr)
	for _, test := range []struct {
		kind, accept string
		status       int
		header, want string
	}{
		{"login", "text/html", 302, "Location", "/login/?next=%2Fcontainers%2Fproxy%2F" + id + "%2Fp%3Fq"},
		{"stopped", "text/html", 302, "Location", proxy.Prefix + "lobby/" + id + "?next=%2Fp%3Fq"},
		{"access", "text/html", 404, "Content-Type", "text/html; charset=utf-8"},
		{"", "text/html", 502, "Retry-After", "2"},
		{"login", "*/*", 401, "Www-Authenticate", "Token"},
		{"access", "*/*", 404, "Content-Type", "application/json"},
		{"stopped", "*/*", 503, "Retry-After", "5"},
		{"", "*/*", 502, "Retry-After", "2"},
		{"broken", "*/*", 500, "Content-Type", "application/json"},
	} {
		c.send(get(base+"/p?q", "Accept: "+test.accept, "Authorization: TOKEN kiosc_t", "Cookie: kiosc_session="+test.kind))
		resp, _ := c.response("GET")
		require.Equal(t, test.status, resp.StatusCode)
		require.Equal(t, test.want, resp.Header.Get(test.header))
	}
}

func TestStopLetsActiveRequestsEnd(t *testing.T) {
	before := runtime.NumGoroutine()
	entered, release := make(chan struct{}), make(chan struct{})
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-release
		fmt.Fprint(w, "done")
	}))
	addr, stop := start(t, allow, dialTo(b.Listener.Addr().String()), nil)
	idle, active := dial(t, addr), dial(t, addr)
	idle.send(get("/"))
	idle.response("GET")
	active.send(get(base + "/"))
	<-entered
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	idle.closed()
	release <- struct{}{}
	_, body := active.response("GET")
	require.Equal(t, "done", body)
	active.closed()
	<-stopped
	b.Close()
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+2 }, 3*time.Second, 10*time.Millisecond)
}

func FuzzHead(f *testing.F) {
	f.Add([]byte(get("/")))
	f.Add([]byte("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"))
	f.Add([]byte("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		method, host, length, err := proxy.ParseHead(raw)
		if err != nil {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return // the target may hold what net/url does not take
		}
		require.Equal(t, r.Method, method)
		require.Equal(t, r.Host, host)
		require.Equal(t, r.ContentLength, length)
	})
}

func TestStopEndsWhatDoesNotEnd(t *testing.T) {
	entered := make(chan struct{}, 2)
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			ws, err := websocket.Accept(w, r, nil)
			if err == nil {
				entered <- struct{}{}
				_, _, _ = ws.Read(r.Context())
			}
			return
		}
		entered <- struct{}{}
		<-r.Context().Done()
	}))
	defer b.Close()
	addr, stop := start(t, allow, dialTo(b.Listener.Addr().String()), nil)
	ws, _, err := websocket.Dial(t.Context(), "ws://"+addr+base+"/ws", nil)
	require.NoError(t, err)
	defer ws.CloseNow()
	c := dial(t, addr)
	c.send(get(base + "/"))
	<-entered
	<-entered
	stop()
	_, err = c.br.ReadByte()
	require.Error(t, err)
}
