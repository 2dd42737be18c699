package proxy_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"

	"kiosc/proxy"
)

// behind serves a front door that trusts some proxies. The app and Fiber
// answer with what they learn of where a request came from.
func behind(t *testing.T, trusted ...string) string {
	t.Helper()
	prefixes, err := proxy.ParseProxies(trusted)
	require.NoError(t, err)
	tell := func(get func(string) string, host string) string {
		return strings.Join([]string{get("X-Forwarded-For"), get("X-Forwarded-Proto"), host, get("X-Forwarded-Host"), get("X-Real-Ip")}, "|")
	}
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, tell(r.Header.Get, r.Host))
	}))
	t.Cleanup(b.Close)
	app := fiber.New(fiber.Config{DisableStartupMessage: true, Immutable: true})
	app.Get("/where", func(c *fiber.Ctx) error {
		return c.SendString(tell(func(name string) string { return c.Get(name) }, string(c.Context().Host())))
	})
	app.Handler()
	return serve(t, proxy.Config{Gate: gate(allow), Dialer: dialTo(b.Listener.Addr().String()), App: app.Server(),
		SessionCookie: "kiosc_session", TrustedProxies: prefixes})
}

func TestOnlyTrustedProxiesSayWhereARequestCameFrom(t *testing.T) {
	for name, test := range map[string]struct {
		trusted, fields []string
		from, scheme    string
		host            string
	}{
		"nothing said":       {nil, nil, "127.0.0.1", "http", "kiosc.test"},
		"said by a stranger": {nil, []string{"X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "X-Real-Ip: 1.2.3.4"}, "127.0.0.1", "http", "kiosc.test"},
		"another is trusted": {[]string{"10.0.0.0/8"}, []string{"X-Forwarded-For: 1.2.3.4"}, "127.0.0.1", "http", "kiosc.test"},
		"trusted":            {[]string{"127.0.0.1"}, []string{"X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: HTTPS", "X-Forwarded-Host: k.example.org:8443"}, "1.2.3.4", "https", "k.example.org:8443"},
		"silent proxy":       {[]string{"127.0.0.0/8"}, nil, "127.0.0.1", "http", "kiosc.test"},
		"a lie before it":    {[]string{"127.0.0.1"}, []string{"X-Forwarded-For: 6.6.6.6, 1.2.3.4"}, "1.2.3.4", "http", "kiosc.test"},
		"two proxies":        {[]string{"127.0.0.1", "10.0.0.0/8"}, []string{"X-Forwarded-For: 6.6.6.6, 1.2.3.4", "X-Forwarded-For: 10.1.1.1"}, "1.2.3.4", "http", "kiosc.test"},
		"only proxies":       {[]string{"127.0.0.1", "10.0.0.0/8"}, []string{"X-Forwarded-For: 10.1.1.2, 10.1.1.1"}, "10.1.1.2", "http", "kiosc.test"},
		"no address":         {[]string{"127.0.0.1"}, []string{"X-Forwarded-For: 1.2.3.4, unknown"}, "127.0.0.1", "http", "kiosc.test"},
		"with ports":         {[]string{"127.0.0.1"}, []string{"X-Forwarded-For: [2001:db8::1]:4711"}, "2001:db8::1", "http", "kiosc.test"},
		"mapped":             {[]string{"127.0.0.1"}, []string{"X-Forwarded-For: ::ffff:1.2.3.4"}, "1.2.3.4", "http", "kiosc.test"},
		"no scheme":          {[]string{"127.0.0.1"}, []string{"X-Forwarded-Proto: ftp", "X-Forwarded-Host: a b"}, "127.0.0.1", "http", "kiosc.test"},
		"underscores":        {[]string{"127.0.0.1"}, []string{"X_Forwarded_For: 1.2.3.4", "X_Forwarded_Proto: https"}, "127.0.0.1", "http", "kiosc.test"},
	} {
		c := dial(t, behind(t, test.trusted...))
		c.send(get(base+"/", test.fields...) + get("/where", test.fields...))
		_, app := c.response("GET")
		require.Equal(t, strings.Join([]string{test.from, test.scheme, test.host, test.host, ""}, "|"), app, name)
		_, pages := c.response("GET")
		require.Equal(t, strings.Join([]string{test.from, test.scheme, test.host, "", ""}, "|"), pages, name)
	}
}

func TestProxiesThatAreNoAddresses(t *testing.T) {
	for _, text := range []string{"", "10.0.0.0/33", "example.org", "10.0.0.0-10.0.0.9"} {
		_, err := proxy.ParseProxies([]string{"10.0.0.1", text})
		require.ErrorContains(t, err, fmt.Sprintf("%q is no address", text))
	}
}

// A WebSocket's page is compared with the host under which the browser knows
// Kiosc, and not with the one that the proxy in front uses.
func TestForeignPagesBehindAProxy(t *testing.T) {
	addr := behind(t, "127.0.0.1")
	c := dial(t, addr)
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket", "Cookie: kiosc_session=s", "X-Forwarded-Host: k.example.org"}
	for origin, status := range map[string]int{"https://k.example.org": 200, "https://kiosc.test": 403} {
		c.send(get(base+"/", append(upgrade, "Origin: "+origin)...))
		resp, _ := c.response("GET")
		require.Equal(t, status, resp.StatusCode, origin)
	}
}

// serve runs a front door of any kind until the test ends.
func serve(t *testing.T, cfg proxy.Config) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	run(t, cfg, ln)
	return ln.Addr().String()
}
