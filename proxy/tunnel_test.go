package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
	"kiosc/cluster/wire"
)

// tunnelled is a stream of a real session, as managers dial apps.
type tunnelled struct{ *wire.Stream }

func (tunnelled) Rest() {}

// Resume gives an end, or bytes, that are on their way a moment to come.
func (c tunnelled) Resume() bool {
	for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if !c.Quiet() {
			return false
		}
	}
	return true
}

// tunnel dials an app through a session between a manager and an agent that splices.
func tunnel(t *testing.T, app string) dialer {
	t.Helper()
	const cluster = "6a3c1d52-0000-4000-8000-000000000001"
	ca, err := pki.NewCA(cluster, time.Now())
	require.NoError(t, err)
	identity := func(role pki.Role, name string) *pki.Credentials {
		id, err := pki.NewIdentity(ca, role, name, cluster, time.Now(), 0)
		require.NoError(t, err)
		return pki.NewCredentials(id)
	}
	port, err := wire.Listen("127.0.0.1:0", identity(pki.RoleManager, "m"), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	sessions := make(chan *wire.Session, 1)
	port.Handle(wire.ALPNAgent, func(ctx context.Context, conn *tls.Conn, _ pki.Peer) {
		session, err := wire.NewServerSession(conn)
		if err != nil {
			t.Error(err)
			return
		}
		defer session.Close()
		sessions <- session
		<-ctx.Done()
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- port.Serve(ctx) }()
	agent, err := wire.Dial(ctx, port.Addr().String(), identity(pki.RoleAgent, "a"), wire.ALPNAgent)
	require.NoError(t, err)
	go func() {
		for {
			_, _, stream, err := agent.Accept(ctx)
			if err != nil {
				ended <- nil
				return
			}
			go func() {
				conn, err := net.Dial("tcp", app)
				if err != nil {
					stream.Kill()
					return
				}
				wire.Splice(ctx, stream, conn)
			}()
		}
	}()
	t.Cleanup(func() {
		cancel()
		agent.Close()
		for range 2 {
			require.NoError(t, <-ended)
		}
	})
	manager := <-sessions
	return func(ctx context.Context) (net.Conn, error) {
		stream, err := manager.Open(ctx, wire.Proxy, wire.ProxyHeader{Container: "c"})
		if err != nil {
			return nil, err
		}
		return tunnelled{stream}, nil
	}
}

// TestBodiesThroughATunnel asks for bodies of many sizes that come in pieces of many sizes, over kept connections.
func TestBodiesThroughATunnel(t *testing.T) {
	app := rawApp(t, func(c net.Conn, br *bufio.Reader) {
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			size, _ := strconv.Atoi(req.URL.Query().Get("size"))
			cut, _ := strconv.Atoi(req.URL.Query().Get("cut"))
			all := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
			all = append(all, bytesOf(size)...)
			for len(all) > 0 {
				n := min(len(all), cut)
				if _, err := c.Write(all[:n]); err != nil {
					return
				}
				all = all[n:]
			}
		}
	})
	addr, _ := start(t, allow, tunnel(t, app), nil)
	random := rand.New(rand.NewSource(1))
	for range 150 {
		size := random.Intn(1 << random.Intn(22))
		cut := max(1+size/500, 1+random.Intn(1<<random.Intn(18)))
		resp, err := http.Get(fmt.Sprintf("http://%s%s/?size=%d&cut=%d", addr, base, size, cut))
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, int64(size), resp.ContentLength)
		require.True(t, bytes.Equal(bytesOf(size), got), "size %d in pieces of %d", size, cut)
	}
}

// bytesOf is a body that shows what is lost or out of order.
func bytesOf(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// TestSurplusThroughATunnel has an app that sends more than it has announced: nobody gets that, in whatever frame it came.
func TestSurplusThroughATunnel(t *testing.T) {
	for _, size := range []int{10, 5_000, 100_000} {
		var dials atomic.Int32
		app := rawApp(t, func(c net.Conn, br *bufio.Reader) {
			dials.Add(1)
			for {
				if _, err := http.ReadRequest(br); err != nil {
					return
				}
				all := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
				c.Write(append(append(all, bytesOf(size)...), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"...))
			}
		})
		addr, _ := start(t, allow, tunnel(t, app), nil)
		for range 5 {
			resp, err := http.Get(fmt.Sprintf("http://%s%s/", addr, base))
			require.NoError(t, err)
			got, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.True(t, bytes.Equal(bytesOf(size), got))
		}
		require.Equal(t, int32(5), dials.Load(), "size %d", size)
	}
}

// TestBrokenBodyThroughATunnel has an app that ends in the middle.
func TestBrokenBodyThroughATunnel(t *testing.T) {
	app := rawApp(t, func(c net.Conn, br *bufio.Reader) {
		if _, err := http.ReadRequest(br); err == nil {
			c.Write(append([]byte("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n"), bytesOf(200_000)...))
		}
	})
	addr, _ := start(t, allow, tunnel(t, app), nil)
	resp, err := http.Get(fmt.Sprintf("http://%s%s/", addr, base))
	require.NoError(t, err)
	got, err := io.ReadAll(resp.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.True(t, bytes.Equal(bytesOf(200_000), got))
}
