package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/proxy"
)

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

// fasthttp leaves what follows a form unread; it must never be a request.
func TestBodiesCannotHideARequest(t *testing.T) {
	addr := withBackend(t, func(http.ResponseWriter, *http.Request) {})
	form := "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n"
	for pad := range 40 {
		body := form + strings.Repeat("x", pad) + strings.Repeat(get("/hidden"), 2000)
		c := dial(t, addr)
		go fmt.Fprintf(c, "POST /x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		_, answer := c.response("POST")
		require.Equal(t, "fiber /x", answer)
		c.closed()
	}
	c := dial(t, addr)
	for _, head := range []string{"GET", "POST", "OPTIONS"} {
		hidden := get("/hidden")
		c.send(fmt.Sprintf("%s /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", head, len(hidden), hidden))
		_, answer := c.response("POST")
		require.Equal(t, "fiber /x", answer)
	}
}

func TestOldClientsKeepTheirConnection(t *testing.T) {
	addr := withBackend(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "app") })
	c := dial(t, addr)
	for range 2 {
		for path, want := range map[string]string{"/a": "fiber /a", base + "/": "app"} {
			c.send("GET " + path + " HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
			resp, body := c.response("GET")
			require.Equal(t, want, body)
			require.Equal(t, "keep-alive", resp.Header.Get("Connection"))
		}
	}
	c.send("GET /a HTTP/1.0\r\n\r\n")
	c.response("GET")
	c.closed()
}

func TestApplicationNoticesThatTheClientLeft(t *testing.T) {
	over := make(chan struct{})
	addr, _ := start(t, allow, dialTo("127.0.0.1:1"), over)
	c := dial(t, addr)
	c.send(get("/endless"))
	_, err := c.br.ReadString('\n')
	require.NoError(t, err)
	_ = c.Close()
	select {
	case <-over:
	case <-time.After(5 * time.Second):
		t.Fatal("the application was not told")
	}
}
