package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProbe(t *testing.T) {
	addr := withBackend(t, func(http.ResponseWriter, *http.Request) {})
	for pad := 0; pad < 40; pad++ {
		mp := "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n" + strings.Repeat("x", pad) + strings.Repeat(get("/hidden"), 3000)
		c := dial(t, addr)
		go fmt.Fprintf(c, "POST /x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s", len(mp), mp)
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		all, _ := io.ReadAll(c.br)
		if n := strings.Count(string(all), "HTTP/1.1 "); n != 1 {
			t.Logf("pad %d: %d responses, hidden=%v", pad, n, strings.Contains(string(all), "/hidden"))
		}
	}
}

// The app never reads nor answers; a pipelined request follows; the server stops.
func TestProbeStopHang(t *testing.T) {
	entered := make(chan struct{}, 1)
	ln, _ := net.Listen("tcp", "127.0.0.1:0")
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err == nil {
			http.ReadRequest(bufio.NewReader(c))
			entered <- struct{}{}
			io.Copy(io.Discard, c)
		}
	}()
	addr, stop := start(t, allow, dialTo(ln.Addr().String()), nil)
	c := dial(t, addr)
	c.send(get(base+"/") + get(base+"/"))
	<-entered
	require.NotPanics(t, stop)
}

// A HTTP/1.0 client must see that a chunked body broke off.
func TestProbeBroken10(t *testing.T) {
	addr := rawBackend(t, func(c net.Conn, br *bufio.Reader) {
		_, _ = http.ReadRequest(br)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	})
	c := dial(t, addr)
	c.send("GET " + base + "/ HTTP/1.0\r\n\r\n")
	all, err := io.ReadAll(c.br)
	t.Logf("%q %v", all, err)
}
