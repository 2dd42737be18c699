package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/proxy"
)

// An app that says nothing more keeps its visitors until they lose their access, on both ends.
func TestLostAccessEndsOpenStreams(t *testing.T) {
	for name, answer := range map[string]string{
		"upgraded": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhi",
		"streamed": "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nhi",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan error, 2)
			app := rawApp(t, func(c net.Conn, br *bufio.Reader) {
				_, _ = http.ReadRequest(br)
				_, _ = io.WriteString(c, answer)
				_, err := br.ReadByte()
				ended <- err
			})
			var asked atomic.Int64
			var denial atomic.Pointer[proxy.Denial]
			addr, _ := start(t, func(who proxy.Credentials) (proxy.Target, error) {
				if d := denial.Load(); d != nil && who.Token == "kiosc_bob" {
					asked.Add(1)
					return proxy.Target{}, d
				}
				return allow(who)
			}, dialTo(app), nil)
			open := func(token string) *conn {
				c := dial(t, addr)
				c.send(get(base+"/", "Connection: Upgrade", "Upgrade: x", "Authorization: token "+token))
				_, err := http.ReadResponse(c.br, nil)
				require.NoError(t, err)
				_, err = c.br.ReadByte()
				require.NoError(t, err)
				return c
			}
			alice, bob := open("kiosc_alice"), open("kiosc_bob")

			// Only a denial for good counts: a container that is being restarted keeps its visitors as long as it can.
			denial.Store(&proxy.Denial{Kind: proxy.NotRunning})
			require.Eventually(t, func() bool { return asked.Load() >= 2 }, 10*time.Second, 10*time.Millisecond)
			require.Empty(t, ended)
			denial.Store(&proxy.Denial{Kind: proxy.NoAccess})
			_, err := io.ReadAll(bob.br)
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
			require.Error(t, <-ended)
			require.Empty(t, ended, "the other visitor goes on")
			require.NoError(t, alice.Close())
			require.Error(t, <-ended)
		})
	}
}
