package manager_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/deploy/testbed/openid"
	"kiosc/manager"
	"kiosc/manager/oidc"
	"kiosc/manager/service"
)

const (
	openIDBegin = "/social/login/oidc/"
	openIDEnd   = "/social/complete/oidc/"
)

// withOpenID has people log in at a provider.
func withOpenID(p *openid.Provider, rules service.GroupRules) func(*manager.Config) {
	return func(cfg *manager.Config) {
		cfg.OpenID = &manager.OpenIDConfig{Rules: rules, Provider: oidc.Config{Issuer: p.Issuer, ClientID: openid.ClientID,
			Secret: openid.Secret, UserNameClaim: "preferred_username", GroupsClaim: "groups", Name: "Institute login"}}
	}
}

func provider(t testing.TB) *openid.Provider {
	p := openid.Start(t)
	p.Allow(site + openIDEnd)
	p.Set(openid.User{ID: "u1", Name: "ana@EXAMPLE", First: "Ana", Last: "B.", Email: "ana@example.org"})
	return p
}

// one starts a manager whose people log in at the provider.
func one(t testing.TB, p *openid.Provider, rules service.GroupRules) *node {
	t.Helper()
	cfg := config(t, "m1")
	cfg.Bootstrap = true
	withOpenID(p, rules)(&cfg)
	return start(t, cfg)
}

// atProvider goes as far as the provider's answer, which it returns as an address of Kiosc.
func (b *browser) atProvider(p *openid.Provider, next, user string) string {
	b.Helper()
	return p.LogIn(b, b.led(site+openIDBegin+"?next="+url.QueryEscape(next)), user).String()
}

// openID logs a user in at the provider and returns where that leads.
func (b *browser) openID(p *openid.Provider, next, user string) string {
	b.Helper()
	return b.led(b.atProvider(p, next, user))
}

// refused opens an address that shows the login again, with a text.
func (b *browser) refused(to string, status int, text string) {
	b.Helper()
	got, body := b.send("GET", to, nil)
	require.Equal(b, status, got.StatusCode, body)
	require.Contains(b, body, `role="alert"`)
	require.Contains(b, body, text)
	require.Contains(b, body, `action="/login/"`)
}

func user(n *node, name string) (u state.User) {
	n.Helper()
	a, err := n.m.Service().ByName(name)
	require.NoError(n, err)
	return a.User
}

func TestOpenIDLoginGoesOnAtAnotherManager(t *testing.T) {
	p := provider(t)
	all := three(t, withOpenID(p, service.GroupRules{}))
	b := newBrowser(t, all[0])
	got, body := b.send("GET", site+"/login/?next=/tokens/%3Fa%3D1", nil)
	require.Equal(t, 200, got.StatusCode)
	require.Contains(t, body, `href="/social/login/oidc/?next=%2ftokens%2f%3fa%3d1">Log in with Institute login</a>`)

	back := b.atProvider(p, "/tokens/?a=1", "ana@EXAMPLE")
	b.via = all[1]
	got, body = b.send("GET", back, nil)
	require.Equal(t, 302, got.StatusCode, body)
	require.Equal(t, "/tokens/?a=1", got.Header.Get("Location"))
	for _, c := range got.Cookies() {
		require.True(t, c.HttpOnly)
		require.Equal(t, http.SameSiteLaxMode, c.SameSite)
		require.Equal(t, c.Name == "kiosc_openid", c.Value == "", "what was kept is gone: %s", c)
	}
	got, _ = b.send("GET", site+"/tokens/", nil)
	require.Equal(t, 200, got.StatusCode)
	u := user(all[1], "ana@EXAMPLE")
	require.Equal(t, state.AuthOIDC, u.AuthType)
	require.Equal(t, []string{"Ana B.", "Ana", "B.", "ana@example.org"}, []string{u.FullName, u.FirstName, u.LastName, u.Email})
	require.False(t, u.Superuser)
	b.via = all[2]
	require.Eventually(t, func() bool {
		got, _ := b.send("GET", site+"/tokens/", nil)
		return got.StatusCode == 200
	}, soon, 20*time.Millisecond, "the login counts at every manager")

	require.Equal(t, site+"/", b.led(back), "back to a page that has done its part")
	require.Equal(t, site+"/", b.led(site+openIDBegin), "who is logged in need not go there")
	first := b.session()
	b.logOut()
	b.refused(back, 401, "was used before")
	require.Equal(t, site+"/", b.openID(p, "/", "ana@EXAMPLE"))
	require.NotEqual(t, first, b.session())
	require.Equal(t, u.ID, user(all[2], "ana@EXAMPLE").ID)
}

