package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/proxy"
)

// told serves a front door that says what has failed.
func told(t *testing.T, g gate, d dialer) (addr string, failures chan proxy.Failure, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	app := fiberApp(nil)
	app.Handler()
	failures = make(chan proxy.Failure, 10)
	s := proxy.New(proxy.Config{Gate: g, Dialer: d, App: app.Server(), SessionCookie: "kiosc_session", Failed: func(to proxy.Target, f proxy.Failure) {
		if to.Container != id || to.User != "alice" {
			t.Errorf("wrong target: %v", to)
		}
		failures <- f
	}})
	s.Limit(100*time.Millisecond, 256)
	return ln.Addr().String(), failures, runServer(t, s, ln)
}

func TestWhoGetsNoAnswerOfAnAppIsTold(t *testing.T) {
	fails := func(err error) dialer { return func(context.Context) (net.Conn, error) { return nil, err } }
	says := func(text string) dialer {
		return dialTo(rawApp(t, func(c net.Conn, br *bufio.Reader) {
			_, _ = http.ReadRequest(br)
			_, _ = io.WriteString(c, text)
		}))
	}
	for name, c := range map[string]struct {
		dial  dialer
		kind  proxy.FailureKind // 0 for none
		cause string
	}{
		"refused":     {fails(proxy.ErrRefused), proxy.Refused, "does not accept connections"},
		"late":        {fails(fmt.Errorf("waiting: %w", context.DeadlineExceeded)), proxy.Late, "waiting: context deadline"},
		"unreachable": {fails(fmt.Errorf("%w: gone", proxy.ErrUnreachable)), proxy.Unreachable, "can't be reached: gone"},
		"unconnected": {fails(errors.New("no address")), proxy.Unconnected, "no address"},
		"silent":      {says(""), proxy.NoAnswer, "EOF"},
		"not HTTP":    {says("SSH-2.0-x\r\n\r\n"), proxy.NoAnswer, "malformed HTTP"},
		"an answer":   {says("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"), 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, waiting := range []bool{false, true} {
				addr, failures, _ := told(t, allow, c.dial)
				field := "X: y"
				if waiting {
					field = "Kiosc-Probe: 1"
				}
				client := dial(t, addr)
				client.send(get(base+"/", field))
				resp, _ := client.response("GET")
				require.Equal(t, 502, resp.StatusCode)
				if c.kind == 0 {
					require.Empty(t, failures)
					continue
				}
				f := <-failures
				require.Equal(t, c.kind, f.Kind)
				require.Equal(t, waiting, f.Waiting)
				require.ErrorContains(t, f.Cause, c.cause)
				require.Empty(t, failures, "once for each request")
			}
		})
	}
}

func TestWhoMayNotOpenAnAppIsNoVisitor(t *testing.T) {
	for name, kind := range map[string]proxy.DenialKind{"from the beginning": proxy.NoAccess, "lost": proxy.NoAccess, "logged out": proxy.NotLoggedIn, "stopped": proxy.NotRunning} {
		t.Run(name, func(t *testing.T) {
			var denied atomic.Bool
			app := rawApp(t, func(_ net.Conn, br *bufio.Reader) {
				_, _ = http.ReadRequest(br)
				denied.Store(true) // and the app ends, with the request
			})
			addr, failures, _ := told(t, func(who proxy.Credentials) (proxy.Target, error) {
				if denied.Load() {
					return proxy.Target{}, &proxy.Denial{Kind: kind, Message: "m"}
				}
				return allow(who)
			}, dialTo(app))
			for _, field := range []string{"X: y", "Kiosc-Probe: 1"} {
				denied.Store(name == "from the beginning")
				c := dial(t, addr)
				c.send(get(base+"/", field))
				_, _ = http.ReadResponse(c.br, nil) // which may be cut off
				require.Empty(t, failures)
			}
		})
	}
}

func TestAServerThatStopsFailsNoApp(t *testing.T) {
	entered := make(chan struct{}, 2)
	app := rawApp(t, func(_ net.Conn, br *bufio.Reader) {
		_, _ = http.ReadRequest(br)
		entered <- struct{}{}
		_, _ = br.ReadByte()
	})
	addr, failures, stop := told(t, allow, dialTo(app))
	for _, field := range []string{"X: y", "Kiosc-Probe: 1"} {
		dial(t, addr).send(get(base+"/", field))
		<-entered
	}
	stop()
	require.Empty(t, failures)
}
