package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

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

// A client of HTTP/1.0 takes the end of the connection for the end of a body.
// An app that keeps its connection says nothing more after a body of no bytes.
func TestAnEmptyBodyEndsWithItsHead(t *testing.T) {
	addr := rawBackend(t, func(c net.Conn, br *bufio.Reader) {
		for {
			if _, err := http.ReadRequest(br); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")
		}
	})
	c := dial(t, addr)
	for range 2 {
		c.send(get(base + "/"))
		resp, body := c.response("GET")
		require.Equal(t, http.StatusFound, resp.StatusCode)
		require.Equal(t, "0", resp.Header.Get("Content-Length"))
		require.Empty(t, body)
	}
}

func TestBrokenResponseStaysBrokenForOldClients(t *testing.T) {
	addr := rawBackend(t, func(c net.Conn, br *bufio.Reader) {
		_, _ = http.ReadRequest(br)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	})
	c := dial(t, addr)
	c.send("GET " + base + "/ HTTP/1.0\r\n\r\n")
	_, err := io.ReadAll(c.br)
	require.Error(t, err)
}

func TestOldBackends(t *testing.T) {
	addr := rawBackend(t, func(c net.Conn, br *bufio.Reader) {
		_, _ = http.ReadRequest(br)
		_, _ = io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\nuntil the end")
	})
	c := dial(t, addr)
	c.send(get(base + "/"))
	resp, body := c.response("GET")
	require.Equal(t, "until the end", body)
	require.Equal(t, []string{"chunked"}, resp.TransferEncoding)
	c.send("GET " + base + "/ HTTP/1.0\r\n\r\n")
	resp, body = c.response("GET")
	require.Equal(t, "until the end", body)
	require.Empty(t, resp.TransferEncoding)
	c.closed()
}

func TestWrongAnswersAreNotPassedOn(t *testing.T) {
	for _, answer := range []string{"", "SSH-2.0-x\r\n", "HTTP/1.1 099 x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 300<<10)} {
		addr := rawBackend(t, func(c net.Conn, br *bufio.Reader) {
			_, _ = http.ReadRequest(br)
			_, _ = io.WriteString(c, answer)
		})
		c := dial(t, addr)
		c.send(get(base + "/"))
		resp, body := c.response("GET")
		require.Equal(t, 502, resp.StatusCode)
		require.JSONEq(t, `{"detail":"App does not answer at the moment. It may still be starting."}`, body)
	}
}

// Each piece of a body arrives although the rest of it has not been written.
func TestSlowBodiesAreNotHeldBack(t *testing.T) {
	step := make(chan struct{})
	addr := rawBackend(t, func(c net.Conn, br *bufio.Reader) {
		_, _ = http.ReadRequest(br)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
		for _, b := range []byte("abc") {
			_, _ = c.Write([]byte{b})
			<-step
		}
	})
	resp, err := http.Get("http://" + addr + base + "/")
	require.NoError(t, err)
	defer resp.Body.Close()
	for _, want := range []byte("abc") {
		var got [1]byte
		_, err := io.ReadFull(resp.Body, got[:])
		require.NoError(t, err)
		require.Equal(t, want, got[0])
		step <- struct{}{}
	}
}

// deafConn is an app that takes nothing and says nothing, over a tunnel that
// can be killed.
type deafConn struct {
	net.Conn
	killed func()
}

func (d deafConn) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
func (d deafConn) Kill()                     { d.killed() }

func TestClientLeavingKillsTheTunnel(t *testing.T) {
	killed := make(chan struct{})
	addr, _ := start(t, allow, func(context.Context) (net.Conn, error) {
		near, _ := net.Pipe()
		return deafConn{near, sync.OnceFunc(func() { close(killed) })}, nil
	}, nil)
	c := dial(t, addr)
	c.send("POST " + base + "/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
	_ = c.Close()
	select {
	case <-killed:
	case <-time.After(time.Second):
		t.Fatal("the tunnel was not killed")
	}
}

func TestEarlyAnswerDuringALargeUpload(t *testing.T) {
	addr := rawBackend(t, func(c net.Conn, br *bufio.Reader) {
		_, _ = http.ReadRequest(br)
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
	})
	resp, err := http.Post("http://"+addr+base+"/", "", io.LimitReader(zeros{}, 64<<20))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 413, resp.StatusCode)
}

func TestUpgradeEndsOnBothSides(t *testing.T) {
	ended := make(chan error, 1)
	addr := rawBackend(t, func(c net.Conn, br *bufio.Reader) {
		_, _ = http.ReadRequest(br)
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhi")
		all, err := io.ReadAll(br) // up to the half-close
		_, _ = c.Write(all)
		ended <- err
	})
	c := dial(t, addr)
	c.send(get(base+"/", "Connection: Upgrade", "Upgrade: x") + "early")
	_, err := http.ReadResponse(c.br, nil)
	require.NoError(t, err)
	c.send(" late")
	require.NoError(t, c.Conn.(*net.TCPConn).CloseWrite())
	all, err := io.ReadAll(c.br)
	require.NoError(t, err)
	require.Equal(t, "hiearly late", string(all))
	require.NoError(t, <-ended)
}

func TestRefusedUpgradeIsPlainHTTP(t *testing.T) {
	addr := withBackend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "no ", r.Header.Get("Upgrade")) })
	c := dial(t, addr)
	for range 2 {
		c.send(get(base+"/", "Connection: Upgrade", "Upgrade: x"))
		_, body := c.response("GET")
		require.Equal(t, "no x", body)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestLargeBodiesTakeNoMemory(t *testing.T) {
	addr := withBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	})
	const size = 64 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	resp, err := http.Post("http://"+addr+base+"/", "", io.LimitReader(zeros{}, size))
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.EqualValues(t, size, n)
	runtime.ReadMemStats(&after)
	// A buffer for each piece would be twice the body. The race detector makes a sync.Pool forget every fourth buffer.
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(size*3/4))
}
