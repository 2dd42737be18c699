package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/proxy"
)

func TestHeadersToTheApp(t *testing.T) {
	seen := make(chan *http.Request, 1)
	addr := withBackend(t, func(w http.ResponseWriter, r *http.Request) { seen <- r })
	c := dial(t, addr)
	c.send(get(base+"//raw/%2e%2e?x=%20", "Cookie: a=\"1 2\"; kiosc_session=s; b=2;c", "Cookie: kiosc_x=1", "Authorization: Bearer kiosc_abc",
		"X-Forwarded-User: root", "X_Forwarded_User: root", "Remote-User: root", "Forwarded: for=1", "Connection: X-Hop", "X-Hop: 1"))
	c.response("GET")
	r := <-seen
	require.Equal(t, "//raw/%2e%2e?x=%20", r.RequestURI)
	require.Equal(t, "kiosc.test", r.Host)
	require.Equal(t, []string{"a=\"1 2\"; b=2;c"}, r.Header["Cookie"])
	for _, name := range []string{"Authorization", "X_Forwarded_User", "Remote-User", "Forwarded", "X-Hop"} {
		require.NotContains(t, r.Header, name)
	}
	require.Equal(t, []string{"alice"}, r.Header["X-Forwarded-User"])
	require.Equal(t, base, r.Header.Get("X-Forwarded-Prefix"))
	require.Equal(t, "http", r.Header.Get("X-Forwarded-Proto"))
	require.Equal(t, "127.0.0.1", r.Header.Get("X-Forwarded-For"))
	require.Equal(t, "kiosc.test", r.Header.Get("X-Forwarded-Host"))
	c.send(get(base+"/", "Authorization: Basic eA=="))
	c.response("GET")
	require.Equal(t, "Basic eA==", (<-seen).Header.Get("Authorization"))
}

func TestHeadersToTheClient(t *testing.T) {
	addr := withBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2; Path=/x; Domain=kiosc.test; HttpOnly", "c=3; path=" + base + "/y",
			"kiosc_session=1", "__Host-kiosc_a=1", "__Host-x=1; Path=/; Secure"}
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.Header().Set("Refresh", "1; url=/r")
		w.Header().Set("Clear-Site-Data", "*")
		w.WriteHeader(302)
	})
	c := dial(t, addr)
	for to, want := range map[string]string{
		"/a": base + "/a", base + "/a": base + "/a", "a/b": "a/b", "//other/a": "//other/a", "http://kiosc.test/a?b": "http://kiosc.test" + base + "/a?b",
		"https://kiosc.test": "https://kiosc.test" + base + "/", "http://other/a": "http://other/a", "//kiosc.test/a": "//kiosc.test" + base + "/a",
	} {
		c.send(get(base + "/?to=" + to))
		resp, _ := c.response("GET")
		require.Equal(t, want, resp.Header.Get("Location"))
		require.Equal(t, "1; url="+base+"/r", resp.Header.Get("Refresh"))
		require.Empty(t, resp.Header.Get("Clear-Site-Data"))
		require.Equal(t, []string{"a=1; Path=" + base + "/", "b=2; HttpOnly; Path=" + base + "/x", "c=3; Path=" + base + "/y"}, resp.Header["Set-Cookie"])
	}
}

// An app that is told its base URL gets the paths that it has made itself.
func TestAPrefixIsKeptForAppsThatKnowIt(t *testing.T) {
	seen := make(chan string, 1)
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.RequestURI
		w.Header().Set("Location", base+"/tree")
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1", Path: base + "/"})
	}))
	t.Cleanup(b.Close)
	addr, _ := start(t, func(proxy.Credentials) (proxy.Target, error) {
		return proxy.Target{Container: id, KeepPrefix: true}, nil
	}, dialTo(b.Listener.Addr().String()), nil)
	c := dial(t, addr)
	for _, probe := range []string{"X: y", "Kiosc-Probe: 1"} {
		c.send(get(base+"/a%2Fb?c", probe))
		resp, _ := c.response("GET")
		require.Equal(t, base+"/a%2Fb?c", <-seen)
		require.Equal(t, 200, resp.StatusCode)
		if probe == "X: y" {
			require.Equal(t, base+"/tree", resp.Header.Get("Location"))
			require.Equal(t, []string{"a=1; Path=" + base + "/"}, resp.Header["Set-Cookie"])
		}
	}
}

