package proxy_test

import (
	"io"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// seen is what an app was asked.
type seen struct {
	Method, URI, Host, Body string
	Header                  http.Header
}

// TestOracle compares with httputil.ReverseProxy: what an app is asked and what
// the client gets must be the same for requests that no rule of Kiosc changes.
func TestOracle(t *testing.T) {
	asked := make(chan seen, 1)
	backend := httptest.NewServer(answering(asked))
	defer backend.Close()
	to, err := url.Parse(backend.URL)
	require.NoError(t, err)
	oracle := httptest.NewServer(http.StripPrefix(base, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
	}}))
	defer oracle.Close()
	addr, _ := start(t, allow, dialTo(to.Host), nil)
	ask := func(addr, head, method string) (seen, *http.Response, string) {
		c := dial(t, addr)
		c.send(head)
		resp, body := c.response(method)
		_ = c.Close()
		got := <-asked
		for _, name := range []string{"User", "Prefix", "Proto", "Host", "For"} {
			delete(got.Header, "X-Forwarded-"+name)
		}
		// The proxy uses each connection to an app once, which is no matter
		// of the exchange.
		for _, h := range []http.Header{got.Header, resp.Header} {
			delete(h, "Connection")
			delete(h, "Accept-Encoding")
			delete(h, "User-Agent")
		}
		return got, resp, body
	}
	random := rand.New(rand.NewSource(1))
	for range 300 {
		method, head := anyRequest(random)
		wantAsked, wantResp, wantBody := ask(oracle.Listener.Addr().String(), head, method)
		gotAsked, gotResp, gotBody := ask(addr, head, method)
		require.Equal(t, wantAsked, gotAsked, head)
		require.Equal(t, wantResp.StatusCode, gotResp.StatusCode, head)
		require.Equal(t, wantResp.Header, gotResp.Header, head)
		require.Equal(t, wantResp.TransferEncoding, gotResp.TransferEncoding, head)
		require.Equal(t, wantBody, gotBody, head)
	}
}

// anyRequest makes up a request that no rule of Kiosc changes.
func anyRequest(random *rand.Rand) (method, head string) {
	pick := func(of ...string) string { return of[random.Intn(len(of))] }
	method = pick("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "REPORT")
	head = method + " " + base + pick("/", "/a/b", "/a%20b", "/a?x=1&y=%20", "/%E2%82%AC", "/a//b", "/a+b?") + " HTTP/1.1\r\nHost: kiosc.test:8080\r\n"
	head += pick("", "Cookie: a=1; b=\"2\"\r\n") + pick("", "Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\n") + pick("", "Te: trailers\r\n") +
		pick("", "Authorization: Basic eDp5\r\n") + pick("", "X-Two: 1\r\nx-two: 2\r\n") + pick("", "X-Empty:\r\n") +
		pick("", "Keep-Alive: 5\r\nProxy-Connection: close\r\n") + pick("", "X-Answer: none\r\n", "X-Answer: error\r\n", "X-Answer: stream\r\n") +
		pick("", "Range: bytes=0-1\r\nIf-None-Match: \"x\"\r\n")
	switch {
	case method == "GET" || method == "HEAD" || method == "OPTIONS":
		head += "\r\n"
	case random.Intn(2) == 0:
		head += "Content-Length: 5\r\n\r\nhello"
	default:
		head += "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"
	}
	return method, head
}

func answering(asked chan<- seen) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- seen{r.Method, r.RequestURI, r.Host, string(body), r.Header}
		w.Header().Set("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
		w.Header().Set("X-Kind", "app")
		w.Header().Add("Vary", "a")
		w.Header().Add("Vary", "b")
		w.Header().Set("Content-Type", "text/plain")
		switch r.Header.Get("X-Answer") {
		case "none":
			w.WriteHeader(http.StatusNoContent)
		case "error":
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "teapot")
		case "stream":
			_, _ = io.WriteString(w, "one")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "two")
		default:
			_, _ = w.Write(body)
		}
	}
}
