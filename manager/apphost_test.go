package manager_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/manager"
	"kiosc/manager/auth"
	"kiosc/proxy"
)

const site = "http://kiosc.test"

// withAppHosts gives apps hosts of their own.
func withAppHosts(cfg *manager.Config) {
	at, err := proxy.ParseSite(site)
	if err == nil {
		cfg.Web.Site = at
		cfg.Web.Apps, err = proxy.NewAppHosts(at, "apps.kiosc.test")
	}
	if err != nil {
		panic(err)
	}
}

// browser is somebody whose every name leads to one manager, which may change.
type browser struct {
	testing.TB
	via    *node
	jar    *cookiejar.Jar
	client http.Client
}

func newBrowser(t testing.TB, via *node) *browser {
	b := &browser{TB: t, via: via}
	b.jar, _ = cookiejar.New(nil)
	b.client = http.Client{Timeout: soon, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, b.via.m.Addr())
		}}}
	return b
}

// send makes a request; fields are header names and values.
func (b *browser) send(method, to string, form url.Values, fields ...string) (*http.Response, string) {
	b.Helper()
	r, err := http.NewRequest(method, to, strings.NewReader(form.Encode()))
	require.NoError(b, err)
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	for _, c := range b.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	got, err := b.client.Do(r)
	require.NoError(b, err)
	defer got.Body.Close()
	b.jar.SetCookies(r.URL, got.Cookies())
	body, err := io.ReadAll(got.Body)
	require.NoError(b, err)
	return got, string(body)
}

// led opens an address and returns where it leads.
func (b *browser) led(to string) string {
	b.Helper()
	got, body := b.send("GET", to, nil)
	require.Equal(b, 302, got.StatusCode, body)
	location, err := got.Location()
	require.NoError(b, err)
	return location.String()
}

func (b *browser) logIn(next string) (to string) {
	b.Helper()
	got, body := b.send("POST", site+"/login/", url.Values{"username": {"admin"}, "password": {password}, "next": {next}})
	require.Equal(b, 302, got.StatusCode, body)
	location, err := got.Location()
	require.NoError(b, err)
	return location.String()
}

func (b *browser) session() string {
	at, _ := url.Parse(site)
	for _, c := range b.jar.Cookies(at) {
		if c.Name == "kiosc_session" {
			return c.Value
		}
	}
	return ""
}

func (b *browser) logOut() {
	b.Helper()
	got, body := b.send("POST", site+"/logout/", url.Values{"csrf_token": {auth.CSRFToken(b.session())}})
	require.Equal(b, 302, got.StatusCode, body)
}

// demoApp is the id of the demo container, which doesn't run, and its host.
func demoApp(t testing.TB, n *node) (id, host string) {
	t.Helper()
	admin, err := n.m.Service().ByName("admin")
	require.NoError(t, err)
	projects, err := n.m.Service().Projects(admin)
	require.NoError(t, err)
	containers, err := n.m.Service().Containers(admin, projects[0].ID)
	require.NoError(t, err)
	id = containers[0].ID
	return id, "http://" + strings.ReplaceAll(id, "-", "") + ".apps.kiosc.test"
}

func TestAnAppsOwnHostOnAnyManager(t *testing.T) {
	all := three(t, withAppHosts)
	id, host := demoApp(t, all[0])
	lobby := site + "/containers/proxy/lobby/" + id + "?next=" + url.QueryEscape("/containers/proxy/"+id+"/deep?x=%20")
	b := newBrowser(t, all[0])

	// Not logged in: to Kiosc's own pages, the login, and back with a code.
	open := b.led(host + "/deep?x=%20")
	require.True(t, strings.HasPrefix(open, site+"/containers/proxy/open/"+id+"?"), open)
	login := b.led(open)
	require.True(t, strings.HasPrefix(login, site+"/login/?next="), login)
	at, err := url.Parse(login)
	require.NoError(t, err)
	open = b.logIn(at.Query().Get("next"))
	code := b.led(open)
	require.True(t, strings.HasPrefix(code, host+"/.kiosc/open?code="), code)

	// A thief of the code has another browser.
	thief := newBrowser(t, all[1])
	got, body := thief.send("GET", code, nil)
	require.Equal(t, 403, got.StatusCode)
	require.Contains(t, body, "has not kept the cookie")
	thief.led(host + "/")
	got, _ = thief.send("GET", code, nil)
	require.Equal(t, 403, got.StatusCode)
	require.Empty(t, got.Cookies())

	// Another manager takes the code, for this app only and once.
	b.via = all[1]
	other := strings.Replace(host, host[7:15], "00000000", 1)
	appURL, _ := url.Parse(host)
	otherURL, _ := url.Parse(other)
	mine := b.jar.Cookies(appURL)
	b.jar.SetCookies(otherURL, mine)
	got, _ = b.send("GET", strings.Replace(code, host, other, 1), nil)
	require.Equal(t, 403, got.StatusCode)
	twin := newBrowser(t, all[2])
	twin.jar.SetCookies(appURL, mine)
	require.Equal(t, host+"/deep?x=%20", b.led(code))
	got, _ = twin.send("GET", code, nil)
	require.Equal(t, 403, got.StatusCode, "a code counts once in the whole cluster")
	got, _ = twin.send("GET", strings.Replace(code, "&next", "%0A&next", 1), nil)
	require.Equal(t, 403, got.StatusCode, "however it is written")
	names := []string{}
	for _, c := range b.jar.Cookies(appURL) {
		names = append(names, c.Name)
	}
	require.Equal(t, []string{"kiosc_app"}, names, "the app's host gets no other cookie")

	// Every manager knows the visitor now. The app doesn't run, which only those hear who may open it.
	for _, n := range all {
		b.via = n
		require.Eventually(t, func() bool { return b.led(host+"/deep?x=%20") == lobby }, soon, 20*time.Millisecond)
	}
	b.jar.SetCookies(otherURL, b.jar.Cookies(appURL))
	require.Contains(t, b.led(other+"/"), "/containers/proxy/open/", "the cookie is this app's only")
	require.NotEqual(t, lobby, newBrowser(t, all[0]).led(host+"/deep?x=%20"))

	// The path leads to the app's host.
	got, _ = b.send("GET", site+"/containers/proxy/"+id+"/deep?x=%20", nil)
	require.Equal(t, host+"/deep?x=%20", got.Header.Get("Location"))

	// A logout ends it everywhere, also for codes that were not used yet.
	unused := b.led(b.led(newHost(b, host)))
	b.via = all[1]
	b.logOut()
	for _, n := range all {
		b.via = n
		require.Eventually(t, func() bool {
			return strings.HasPrefix(b.led(host+"/"), site+"/containers/proxy/open/")
		}, soon, 20*time.Millisecond)
	}
	require.Equal(t, host+"/", b.led(unused))
	require.Contains(t, b.led(host+"/"), "/containers/proxy/open/")
}

