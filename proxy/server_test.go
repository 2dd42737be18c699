package proxy_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

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

func TestStopEndsUpgradedConnectionsAtOnce(t *testing.T) {
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ws, err := websocket.Accept(w, r, nil); err == nil {
			_, _, _ = ws.Read(r.Context())
		}
	}))
	defer b.Close()
	addr, stop := startLimited(t, allow, dialTo(b.Listener.Addr().String()), nil, nil, time.Minute, 256)
	ws, _, err := websocket.Dial(t.Context(), "ws://"+addr+base+"/ws", nil)
	require.NoError(t, err)
	defer ws.CloseNow()
	stop()
}

// With a request waiting behind the active one nobody watches the client.
func TestStopEndsPipelinedRequests(t *testing.T) {
	entered := make(chan struct{})
	b := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-r.Context().Done()
	}))
	defer b.Close()
	addr, stop := start(t, allow, dialTo(b.Listener.Addr().String()), nil)
	c := dial(t, addr)
	c.send(get(base+"/") + get(base+"/"))
	<-entered
	stop()
}

func TestConnectionsAreBounded(t *testing.T) {
	addr, _ := startLimited(t, allow, dialTo("127.0.0.1:1"), nil, nil, time.Second, 1)
	first, second := dial(t, addr), dial(t, addr)
	first.send(get("/first"))
	first.response("GET")
	second.send(get("/second"))
	require.NoError(t, second.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	_, err := second.br.Peek(1)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, second.SetReadDeadline(time.Now().Add(10*time.Second)))
	_ = first.Close()
	_, body := second.response("GET")
	require.Equal(t, "fiber /second", body)
}

func TestTLS(t *testing.T) {
	b := httptest.NewTLSServer(nil) // for its certificate
	defer b.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			fmt.Fprint(w, r.Header.Get("X-Forwarded-Proto"))
			return
		}
		if ws, err := websocket.Accept(w, r, nil); err == nil {
			kind, msg, _ := ws.Read(r.Context())
			_ = ws.Write(r.Context(), kind, msg)
			_ = ws.Close(websocket.StatusNormalClosure, "")
		}
	}))
	defer plain.Close()
	addr, _ := startLimited(t, allow, dialTo(plain.Listener.Addr().String()), nil, &tls.Config{Certificates: b.TLS.Certificates}, time.Second, 256)
	raw, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	defer raw.Close()
	require.NoError(t, raw.SetDeadline(time.Now().Add(10*time.Second)))
	c := &conn{raw, bufio.NewReader(raw), t}
	for range 3 {
		c.send(get(base + "/"))
		_, body := c.response("GET")
		require.Equal(t, "https", body)
		c.send(get("/a"))
		_, body = c.response("GET")
		require.Equal(t, "fiber /a", body)
	}
	ws, _, err := websocket.Dial(t.Context(), "wss://"+addr+base+"/", &websocket.DialOptions{HTTPClient: b.Client()})
	require.NoError(t, err)
	defer ws.CloseNow()
	require.NoError(t, ws.Write(t.Context(), websocket.MessageText, []byte("hello")))
	_, msg, err := ws.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, "hello", string(msg))
}
