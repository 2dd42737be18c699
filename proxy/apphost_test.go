package proxy_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/proxy"
)

const (
	label   = "0123abcd000040008000" + "00000000beef"
	appHost = label + ".apps.kiosc.test"
)

// redeemer takes the code "good" of one browser for the cookie "c".
type redeemer func(code, browser string) error

func (r redeemer) Redeem(_ context.Context, code, container, browser string) (string, time.Duration, error) {
	if container != id {
		return "", 0, fmt.Errorf("the container is %s", container)
	}
	return "c", time.Hour, r(code, browser)
}

func appHosts(t *testing.T, site, domain string) *proxy.AppHosts {
	t.Helper()
	at, err := proxy.ParseSite(site)
	require.NoError(t, err)
	hosts, err := proxy.NewAppHosts(at, domain)
	require.NoError(t, err)
	return hosts
}

// withHosts serves apps at hosts of their own. Whoever shows the cookie "c" or
// a token may open them.
func withHosts(t *testing.T, site string, h http.HandlerFunc, redeem redeemer) string {
	t.Helper()
	b := httptest.NewServer(h)
	t.Cleanup(b.Close)
	app := fiberApp(nil)
	app.Handler()
	prefix := ""
	if strings.HasPrefix(site, "https") {
		prefix = "__Host-"
	}
	return serve(t, proxy.Config{App: app.Server(), Dialer: dialTo(b.Listener.Addr().String()), SessionCookie: prefix + "kiosc_session",
		Apps: appHosts(t, site, "apps.kiosc.test"), Redeemer: redeem,
		Gate: gate(func(who proxy.Credentials) (proxy.Target, error) {
			require.Empty(t, who.Session, "no app's host takes the session's cookie")
			if who.App == "c" || who.Token != "" {
				return allow(who)
			}
			if who.App == "stopped" {
				return proxy.Target{}, &proxy.Denial{Kind: proxy.NotRunning, Message: "m"}
			}
			return proxy.Target{}, &proxy.Denial{Kind: proxy.NotLoggedIn, Message: "m"}
		})})
}

// at is a request to any host.
func at(method, host, target string, fields ...string) string {
	head := method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n"
	for _, field := range fields {
		head += field + "\r\n"
	}
	return head + "\r\n"
}

func noRedeemer(string, string) error {
	return &proxy.Denial{Kind: proxy.NotRunning, Message: "refused"}
}

func TestHostsOfApps(t *testing.T) {
	addr := withHosts(t, "https://kiosc.test", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "app "+r.RequestURI, r.Header["X-Forwarded-Prefix"], r.Header["X-Forwarded-Host"], r.Header["Cookie"], r.Header["Authorization"])
	}, noRedeemer)
	c := dial(t, addr)
	cookie := "Cookie: __Host-kiosc_app=c; a=1; kiosc_session=x; __Host-kiosc_browser=y"
	for _, test := range []struct {
		host, target string
		status       int
		body         string
		fields       []string
	}{
		{appHost, "//p/%2e?q=%20", 200, "app //p/%2e?q=%20[] [" + appHost + "] [a=1] []", []string{cookie}},
		{strings.ToUpper(appHost) + ".:8443", "/", 200, "app /[] [", []string{cookie}},
		{appHost, "/", 200, "app /[]", []string{"Authorization: token kiosc_abc"}},
		{appHost, "/containers/proxy/" + id + "/", 200, "app /containers/proxy/" + id + "/[]", []string{cookie}},
		{appHost, "/", 401, "", []string{"Cookie: kiosc_app=c"}},
		{appHost, "/", 401, "", []string{"Cookie: __Host-kiosc_session=c"}},
		{"apps.kiosc.test", "/", 404, "no app at this address", []string{cookie}},
		{"x.apps.kiosc.test", "/", 404, "no app at this address", []string{cookie}},
		{"x." + appHost, "/login/", 404, "no app at this address", []string{cookie}},
		{id + ".apps.kiosc.test", "/", 404, "no app at this address", []string{cookie}},
		{"kiosc.test", "/x", 200, "fiber /x", nil},
		{"xapps.kiosc.test", "/x", 200, "fiber /x", nil},
		{"127.0.0.1:80", "/x", 200, "fiber /x", nil},
		{"[::1]", "/x", 200, "fiber /x", nil},
	} {
		c.send(at("GET", test.host, test.target, test.fields...))
		resp, body := c.response("GET")
		require.Equal(t, test.status, resp.StatusCode, test.host)
		require.Contains(t, body, test.body, test.host)
	}
}