// newHost forgets the app's cookie, as a browser does where somebody clears it.
func newHost(b *browser, host string) string {
	at, _ := url.Parse(host)
	b.jar.SetCookies(at, []*http.Cookie{{Name: "kiosc_app", MaxAge: -1}})
	return host + "/"
}

func TestNobodyIsLetInWithoutAMajority(t *testing.T) {
	all := three(t, withAppHosts)
	_, host := demoApp(t, all[0])
	l, others := leader(all)
	b := newBrowser(t, l)
	b.logIn("/")
	open := b.led(host + "/")
	code := b.led(open)
	for _, n := range others {
		require.NoError(t, n.end())
	}
	got, body := b.send("GET", code, nil)
	require.Equal(t, 503, got.StatusCode, body)
	require.Empty(t, got.Cookies())
}

// An app's page is of the same site as Kiosc, so browsers add Kiosc's cookie to what it sends there.
func TestAnAppsPageCannotActAsItsVisitor(t *testing.T) {
	t.Parallel()
	cfg := config(t, "m1")
	cfg.Bootstrap = true
	withAppHosts(&cfg)
	n := start(t, cfg)
	id, host := demoApp(t, n)
	b := newBrowser(t, n)
	b.logIn("/")
	csrf := auth.CSRFToken(b.session())
	for name, fields := range map[string][]string{
		"a browser that tells the site": {"Origin", host, "Sec-Fetch-Site", "same-site"},
		"a browser that doesn't":        {"Origin", host},
	} {
		for _, path := range []string{"/containers/start/" + id, "/containers/proxy/lobby/" + id, "/logout/", "/login/"} {
			got, body := b.send("POST", site+path, url.Values{"csrf_token": {csrf}}, fields...)
			require.Equal(t, 403, got.StatusCode, "%s: %s: %s", name, path, body)
		}
		for _, c := range [][2]string{{"POST", "/containers/api/start/"}, {"GET", "/containers/api/start/"}, {"DELETE", "/containers/api/delete/"}} {
			got, _ := b.send(c[0], site+c[1]+id, nil, fields...)
			require.GreaterOrEqual(t, got.StatusCode, 403, c)
		}
		got, _ := b.send("GET", site+"/containers/api/detail/"+id, nil, fields...)
		require.Empty(t, got.Header.Get("Access-Control-Allow-Origin"), "what comes back can't be read")
		require.Equal(t, "same-origin", mustGet(b, "/").Header.Get("Cross-Origin-Resource-Policy"))
	}
	for _, dest := range []string{"iframe", "empty", "image"} {
		got, _ := b.send("GET", site+"/containers/proxy/open/"+id+"?browser="+strings.Repeat("A", 43)+"&next=/", nil, "Sec-Fetch-Dest", dest)
		require.Equal(t, 403, got.StatusCode, "no page collects codes unseen")
	}
	require.NotEmpty(t, b.session())
	require.Contains(t, mustGet(b, "/").Header.Get("Content-Security-Policy"), "form-action 'self' http://*.apps.kiosc.test")
	for _, path := range []string{id + "?browser=short", id, uuid.NewString() + "?browser=" + strings.Repeat("A", 43)} {
		got, _ := b.send("GET", site+"/containers/proxy/open/"+path, nil)
		require.Equal(t, 404, got.StatusCode, path)
	}
}

func mustGet(b *browser, path string) *http.Response {
	b.Helper()
	got, _ := b.send("GET", site+path, nil)
	require.Equal(b, 200, got.StatusCode)
	return got
}