// TestOpenIDLoginsOfOthers are what somebody could try who has another's address, or another's cookie.
func TestOpenIDLoginsOfOthers(t *testing.T) {
	t.Parallel()
	p := provider(t)
	p.Set(openid.User{ID: "u2", Name: "eve"})
	n := one(t, p, service.GroupRules{})
	ana, eve := newBrowser(t, n), newBrowser(t, n)
	back := ana.atProvider(p, "/", "ana@EXAMPLE")
	eve.refused(back, 401, "another browser")
	eve.atProvider(p, "/", "eve")
	eve.refused(back, 401, "another browser")
	require.Empty(t, eve.session())
	require.Equal(t, site+"/", ana.led(back), "nobody has used it up")

	at, err := url.Parse(site)
	require.NoError(t, err)
	eve.atProvider(p, "/", "eve")
	mine := eve.jar.Cookies(at)
	back = eve.atProvider(p, "/", "eve")
	eve.jar.SetCookies(at, mine)
	eve.refused(back, 401, "another browser or window")

	for name, change := range map[string]func(*http.Cookie){
		"cut":     func(c *http.Cookie) { c.Value = c.Value[:20] },
		"changed": func(c *http.Cookie) { c.Value = c.Value[:40] + "AAAA" + c.Value[44:] },
		"expired": func(c *http.Cookie) { c.Value = expired(t, n, c.Value) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t, n)
			back := b.atProvider(p, "/", "eve")
			all := b.jar.Cookies(at)
			require.Len(t, all, 1)
			change(all[0])
			all[0].Path = "/"
			b.jar.SetCookies(at, all)
			b.refused(back, 401, "This login has expired")
		})
	}
}

// expired seals again what the browser keeps, as if it had begun long ago.
func expired(t testing.TB, n *node, kept string) string {
	key, err := pki.LoadKey(filepath.Join(n.cfg.DataDir, "cluster.key"))
	require.NoError(t, err)
	const context = "openid-attempt"
	sealed, err := base64.RawURLEncoding.DecodeString(kept)
	require.NoError(t, err)
	plain, err := pki.Open(key, sealed, context)
	require.NoError(t, err)
	attempt := map[string]any{}
	require.NoError(t, json.Unmarshal(plain, &attempt))
	attempt["Ends"] = time.Now().Add(-time.Second)
	plain, err = json.Marshal(attempt)
	require.NoError(t, err)
	sealed, err = pki.Seal(key, plain, context)
	require.NoError(t, err)
	return base64.RawURLEncoding.EncodeToString(sealed)
}

