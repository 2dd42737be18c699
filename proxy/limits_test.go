package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/proxy"
)

const otherID = "0123abcd-0000-4000-8000-0000000000fe"

// everyApp lets everybody open every app.
type everyApp struct{}

func (everyApp) Authorize(_ context.Context, _ proxy.Credentials, container string) (proxy.Target, error) {
	return proxy.Target{Container: container, User: "alice", Title: "App <1>"}, nil
}

// limited serves apps that answer at once, but /open only when the test ends.
func limited(t *testing.T, limits proxy.Limits, accessed func(proxy.Target)) (addr string) {
	t.Helper()
	ended := make(chan struct{})
	defer t.Cleanup(func() { close(ended) })
	return serving(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello")
		if r.URL.Path == "/open" {
			_ = http.NewResponseController(w).Flush()
			select {
			case <-ended:
			case <-r.Context().Done():
			}
		}
	}, limits, accessed)
}

// serving is the address below which every container is the same app.
func serving(t *testing.T, app http.HandlerFunc, limits proxy.Limits, accessed func(proxy.Target)) (addr string) {
	t.Helper()
	backend := httptest.NewServer(app)
	t.Cleanup(backend.Close)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	pages := fiberApp(nil)
	pages.Handler()
	run(t, proxy.Config{Gate: everyApp{}, Dialer: dialTo(backend.Listener.Addr().String()), App: pages.Server(), SessionCookie: "kiosc_session",
		Limits: limits, Accessed: accessed}, ln)
	return "http://" + ln.Addr().String() + proxy.Prefix
}

func fetch(t *testing.T, url, accept string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	require.NoError(t, err)
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

func TestOpenStreamsAreLimitedForEachApp(t *testing.T) {
	at := limited(t, proxy.Limits{Streams: 2}, nil)
	open := func() io.Closer {
		resp, err := http.Get(at + id + "/open")
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp.Body
	}
	first := open()
	open()
	resp, body := fetch(t, at+id+"/", "application/json")
	require.Equal(t, 503, resp.StatusCode)
	require.Equal(t, "5", resp.Header.Get("Retry-After"))
	require.Contains(t, body, `as many open connections as it is allowed to`)
	resp, body = fetch(t, at+id+"/", "text/html")
	require.Equal(t, 503, resp.StatusCode)
	require.Contains(t, body, "App &lt;1&gt;", "people get a page")
	resp, body = fetch(t, at+otherID+"/", "text/html")
	require.Equal(t, 200, resp.StatusCode, "another app isn't touched")
	require.Equal(t, "hello", body)
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool {
		resp, _ := fetch(t, at+id+"/", "")
		return resp.StatusCode == 200
	}, 5*time.Second, 10*time.Millisecond, "one that has ended makes room")
}

func TestRequestsAreLimitedForEachApp(t *testing.T) {
	at := limited(t, proxy.Limits{Requests: 1}, nil)
	var resp *http.Response
	var body string
	for n := 0; n < 50 && (resp == nil || resp.StatusCode == 200); n++ {
		resp, body = fetch(t, at+id+"/", "application/json")
	}
	require.Equal(t, 429, resp.StatusCode)
	require.Equal(t, "1", resp.Header.Get("Retry-After"))
	require.Contains(t, body, "more requests than it is allowed to")
	resp, body = fetch(t, at+otherID+"/", "")
	require.Equal(t, 200, resp.StatusCode, "another app isn't touched")
	require.Equal(t, "hello", body)
	require.Eventually(t, func() bool {
		resp, _ := fetch(t, at+id+"/", "")
		return resp.StatusCode == 200
	}, 10*time.Second, 100*time.Millisecond)
}
