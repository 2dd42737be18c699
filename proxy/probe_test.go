package proxy_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/proxy"
)

func TestProbeTellsOnlyWhetherTheAppAnswers(t *testing.T) {
	asked := make(chan *http.Request, 1)
	addr := withBackend(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r
		w.Header().Set("Set-Cookie", "a=1")
		switch r.URL.Path {
		case "/starting":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/away":
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusFound)
		}
		_, _ = w.Write([]byte("secret"))
	})
	c := dial(t, addr)
	for path, status := range map[string]int{"/ready?x": 200, "/starting": 503, "/away": 200} {
		c.send(get(base+path, "Kiosc-Probe: 1", "Cookie: kiosc_session=s; b=2", "Accept: */*"))
		resp, body := c.response("GET")
		r := <-asked
		require.Equal(t, status, resp.StatusCode, path)
		require.NotContains(t, body, "secret")
		require.Empty(t, resp.Header["Set-Cookie"])
		require.Empty(t, resp.Header["Location"])
		require.Equal(t, path, r.RequestURI)
		require.Equal(t, "text/html", r.Header.Get("Accept"))
		require.Equal(t, "b=2", r.Header.Get("Cookie"))
		require.NotContains(t, r.Header, "Kiosc-Probe")
	}
}

func TestProbeOfWhatDoesNotAnswer(t *testing.T) {
	denied := func(who proxy.Credentials) (proxy.Target, error) {
		if who.Session == "stopped" {
			return proxy.Target{}, &proxy.Denial{Kind: proxy.NotRunning, Message: "m"}
		}
		return allow(who)
	}
	addr, _ := start(t, denied, func(context.Context) (net.Conn, error) { return nil, proxy.ErrRefused }, nil)
	c := dial(t, addr)
	for session, status := range map[string]int{"stopped": 503, "running": 502} {
		c.send(get(base+"/", "Kiosc-Probe: 1", "Cookie: kiosc_session="+session, "Accept: text/html"))
		resp, _ := c.response("GET")
		require.Equal(t, status, resp.StatusCode, session)
	}
	cut := rawBackend(t, func(c net.Conn, br *bufio.Reader) { _, _ = http.ReadRequest(br) })
	c = dial(t, cut)
	c.send(get(base+"/", "Kiosc-Probe: 1"))
	resp, _ := c.response("GET")
	require.Equal(t, 502, resp.StatusCode)
}