// TestOpenIDTakesNobodysAccount tries names that are in use, and the account of somebody who was put out.
func TestOpenIDTakesNobodysAccount(t *testing.T) {
	t.Parallel()
	p := provider(t)
	n := one(t, p, service.GroupRules{})
	b := newBrowser(t, n)
	p.Set(openid.User{ID: "u2", Name: "admin"})
	b.refused(b.atProvider(p, "/", "admin"), 409, "There is a user admin already who logs in another way.")
	local := user(n, "admin")
	require.Equal(t, state.AuthLocal, local.Auth())

	require.Equal(t, site+"/", b.openID(p, "/", "ana@EXAMPLE"))
	got, _ := newBrowser(t, n).send("POST", site+"/login/", url.Values{"username": {"ana@EXAMPLE"}, "password": {openid.Password}})
	require.Equal(t, 401, got.StatusCode, "Kiosc has no password of the user's")
	off := false
	require.NoError(t, n.admin("user-set", service.UserInput{Name: "ana@EXAMPLE", Active: &off}, &service.UserView{}))
	require.Equal(t, site+"/login/?next=%2F", b.led(site+"/"), "the login has ended")
	b.refused(b.atProvider(p, "/", "ana@EXAMPLE"), 403, "Your account has been deactivated.")
	on := true
	require.NoError(t, n.admin("user-set", service.UserInput{Name: "ana@EXAMPLE", Active: &on}, &service.UserView{}))

	// The provider has given the name to somebody else.
	p.Set(openid.User{ID: "u1", Name: "gone"})
	p.Set(openid.User{ID: "u3", Name: "ana@EXAMPLE"})
	b.refused(b.atProvider(p, "/", "ana@EXAMPLE"), 409, "belonged to somebody else")

	var relinked service.RelinkView
	require.NoError(t, n.admin("user-relink", service.RelinkInput{Name: "ana@EXAMPLE"}, &relinked))
	require.Equal(t, 1, relinked.Users)
	require.Equal(t, site+"/", newBrowser(t, n).openID(p, "/", "ana@EXAMPLE"))
	require.NoError(t, n.admin("user-relink", service.RelinkInput{All: true}, &relinked))
	require.Error(t, n.admin("user-relink", service.RelinkInput{All: true, Name: "ana@EXAMPLE"}, &relinked))
	require.Error(t, n.admin("user-relink", service.RelinkInput{Name: "nobody"}, &relinked))

	p.Set(openid.User{ID: "u4", Name: "<b>"})
	b = newBrowser(t, n)
	b.refused(b.atProvider(p, "/", "<b>"), 400, "can&#39;t be in Kiosc")
	require.Empty(t, b.session())

	// Another name for the same person.
	require.Equal(t, site+"/", newBrowser(t, n).openID(p, "/", "ana@EXAMPLE"))
	p.Set(openid.User{ID: "u3", Name: "ana.c", First: "Ana", Last: "C."})
	require.Equal(t, site+"/", b.openID(p, "/", "ana.c"))
	require.Equal(t, "Ana C.", user(n, "ana@EXAMPLE").FullName, "the account goes with the person")
	var users []service.UserView
	require.NoError(t, n.admin("user-ls", struct{}{}, &users))
	require.Len(t, users, 2)
}

// TestOpenIDGroups give roles, and take them when somebody isn't in them any more.
func TestOpenIDGroups(t *testing.T) {
	t.Parallel()
	p := provider(t)
	rules, err := service.ParseGroupRules(`[{"group": "mice", "project": "Demo", "role": "guest"}]`, "kings", nil)
	require.NoError(t, err)
	n := one(t, p, rules)
	projects := func(groups ...string) (titles []string) {
		t.Helper()
		p.Set(openid.User{ID: "u1", Name: "ana@EXAMPLE", Groups: groups})
		require.Equal(t, site+"/", newBrowser(t, n).openID(p, "/", "ana@EXAMPLE"))
		a, err := n.m.Service().ByName("ana@EXAMPLE")
		require.NoError(t, err)
		all, err := n.m.Service().Projects(a)
		require.NoError(t, err)
		for _, project := range all {
			titles = append(titles, project.Title)
		}
		return titles
	}
	require.Empty(t, projects())
	require.Equal(t, []string{"Demo"}, projects("mice", "fish"))
	require.False(t, user(n, "ana@EXAMPLE").Superuser)
	require.Empty(t, projects("fish"))
	projects("kings")
	require.True(t, user(n, "ana@EXAMPLE").Superuser)
	require.Empty(t, projects())
	require.False(t, user(n, "ana@EXAMPLE").Superuser)
}

// TestOpenIDProviderIsDown from the start of Kiosc on, and comes up later than it.
func TestOpenIDProviderIsDown(t *testing.T) {
	t.Parallel()
	p := provider(t)
	p.Stop()
	n := one(t, p, service.GroupRules{})
	b := newBrowser(t, n)
	b.refused(site+openIDBegin+"?next=/tokens/", 503, "Institute login can&#39;t be reached at the moment.")
	require.Equal(t, site+"/", b.logIn("/"), "local users log in as ever")
}