func TestDenials(t *testing.T) {
	kinds := map[string]error{"login": &proxy.Denial{Kind: proxy.NotLoggedIn, Message: "m"}, "access": &proxy.Denial{Kind: proxy.NoAccess, Message: "secret"},
		"stopped": &proxy.Denial{Kind: proxy.NotRunning, Message: "m"}, "broken": io.ErrClosedPipe,
		"away": &proxy.Denial{Kind: proxy.Unavailable, Message: "m"}}
	addr, _ := start(t, func(who proxy.Credentials) (proxy.Target, error) {
		require.Equal(t, "kiosc_t", who.Token)
		return proxy.Target{}, kinds[who.Session]
	}, func(context.Context) (net.Conn, error) { return nil, proxy.ErrRefused }, nil)
	c := dial(t, addr)
	for _, test := range []struct {
		kind, accept string
		status       int
		header, want string
	}{
		{"login", "text/html", 302, "Location", "/login/?next=%2Fcontainers%2Fproxy%2F" + id + "%2Fp%3Fq"},
		{"stopped", "text/html", 302, "Location", proxy.Prefix + "lobby/" + id + "?next=%2Fcontainers%2Fproxy%2F" + id + "%2Fp%3Fq"},
		{"access", "text/html", 404, "Content-Type", "text/html; charset=utf-8"},
		{"", "text/html", 502, "Retry-After", "2"},
		{"away", "text/html", 503, "Retry-After", "5"},
		{"away", "*/*", 503, "Content-Type", "application/json"},
		{"login", "*/*", 401, "Www-Authenticate", "Token"},
		{"access", "*/*", 404, "Content-Type", "application/json"},
		{"stopped", "*/*", 503, "Retry-After", "5"},
		{"", "*/*", 502, "Retry-After", "2"},
		{"broken", "*/*", 500, "Content-Type", "application/json"},
		// A page's EventSource tries again after 200 only, and must where that may help.
		{"stopped", "text/event-stream", 200, "Content-Type", "text/event-stream"},
		{"away", "text/event-stream", 200, "Content-Type", "text/event-stream"},
		{"", "text/event-stream", 200, "Content-Type", "text/event-stream"},
		{"login", "text/event-stream", 401, "Content-Type", "application/json"},
		{"access", "text/event-stream", 404, "Content-Type", "application/json"},
		{"broken", "text/event-stream", 500, "Content-Type", "application/json"},
	} {
		c.send(get(base+"/p?q", "Accept: "+test.accept, "Authorization: TOKEN kiosc_t", "Cookie: kiosc_session="+test.kind))
		resp, body := c.response("GET")
		require.Equal(t, test.status, resp.StatusCode)
		require.Equal(t, test.want, resp.Header.Get(test.header))
		require.NotContains(t, body, "secret")
		require.NotContains(t, body, io.ErrClosedPipe.Error())
	}
}

// A name with a space is no name, but some clients read it as one.
func TestNamesWithSpacesAreNotPassedOn(t *testing.T) {
	addr := rawBackend(t, func(c net.Conn, br *bufio.Reader) {
		_, _ = http.ReadRequest(br)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nSet-Cookie : kiosc_session=x\r\nTransfer-Encoding : chunked\r\nContent-Length: 2\r\nX-Ok: 1\r\n\r\nok")
	})
	c := dial(t, addr)
	c.send(get(base + "/"))
	resp, body := c.response("GET")
	require.Equal(t, "ok", body)
	require.Equal(t, http.Header{"Content-Length": {"2"}, "X-Ok": {"1"}}, resp.Header)
}

func TestAuthorizationToTheApp(t *testing.T) {
	addr := withBackend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header["Authorization"]) })
	c := dial(t, addr)
	for value, want := range map[string]string{
		"token kiosc_a": "[]", "TOKEN  kiosc_a": "[]", "Bearer\tkiosc_a": "[]", "bearer kiosc_": "[]",
		"Bearer abc": "[Bearer abc]", "Basic kiosc_a": "[Basic kiosc_a]", "Bearer xkiosc_a": "[Bearer xkiosc_a]", "kiosc_a": "[kiosc_a]",
	} {
		c.send(get(base+"/", "Authorization: "+value))
		_, body := c.response("GET")
		require.Equal(t, want, body, value)
	}
}