func TestThePathLeadsToTheAppsHost(t *testing.T) {
	addr := withHosts(t, "https://kiosc.test:8443", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Forwarded-Prefix"), r.Header["Authorization"])
	}, noRedeemer)
	c := dial(t, addr)
	for _, method := range []string{"GET", "PUT"} {
		c.send(at(method, "kiosc.test", base+"/a%2Fb?c", "Cookie: __Host-kiosc_session=s"))
		resp, _ := c.response(method)
		require.Equal(t, 307, resp.StatusCode)
		require.Equal(t, "https://"+appHost+":8443/a%2Fb?c", resp.Header.Get("Location"))
	}
	c.send(at("GET", "kiosc.test", base+"/", "Authorization: Bearer kiosc_a"))
	resp, body := c.response("GET")
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, base+"[]", body)
}

func TestHeadersOfAnAppAtItsOwnHost(t *testing.T) {
	addr := withHosts(t, "http://kiosc.test", func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2; Path=/x; Domain=kiosc.test", "__Host-c=3; Path=/; Secure", "kiosc_app=4", "__Host-kiosc_app=5"}
		w.Header().Set("Location", "/l")
		w.Header().Set("Clear-Site-Data", `"cookies"`)
		w.Header().Set("Service-Worker-Allowed", "/")
		w.WriteHeader(302)
	}, noRedeemer)
	c := dial(t, addr)
	c.send(at("GET", appHost, "/", "Cookie: kiosc_app=c"))
	resp, _ := c.response("GET")
	require.Equal(t, []string{"a=1", "b=2; Path=/x", "__Host-c=3; Path=/; Secure"}, resp.Header["Set-Cookie"])
	require.Equal(t, "/l", resp.Header.Get("Location"))
	require.Equal(t, "/", resp.Header.Get("Service-Worker-Allowed"))
	require.Empty(t, resp.Header.Get("Clear-Site-Data"))
}