// TestOpenIDIsCancelled by the person, at the provider.
func TestOpenIDIsCancelled(t *testing.T) {
	t.Parallel()
	p := provider(t)
	n := one(t, p, service.GroupRules{})
	b := newBrowser(t, n)
	back := b.atProvider(p, "/tokens/", "")
	got, body := b.send("GET", back, nil)
	require.Equal(t, 403, got.StatusCode)
	require.Contains(t, body, "or you have cancelled the login")
	require.Contains(t, body, `name="next" value="/tokens/"`, "the next attempt leads on to where this one should have")
	b.refused(back, 401, "This login has expired")
}

// TestOpenIDLeadsNowhereElse than to pages of this Kiosc.
func TestOpenIDLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	p := provider(t)
	n := one(t, p, service.GroupRules{})
	for _, next := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`, "/login/?next=/x", "/" + strings.Repeat("a", 2000)} {
		require.Equal(t, site+"/", newBrowser(t, n).openID(p, next, "ana@EXAMPLE"))
	}
	long := "/" + strings.Repeat("b", 1000)
	require.Equal(t, site+long, newBrowser(t, n).openID(p, long, "ana@EXAMPLE"))

	b := newBrowser(t, n)
	for _, to := range []string{openIDBegin, openIDEnd} {
		got, _ := b.send("GET", site+to, nil, "Sec-Fetch-Dest", "empty")
		require.Equal(t, 403, got.StatusCode, "scripts don't log anybody in")
		got, _ = b.send("POST", site+to, url.Values{})
		require.Equal(t, 405, got.StatusCode)
	}
}

// TestOpenIDReturnsToTheAddressOfTheSite, which is a setting, or what a trusted proxy says, or the request's own.
func TestOpenIDReturnsToTheAddressOfTheSite(t *testing.T) {
	t.Parallel()
	p := provider(t)
	cfg := config(t, "m1")
	cfg.Bootstrap = true
	withOpenID(p, service.GroupRules{})(&cfg)
	redirect := func(n *node, from string, fields ...string) string {
		t.Helper()
		got, body := newBrowser(t, n).send("GET", from+openIDBegin+"?next=/tokens/", nil, fields...)
		require.Equal(t, 302, got.StatusCode, body)
		at, err := got.Location()
		require.NoError(t, err)
		if uri := at.Query().Get("redirect_uri"); uri != "" {
			return uri
		}
		return at.String()
	}
	front := []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "kiosc.example:8443"}
	n := start(t, cfg)
	require.Equal(t, site+openIDEnd, redirect(n, site, front...), "nobody's proxy")
	require.NoError(t, n.end())

	cfg.Bootstrap, cfg.Web.TrustedProxies = false, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	n = start(t, cfg)
	require.Equal(t, "https://kiosc.example:8443"+openIDEnd, redirect(n, site, front...))
	require.NoError(t, n.end())

	n = start(t, withSite(t, cfg, "https://kiosc.example"))
	there := "https://kiosc.example" + openIDBegin + "?there=1&next=%2Ftokens%2F"
	require.Equal(t, there, redirect(n, site), "the cookie has to be where the provider leads back to")
	require.Equal(t, "https://kiosc.example"+openIDEnd, redirect(n, "http://kiosc.example", "X-Forwarded-Proto", "https"))
	got, _ := newBrowser(t, n).send("GET", strings.Replace(there, "https://kiosc.example", site, 1), nil)
	require.Contains(t, got.Header.Get("Location"), p.Issuer, "a proxy that hides the address leads nobody in circles")
	require.Contains(t, got.Header.Get("Set-Cookie"), "__Host-kiosc_openid=")
}

// TestWithoutOpenID nothing offers it, and wrong settings keep a manager from starting.
func TestWithoutOpenID(t *testing.T) {
	t.Parallel()
	cfg := config(t, "m1")
	cfg.Bootstrap = true
	withOpenID(&openid.Provider{Issuer: "http://login.example"}, service.GroupRules{})(&cfg)
	_, err := manager.New(t.Context(), cfg)
	require.ErrorContains(t, err, "is not https")
	cfg.OpenID = nil
	b := newBrowser(t, start(t, cfg))
	_, body := b.send("GET", site+"/login/", nil)
	require.NotContains(t, body, "oidc")
	got, _ := b.send("GET", site+openIDBegin, nil)
	require.Equal(t, 404, got.StatusCode)
}
