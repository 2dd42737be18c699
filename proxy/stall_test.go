package proxy_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/proxy"
)

// TestAClientThatStopsReadingIsEnded has one client that takes nothing of a stream without end, and one that takes a little now
// and then for far longer.
func TestAClientThatStopsReadingIsEnded(t *testing.T) {
	ended := make(chan string, 2)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 256<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(piece); err != nil {
				break
			}
		}
		ended <- r.URL.Path
	}))
	t.Cleanup(backend.Close)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := proxy.New(proxy.Config{Gate: everyApp{}, Dialer: dialTo(backend.Listener.Addr().String()), App: fiberApp(nil).Server(), SessionCookie: "kiosc_session"})
	s.Limit(time.Second, 256)
	s.Stall(time.Second)
	runServer(t, s, ln)
	ask := func(path string) net.Conn {
		conn, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		_, err = fmt.Fprintf(conn, "GET %s%s HTTP/1.1\r\nHost: kiosc.test\r\n\r\n", proxy.Prefix+otherID, path)
		require.NoError(t, err)
		return conn
	}
	slow := ask("/slow")
	ask("/stalls")
	piece := make([]byte, 4<<20)
	for gone := false; !gone; {
		select {
		case path := <-ended:
			require.Equal(t, "/stalls", path)
			gone = true
		case <-time.After(100 * time.Millisecond):
			_, err := slow.Read(piece)
			require.NoError(t, err)
		}
	}
	for range 20 {
		_, err := slow.Read(piece)
		require.NoError(t, err, "who reads on isn't ended")
	}
}