func TestOtherOriginsAtAnAppsHost(t *testing.T) {
	addr := withHosts(t, "https://kiosc.test", func(http.ResponseWriter, *http.Request) {}, noRedeemer)
	c := dial(t, addr)
	cookie := "Cookie: __Host-kiosc_app=c"
	for _, test := range []struct {
		method string
		status int
		fields []string
	}{
		{"GET", 200, []string{cookie}},
		{"GET", 200, []string{cookie, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors"}},
		{"GET", 200, []string{cookie, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate"}},
		{"GET", 403, []string{cookie, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors"}},
		{"GET", 403, []string{cookie, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors"}},
		{"POST", 403, []string{cookie, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate"}},
		{"POST", 403, []string{cookie, "Origin: https://other.apps.kiosc.test"}},
		{"POST", 200, []string{cookie, "Origin: https://" + appHost}},
		{"GET", 403, []string{cookie, "Origin: https://other.apps.kiosc.test", "Connection: Upgrade", "Upgrade: websocket"}},
		{"POST", 200, []string{"Authorization: token kiosc_a", "Sec-Fetch-Site: cross-site"}},
	} {
		c.send(at(test.method, appHost, "/", test.fields...))
		resp, _ := c.response(test.method)
		require.Equal(t, test.status, resp.StatusCode, test)
	}
}

// begun is a hand-over that an app's host has begun: the visitor's cookie and
// what Kiosc's own pages are told of it.
func begun(t *testing.T, c *conn, target string, fields ...string) (cookie *http.Cookie, asked *url.URL) {
	t.Helper()
	c.send(at("GET", appHost, target, append(fields, "Accept: text/html")...))
	resp, _ := c.response("GET")
	require.Equal(t, 302, resp.StatusCode)
	require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
	asked, err := resp.Location()
	require.NoError(t, err)
	require.Len(t, resp.Cookies(), 1)
	return resp.Cookies()[0], asked
}

func TestHandOver(t *testing.T) {
	used := 0
	var browser string
	addr := withHosts(t, "https://kiosc.test", func(http.ResponseWriter, *http.Request) {}, func(code, shown string) error {
		if code == "good" && shown == browser && used == 0 {
			used++
			return nil
		}
		return noRedeemer("", "")
	})
	c := dial(t, addr)
	mine, asked := begun(t, c, "/deep/link?a=%2F&b")
	require.Equal(t, "https://kiosc.test"+proxy.OpenPath+id, asked.Scheme+"://"+asked.Host+asked.Path)
	require.Equal(t, "/deep/link?a=%2F&b", asked.Query().Get("next"))
	require.True(t, mine.Secure && mine.HttpOnly && mine.SameSite == http.SameSiteLaxMode && mine.Domain == "" && mine.Path == "/")
	require.Equal(t, "__Host-kiosc_browser", mine.Name)
	browser = asked.Query().Get("browser")
	require.NotContains(t, asked.String(), mine.Value, "the cookie itself is told to nobody")
	shown := "Cookie: " + mine.Name + "=" + mine.Value
	again, _ := begun(t, c, "/", shown)
	require.Equal(t, mine.Value, again.Value, "tabs of a browser have one cookie")
	other, _ := begun(t, c, "/", "Cookie: __Host-kiosc_browser=short")
	require.NotEqual(t, "short", other.Value)

	open := func(code, next string, fields ...string) *http.Response {
		u, err := url.Parse(appHosts(t, "https://kiosc.test", "apps.kiosc.test").HandOverURL(id, code, next))
		require.NoError(t, err)
		require.Equal(t, appHost, u.Host)
		c.send(at("GET", u.Host, u.RequestURI(), append(fields, "Accept: text/html")...))
		resp, body := c.response("GET")
		require.NotContains(t, body, code)
		return resp
	}
	require.Equal(t, 403, open("good", "/").StatusCode, "another browser")
	require.Equal(t, 403, open("good", "/", "Cookie: "+other.Name+"="+other.Value).StatusCode, "another browser")
	require.Equal(t, 403, open("bad", "/", shown).StatusCode)
	got := open("good", "/deep/link?a=%2F&b", shown)
	require.Equal(t, 302, got.StatusCode)
	require.Equal(t, "https://"+appHost+"/deep/link?a=%2F&b", got.Header.Get("Location"))
	cookie := got.Cookies()[0]
	require.Equal(t, "__Host-kiosc_app=c; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax; Secure", got.Header["Set-Cookie"][0])
	require.True(t, cookie.HttpOnly)
	require.Equal(t, -1, got.Cookies()[1].MaxAge, "the browser's cookie has done its work")
	require.Equal(t, 403, open("good", "/", shown).StatusCode, "a code counts once")
	for _, app := range []string{"c", "stopped"} {
		back := open("good", "/x", shown, "Cookie: __Host-kiosc_app="+app)
		require.Equal(t, "https://"+appHost+"/x", back.Header.Get("Location"), "who goes back is in already")
		require.Empty(t, back.Cookies())
	}
	for _, next := range []string{"https://evil.test/", "//evil.test/", `/\evil.test`, "x", "/a b", ""} {
		back := open("good", next, "Cookie: __Host-kiosc_app=c")
		require.True(t, strings.HasPrefix(back.Header.Get("Location"), "https://"+appHost+"/"), next)
	}
}

func TestDenialsAtAnAppsHost(t *testing.T) {
	addr := withHosts(t, "https://kiosc.test", func(http.ResponseWriter, *http.Request) {}, noRedeemer)
	c := dial(t, addr)
	c.send(at("GET", appHost, "/p?q", "Cookie: __Host-kiosc_app=stopped", "Accept: text/html"))
	resp, _ := c.response("GET")
	require.Equal(t, "https://kiosc.test"+proxy.Prefix+"lobby/"+id+"?next="+url.QueryEscape(base+"/p?q"), resp.Header.Get("Location"))
	for _, fields := range [][]string{{"Accept: */*"}, {"Accept: text/html", "Sec-Fetch-Mode: no-cors"}} {
		c.send(at("GET", appHost, "/", fields...))
		resp, _ = c.response("GET")
		require.Equal(t, 401, resp.StatusCode, "only a person's navigation is handed over")
	}
	c.send(at("POST", appHost, "/.kiosc/open?code=good", "Accept: text/html"))
	resp, _ = c.response("POST")
	require.Equal(t, 405, resp.StatusCode)
	_, asked := begun(t, c, "/"+strings.Repeat("x", 2000))
	require.Equal(t, "/", asked.Query().Get("next"))
}

func TestMistakesInTheDomainOfApps(t *testing.T) {
	for _, text := range []string{"kiosc.test", "ftp://kiosc.test", "https://", "https://kiosc.test/kiosc", "https://u@kiosc.test", "https://kiosc.test?x"} {
		_, err := proxy.ParseSite(text)
		require.ErrorContains(t, err, "is none such as https://", text)
	}
	site, err := proxy.ParseSite("https://Kiosc.Test:8443/")
	require.NoError(t, err)
	require.Equal(t, "https://kiosc.test:8443", site.String())
	for _, domain := range []string{"", "*.apps.test", "apps_1.test", "-a.test", "a..test", "https://apps.test"} {
		_, err := proxy.NewAppHosts(site, domain)
		require.ErrorContains(t, err, "is no name such as", domain)
	}
	for _, domain := range []string{"kiosc.test", "test", "KIOSC.test."} {
		_, err := proxy.NewAppHosts(site, domain)
		require.ErrorContains(t, err, "must not be at or below", domain)
	}
	hosts := appHosts(t, "https://kiosc.test:8443", "Apps.Kiosc.test.")
	require.Equal(t, "https://"+appHost+":8443/x", hosts.URL(id, "/x"))
	require.Equal(t, "https://*.apps.kiosc.test:8443", hosts.Sources())
}