func TestOnlyCookiesMakeAForeignUpgradeDangerous(t *testing.T) {
	addr := withBackend(t, func(w http.ResponseWriter, _ *http.Request) {})
	c := dial(t, addr)
	cookie := "Cookie: kiosc_session=s"
	for _, test := range []struct {
		status int
		fields []string
	}{
		{403, []string{cookie, "Origin: https://evil.test"}},
		{403, []string{cookie, "Origin: null"}},
		{403, []string{cookie, "Origin: https://kiosc.test:8443"}},
		{200, []string{cookie, "Origin: https://kiosc.test"}},
		{200, []string{cookie, "Origin: https://KIOSC.test:443"}},
		{200, []string{cookie}},
		{200, []string{cookie, "Authorization: Bearer kiosc_a", "Origin: https://evil.test"}},
		{403, []string{cookie, "Origin: https://kiosc.test", "Sec-Fetch-Site: same-site"}},
		{200, []string{cookie, "Sec-Fetch-Site: same-origin", "Origin: null"}},
	} {
		c.send(get(base+"/", append(test.fields, "Connection: Upgrade", "Upgrade: websocket")...))
		resp, _ := c.response("GET")
		require.Equal(t, test.status, resp.StatusCode, test.fields)
	}
}

// A page of another origin of the same site makes browsers send the cookie.
func TestForeignPagesChangeNothing(t *testing.T) {
	addr := withBackend(t, func(w http.ResponseWriter, _ *http.Request) {})
	c := dial(t, addr)
	cookie := "Cookie: kiosc_session=s"
	for _, test := range []struct {
		status int
		method string
		fields []string
	}{
		{403, "POST", []string{cookie, "Sec-Fetch-Site: same-site"}},
		{403, "DELETE", []string{cookie, "Sec-Fetch-Site: cross-site", "Authorization: Basic eA=="}},
		{403, "POST", []string{cookie, "Origin: https://evil.kiosc.test"}},
		{200, "POST", []string{cookie, "Sec-Fetch-Site: same-origin", "Origin: null"}},
		{200, "POST", []string{cookie, "Origin: null"}},
		{200, "POST", []string{cookie, "Origin: http://kiosc.test"}},
		{200, "POST", []string{cookie}},
		{200, "POST", []string{"Sec-Fetch-Site: cross-site"}},
		{200, "POST", []string{cookie, "Authorization: token kiosc_a", "Sec-Fetch-Site: cross-site"}},
		{200, "GET", []string{cookie, "Sec-Fetch-Site: same-site"}},
	} {
		c.send(strings.Replace(get(base+"/", test.fields...), "GET", test.method, 1))
		resp, _ := c.response(test.method)
		require.Equal(t, test.status, resp.StatusCode, test)
	}
}

func TestRefreshKeepsToTheApp(t *testing.T) {
	var value atomic.Value
	addr := withBackend(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Refresh", value.Load().(string)) })
	c := dial(t, addr)
	for v, want := range map[string]string{
		"5": "5", "5; url=/a": "5; url=" + base + "/a", "5,URL = '/a'": "5,URL = '" + base + "/a'", "5 /a": "5 " + base + "/a",
		"0; http://other/?url=/a": "0; http://other/?url=/a", "0; url=http://kiosc.test:80/%zz": "0; url=http://kiosc.test:80" + base + "/%zz",
	} {
		value.Store(v)
		c.send(get(base + "/"))
		resp, _ := c.response("GET")
		require.Equal(t, want, resp.Header.Get("Refresh"))
	}
}

func FuzzSetCookie(f *testing.F) {
	for _, v := range []string{"a=1", "b=2; Path=/x; Domain=d; HttpOnly", "kiosc_session=1", "__Secure-kiosc_a=1; Secure", "=kiosc_session=1", "a; path", ";", "a=b;Path=x;PATH=/y", "0=;PAth=/\""} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		if strings.ContainsAny(v, "\r\n\x00") {
			return
		}
		out := proxy.ScopeCookie(v, base)
		if out == "" {
			return
		}
		cookie, err := http.ParseSetCookie(out)
		if err != nil {
			return // browsers may differ, but net/http sees none
		}
		name := strings.ToLower(cookie.Name)
		require.False(t, strings.HasPrefix(strings.TrimPrefix(name, "__secure-"), "kiosc_"), out)
		require.False(t, strings.HasPrefix(name, "__host-"), out)
		require.True(t, strings.HasPrefix(cookie.Path, base), out)
		require.Empty(t, cookie.Domain, out)
	})
}

func FuzzLocation(f *testing.F) {
	for _, v := range []string{"/a", "//kiosc.test", "http://u@kiosc.test:80?x", "https:/a", "x", base, "/\\evil"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		once := proxy.ScopeURL(v, "kiosc.test", base)
		require.Equal(t, once, proxy.ScopeURL(once, "kiosc.test", base), "the prefix is added once")
		if strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "//") {
			require.True(t, strings.HasPrefix(once, base))
		}
	})
}
