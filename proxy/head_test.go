package proxy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/proxy"
)

func TestMalformedRequestsAreRefused(t *testing.T) {
	addr := withBackend(t, func(w http.ResponseWriter, _ *http.Request) {})
	for name, head := range map[string]string{
		"both":             "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		"two lengths":      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
		"signed length":    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n",
		"list length":      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n",
		"empty length":     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
		"other coding":     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"two codings":      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		"coding on 1.0":    "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
		"identity":         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
		"quoted coding":    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
		"coding, odd":      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
		"coding, folded":   "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
		"coding, then one": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
		"both, the other":  "POST / HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING: chunked\r\ncontent-length: 0\r\n\r\n",
		"hex length":       "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n",
		"two in a length":  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 3\r\n\r\n",
		"endless length":   "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"space first":      "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
		"space in a name":  "GET / HTTP/1.1\r\nHost: a\r\nX Y: a\r\n\r\n",
		"fold":             "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
		"space at colon":   "GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n",
		"bare LF":          "GET / HTTP/1.1\r\nHost: a\nX: a\r\n\r\n",
		"bare CR":          "GET / HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n",
		"NUL":              "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00\r\n\r\n",
		"name":             "GET / HTTP/1.1\r\nHost: a\r\nX(: a\r\n\r\n",
		"no colon":         "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
		"no host":          "GET / HTTP/1.1\r\n\r\n",
		"two hosts":        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
		"bad host":         "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
		"connect":          "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
		"method":           "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
		"two opinions":     "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
		"user in target":   "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"other scheme":     "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"authority target": "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
		"no version":       "GET /\r\n\r\n",
		"two empty lines":  "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"space in target":  "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
		"version":          "GET / HTTP/1.1x\r\nHost: a\r\n\r\n",
		"double space":     "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
		"fragment":         "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
		"container chunks": "POST " + base + "/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, addr)
			c.send(head)
			resp, _ := c.response("GET")
			require.Equal(t, 400, resp.StatusCode)
			c.closed()
		})
	}
	c := dial(t, addr)
	c.send("GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 70<<10) + "\r\n\r\n")
	resp, _ := c.response("GET")
	require.Equal(t, 431, resp.StatusCode)
}

func TestOtherVersionsAreRefused(t *testing.T) {
	addr := withBackend(t, func(http.ResponseWriter, *http.Request) {})
	for _, head := range []string{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "GET / HTTP/0.9\r\n\r\n"} {
		c := dial(t, addr)
		c.send(head)
		resp, _ := c.response("GET")
		require.Equal(t, 505, resp.StatusCode)
		c.closed()
	}
}

func TestAbsoluteTargetsAreNormalised(t *testing.T) {
	addr := withBackend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "app ", r.RequestURI, " ", r.Host) })
	c := dial(t, addr)
	for target, want := range map[string]string{
		"http://Kiosc.test/a?b": "fiber /a", "HTTPS://kiosc.test": "fiber /", "http://kiosc.test?q": "fiber /",
		"http://kiosc.test" + base + "/x%2fy?z": "app /x%2fy?z kiosc.test",
	} {
		c.send(get(target))
		_, body := c.response("GET")
		require.Equal(t, want, body)
	}
	c.send("GET http://a/b HTTP/1.0\r\n\r\n")
	_, body := c.response("GET")
	require.Equal(t, "fiber /b", body)
	c.closed()
}

func TestHeadsUpToTheLimitAreServed(t *testing.T) {
	addr := withBackend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, len(r.Header.Get("Cookie"))) })
	c := dial(t, addr)
	c.send(get(base+"/", "Cookie: a="+strings.Repeat("x", 40<<10)))
	_, body := c.response("GET")
	require.Equal(t, fmt.Sprint(40<<10+2), body)
	c.send(strings.Repeat("x", 100<<10))
	resp, _ := c.response("GET")
	require.Equal(t, 431, resp.StatusCode)
}

func TestMalformedChunksAreRefused(t *testing.T) {
	addr := withBackend(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	for _, chunks := range []string{"x\r\n", "-1\r\n", "0x1\r\n", "1\na\r\n", "1\r\nab\r\n", "0\r\nX : a\r\n\r\n", "fffffffffffffffff\r\n"} {
		c := dial(t, addr)
		c.send("POST " + base + "/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
		resp, _ := c.response("POST")
		require.Equal(t, 400, resp.StatusCode, chunks)
		c.closed()
	}
}

func FuzzHead(f *testing.F) {
	f.Add([]byte(get("/")))
	f.Add([]byte("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"))
	f.Add([]byte("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"))
	f.Add([]byte("GET http://a:80?x HTTP/1.0\r\nhost: A:80\r\nConnection: close\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: [::1]:80\r\nX: a\r\n b\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		method, host, length, err := proxy.ParseHead(raw)
		if err != nil {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return // the target may hold what net/url does not take
		}
		require.Equal(t, r.Method, method)
		require.True(t, strings.EqualFold(r.Host, host), "%q %q", r.Host, host)
		require.Equal(t, r.ContentLength, length)
	})
}
