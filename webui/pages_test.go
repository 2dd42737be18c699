package webui_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/webui"
)

// Each route is asked by each kind of visitor. The order of statuses is nobody, outsider, guest, contributor.
func TestWhoSeesWhat(t *testing.T) {
	s := newSite(t)
	fresh, running, failed := s.Container("fresh"), s.Container("runs"), s.Container("fails")
	s.Report(running, state.Running)
	s.Report(failed, state.Failed)
	routes := []struct {
		method, path string
		want         [4]int
	}{
		{"GET", "/", [4]int{302, 200, 200, 200}},
		{"GET", "/login/", [4]int{200, 302, 302, 302}},
		{"GET", "/logout/", [4]int{302, 200, 200, 200}},
		{"GET", "/project/" + s.Project, [4]int{302, 404, 200, 200}},
		{"GET", "/project/members/" + s.Project, [4]int{302, 404, 200, 200}},
		{"POST", "/project/members/create/" + s.Project, [4]int{302, 404, 403, 403}},
		{"POST", "/project/members/delete/" + s.Project, [4]int{302, 404, 403, 403}},
		{"GET", "/project/members/leave/" + s.Project, [4]int{302, 405, 405, 405}},
		{"GET", "/project/members/transfer/" + s.Project, [4]int{302, 404, 403, 403}},
		{"GET", "/project/update/" + s.Project, [4]int{302, 404, 403, 403}},
		{"POST", "/project/update/" + s.Project, [4]int{302, 404, 403, 403}},
		{"POST", "/project/archive/" + s.Project, [4]int{302, 404, 403, 403}},
		{"GET", "/project/delete/" + s.Project, [4]int{302, 404, 403, 403}},
		{"POST", "/project/delete/" + s.Project, [4]int{302, 404, 403, 403}},
		{"GET", "/project/create", [4]int{302, 403, 403, 403}},
		{"GET", "/project/create/" + s.Project, [4]int{302, 404, 403, 404}},
		{"GET", "/project/invites/create/" + s.Project, [4]int{302, 404, 403, 403}},
		{"POST", "/project/invites/revoke/" + uuid.NewString(), [4]int{302, 404, 404, 404}},
		{"GET", "/project/invites/accept/none", [4]int{404, 404, 404, 404}},
		{"GET", "/containers/" + s.Project, [4]int{302, 404, 200, 200}},
		{"GET", "/containers/create/" + s.Project, [4]int{302, 404, 403, 200}},
		{"POST", "/containers/create/" + s.Project, [4]int{302, 404, 403, 400}},
		{"GET", "/containers/update/" + fresh, [4]int{302, 404, 403, 200}},
		{"POST", "/containers/update/" + fresh, [4]int{302, 404, 403, 403}}, // a form without the version that it is based on
		{"GET", "/containers/detail/" + fresh, [4]int{302, 404, 200, 200}},
		{"GET", "/containers/delete/" + fresh, [4]int{302, 404, 403, 200}},
		{"GET", "/containers/start/" + fresh, [4]int{302, 405, 405, 405}},
		{"POST", "/containers/start/" + fresh, [4]int{302, 404, 403, 302}},
		{"POST", "/containers/pause/" + running, [4]int{302, 404, 403, 302}},
		{"POST", "/containers/delete/" + failed, [4]int{302, 404, 403, -1}},
		{"GET", "/containers/ajax/get-dynamic-details/" + fresh, [4]int{401, 404, 200, 200}},
		{"GET", "/containers/ajax/events/" + fresh, [4]int{401, 404, -1, -1}},
		{"GET", "/containers/ajax/figures/container/" + fresh, [4]int{401, 404, 200, 200}},
		{"GET", "/containers/ajax/figures/project/" + s.Project, [4]int{401, 404, 200, 200}},
		{"GET", "/containers/ajax/figures/node/" + uuid.NewString(), [4]int{401, 404, 404, 404}},
		{"GET", "/containers/proxy/lobby/" + failed, [4]int{302, 404, 200, 200}},
		{"POST", "/containers/proxy/lobby/" + failed, [4]int{302, 404, 302, 302}},
		{"GET", "/account/", [4]int{302, 200, 200, 200}},
		{"GET", "/account/password", [4]int{302, 405, 405, 405}},
		{"POST", "/account/password", [4]int{302, 400, 400, 400}},
		{"POST", "/account/logout-everywhere", [4]int{302, 302, 302, 302}},
		{"GET", "/tokens/", [4]int{302, 200, 200, 200}},
		{"GET", "/tokens/create", [4]int{302, 200, 200, 200}},
		{"POST", "/tokens/create", [4]int{302, 400, 400, 400}},
		{"GET", "/tokens/delete/" + uuid.NewString(), [4]int{302, 405, 405, 405}},
		{"POST", "/tokens/delete/" + uuid.NewString(), [4]int{302, 404, 404, 404}},
		{"GET", "/nowhere/at/all", [4]int{404, 404, 404, 404}},
		{"GET", "/static/none.js", [4]int{404, 404, 404, 404}},
		{"GET", "/containers/garbage", [4]int{302, 404, 404, 404}},
		{"GET", "/containers/detail/" + strings.ToUpper(fresh), [4]int{302, 404, 404, 404}},
		{"GET", "/containers/detail/" + fresh + "%00x", [4]int{302, 404, 404, 404}},
		{"GET", "/containers/detail/" + uuid.NewString(), [4]int{302, 404, 404, 404}},
	}
	for _, r := range routes {
		for i, user := range []string{"", "outsider", "guest", "contributor"} {
			if r.want[i] < 0 {
				continue // has a test of its own
			}
			got := s.get(user, r.path)
			if r.method == "POST" {
				got = s.post(user, r.path)
			}
			require.Equal(t, r.want[i], got.status, "%s %s as %q: %s", r.method, r.path, user, got.body)
			require.Contains(t, got.header.Get("Content-Security-Policy"), "default-src 'self'", r.path)
			require.Equal(t, "no-store", got.header.Get("Cache-Control"), r.path)
			if got.status == 302 && user == "" {
				require.True(t, strings.HasPrefix(got.header.Get("Location"), "/login/?next="), got.header.Get("Location"))
			}
		}
	}
}

func TestNothingIsOfferedThatIsNotAllowed(t *testing.T) {
	s := newSite(t)
	c := s.Container("app")
	s.Report(c, state.Running)
	for _, path := range []string{"/", "/containers/" + s.Project, "/containers/detail/" + c, "/tokens/"} {
		body := s.get("guest", path).body
		for _, no := range []string{"/containers/create", "/containers/stop", "/containers/pause", "/containers/restart",
			"/containers/start", "/containers/delete", `id="log"`} {
			require.NotContains(t, body, no, path)
		}
	}
	body := s.get("contributor", "/containers/detail/"+c).body
	for _, yes := range []string{`data-action="stop">`, `data-action="pause">`, `data-action="start" hidden>`, `id="log"`,
		"/containers/proxy/" + c + "/app/", "docker-1", "172.30.0.2", "&#34;B&#34;: &#34;&lt;masked&gt;&#34;"} {
		require.Contains(t, body, yes)
	}
	require.Contains(t, s.get("guest", "/containers/detail/"+c).body, "/containers/proxy/"+c+"/app/")
	require.NotContains(t, s.get("outsider", "/").body, "Mice")
	require.Contains(t, s.get("guest", "/").body, "1 running")
}

func TestForgedRequestsChangeNothing(t *testing.T) {
	s := newSite(t)
	c := s.Container("app")
	start := "/containers/start/" + c
	right := url.Values{"csrf_token": {auth.CSRFToken(s.Sessions["owner"])}}
	for name, got := range map[string]answer{
		"no token":      s.send("owner", "POST", start, url.Values{}),
		"another's":     s.send("owner", "POST", start, url.Values{"csrf_token": {auth.CSRFToken(s.Sessions["guest"])}}),
		"cross site":    s.send("owner", "POST", start, right, "Sec-Fetch-Site", "cross-site"),
		"same site":     s.send("owner", "POST", start, right, "Sec-Fetch-Site", "same-site"),
		"origin":        s.send("owner", "POST", start, right, "Origin", "https://evil.example"),
		"null origin":   s.send("owner", "POST", start, right, "Origin", "null"),
		"login":         s.send("", "POST", "/login/", url.Values{"username": {"owner"}, "password": {password}}, "Sec-Fetch-Site", "cross-site"),
		"logout":        s.send("owner", "POST", "/logout/", url.Values{}),
		"token":         s.send("owner", "POST", "/tokens/create", url.Values{"ttl": {"0"}}),
		"lobby":         s.send("owner", "POST", "/containers/proxy/lobby/"+c, url.Values{}),
		"delete":        s.send("owner", "POST", "/containers/delete/"+c, url.Values{}),
		"app script":    s.send("owner", "POST", start, url.Values{}, "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"),
		"app reads":     s.get("owner", "/tokens/create", "Sec-Fetch-Dest", "empty"),
		"app as JSON":   s.get("owner", "/tokens/create", "Sec-Fetch-Dest", "empty", "Accept", "application/json"),
		"app in frame":  s.get("owner", "/tokens/create", "Sec-Fetch-Dest", "iframe"),
		"json no token": s.send("owner", "POST", start, url.Values{}, "Accept", "application/json"),
	} {
		require.Equal(t, 403, got.status, name)
		require.Empty(t, got.header.Values("Set-Cookie"), name)
	}
	// Nor does any answer to a script of an app have the token in it.
	for _, path := range []string{"/", "/nowhere", "/static/none", start, "/containers/detail/" + c, "/containers/ajax/get-dynamic-details/" + c} {
		require.NotContains(t, s.get("owner", path, "Sec-Fetch-Dest", "empty").body, right.Get("csrf_token"), path)
	}
	now, there := s.Read(c)
	require.True(t, there)
	require.Zero(t, now.Generation)
	require.Equal(t, 200, s.get("owner", "/").status)

	ok := s.send("owner", "POST", start, url.Values{}, "X-CSRF-Token", right.Get("csrf_token"), "Accept", "application/json",
		"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Dest", "empty")
	require.Equal(t, 200, ok.status)
	require.Contains(t, ok.body, `"state_shown":"starting"`)
}

func TestLogin(t *testing.T) {
	s := newSite(t)
	bad := s.post("", "/login/", "username", "<owner>", "password", "wrong", "next", "/tokens/")
	require.Equal(t, 401, bad.status)
	require.Contains(t, bad.body, "The user name or the password is wrong.")
	require.Contains(t, bad.body, `value="&lt;owner&gt;"`)
	require.Contains(t, bad.body, `value="/tokens/"`)
	require.NotContains(t, bad.body, "wrong\"")

	good := s.post("", "/login/", "username", "owner", "password", password, "next", "/tokens/")
	require.Equal(t, 302, good.status)
	require.Equal(t, "/tokens/", good.header.Get("Location"))
	cookie := good.header.Get("Set-Cookie")
	for _, part := range []string{webui.SessionCookie + "=", "HttpOnly", "SameSite=Lax", "path=/"} {
		require.Contains(t, cookie, part)
	}
	require.Equal(t, "/", s.post("", "/login/", "username", "owner", "password", password, "next", "//evil.example").header.Get("Location"))

	require.Equal(t, 302, s.post("guest", "/logout/").status)
	require.Equal(t, 302, s.get("guest", "/").status)
}

func TestNextStaysOnThisSite(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "x", "//evil.example", `/\evil.example`, "/\t/evil.example", "https://evil.example/",
		"javascript:alert(1)", "/a\nb", "/login/", "/login/?next=/", "/logout/", `\\evil.example`, "///x", "/%zz"} {
		require.Equal(t, "/", webui.LocalPath(bad, "/"), "%q", bad)
	}
	for _, good := range []string{"/", "/tokens/", "/containers/x?a=b&c=//d", "/logs", "/a//b"} {
		require.Equal(t, good, webui.LocalPath(good, "/"))
	}
	require.Equal(t, "/containers/proxy/i/a%20b/%C3%A9", webui.AppURL("i", "a b/%C3%A9"))
	require.Equal(t, "/containers/proxy/i/100%25", webui.AppURL("i", "100%"))
	for _, out := range []string{"../x", "a/../../x", "%2e%2e/x", `..\x`, "/"} {
		require.Equal(t, "/containers/proxy/i/", webui.AppURL("i", out))
	}
}

func TestCreateContainer(t *testing.T) {
	s := newSite(t)
	path := "/containers/create/" + s.Project
	bad := s.post("contributor", path, "title", "<b>x</b>", "repository", "nginx", "container_port", "eighty", "environment", "[1]")
	require.Equal(t, 400, bad.status)
	require.Contains(t, bad.body, "A valid integer is required.")
	require.Contains(t, bad.body, "&lt;b&gt;x&lt;/b&gt;")
	require.NotContains(t, bad.body, "<b>x")
	require.Contains(t, bad.body, `value="eighty"`)

	bad = s.post("contributor", path, "title", "", "repository", "No Image", "container_port", "0", "environment", "[1]",
		"environment_secret_keys", "K", "command", `"open`)
	require.Equal(t, 400, bad.status)
	for _, text := range []string{"This field may not be blank.", "not an image name", "between 1 and 65535",
		"Environment must be a dictionary!", "A quote in the command"} {
		require.Contains(t, bad.body, text)
	}
	require.Contains(t, s.post("contributor", path, "title", strings.Repeat("x", 600), "repository", "r").body, "no more than 512")
	for _, size := range []int{2 << 20, 10 << 20} {
		long := s.post("contributor", path, "title", strings.Repeat("x", size), "repository", "r")
		require.Equal(t, 413, long.status)
		require.Contains(t, long.body, "too long")
	}

	good := s.post("contributor", path, "title", "My app", "repository", "nginx", "tag", "1", "container_port", "8080",
		"environment", `{"A":"secret value"}`, "environment_secret_keys", "A")
	require.Equal(t, 302, good.status, good.body)
	detail := s.get("contributor", good.header.Get("Location"))
	require.Equal(t, 200, detail.status)
	require.Contains(t, detail.body, "My app")
	require.Contains(t, detail.body, "nginx:1")
	require.NotContains(t, detail.body, "secret value")
	again := s.post("contributor", path, "title", "My app", "repository", "nginx")
	require.Equal(t, 400, again.status)
	require.Contains(t, again.body, "already exists")
}

func TestTextsAreEscaped(t *testing.T) {
	s := newSite(t)
	c := s.Container(`<script>alert("t")</script>`)
	s.Report(c, state.Failed)
	s.print(c, 0, "<img src=x onerror=alert(1)>")
	flash := base64.RawURLEncoding.EncodeToString([]byte("-<u>flash</u>"))
	for _, path := range []string{"/containers/" + s.Project, "/containers/detail/" + c, "/containers/delete/" + c, "/containers/proxy/lobby/" + c, "/"} {
		got := s.get("owner", path, "Cookie", "kiosc_flash="+flash)
		require.Equal(t, 200, got.status)
		for _, raw := range []string{"<script>alert", "<img", "<u>", "<i>mice"} {
			require.NotContains(t, got.body, raw, path)
		}
		require.Contains(t, got.body, "&lt;u&gt;flash", path)
		require.Contains(t, got.header.Get("Set-Cookie"), "kiosc_flash=;", path)
		require.NotRegexp(t, `(?i)<script>|<style|<[^>]*\s(style|on\w+)=`, got.body, path) // the CSP would stop them
	}
	require.Contains(t, s.get("owner", "/containers/detail/"+c).body, "2023-11-14 22:13:20 INFO anonymous] (Docker) &lt;img")
	require.Contains(t, s.get("owner", "/containers/proxy/lobby/"+c).body, "Container failed to start.")
}

func TestActions(t *testing.T) {
	s := newSite(t)
	c := s.Container("app")
	got := s.post("contributor", "/containers/start/"+c)
	require.Equal(t, "/containers/detail/"+c, got.header.Get("Location"))
	twice := s.post("contributor", "/containers/start/"+c)
	require.Equal(t, 302, twice.status)
	page := s.get("contributor", "/containers/detail/"+c, "Cookie", strings.Split(twice.header.Get("Set-Cookie"), ";")[0])
	require.Contains(t, page.body, "Action start not allowed in state starting")
	require.Contains(t, page.body, "Pulling image &lt;1/2&gt;")
	json := s.send("contributor", "POST", "/containers/start/"+c, url.Values{"csrf_token": {auth.CSRFToken(s.Sessions["contributor"])}},
		"Accept", "application/json")
	require.Equal(t, 409, json.status)
	require.Equal(t, "POST", s.get("contributor", "/containers/stop/"+c).header.Get("Allow"))

	fresh := s.Container("fresh")
	require.Contains(t, s.get("contributor", "/containers/delete/"+fresh).body, "can't be undone")
	gone := s.post("contributor", "/containers/delete/"+fresh)
	require.Equal(t, "/containers/"+s.Project, gone.header.Get("Location"))
	list := s.get("contributor", "/containers/"+s.Project, "Cookie", strings.Split(gone.header.Get("Set-Cookie"), ";")[0])
	require.Contains(t, list.body, "Container deleted.")
	require.NotContains(t, list.body, fresh)
}

func TestDynamicDetails(t *testing.T) {
	s := newSite(t)
	c := s.Container("app")
	s.Report(c, state.Running)
	s.print(c, 0, "one", "two")
	path := "/containers/ajax/get-dynamic-details/" + c
	body := s.get("contributor", path+"?log_lines=1000").body
	for _, part := range []string{`"state":"running"`, `"state_color":"success"`, `"state_shown":"running"`, `"state_bell":null`,
		`"container_id":"d0c4e7"`, `"container_ip":"172.30.0.2"`, `"date_last_docker_log":"2023-11-14 22:13"`, `"retries":0`,
		`"percent":-1`, `"allowed":["pause","restart","stop","delete"]`, `(Docker) one\n`} {
		require.Contains(t, body, part)
	}
	require.Contains(t, s.get("contributor", path+"?log_lines=0").body, `"logs":""`)
	require.Equal(t, 1, strings.Count(s.get("contributor", path+"?log_lines=1").body, "] ("))
	require.Equal(t, 2, strings.Count(s.get("contributor", path, "Cookie", "log_lines=2").body, "] ("))
	require.Contains(t, s.get("guest", path).body, `"logs":""`)
	require.Contains(t, s.get("guest", path).body, `"allowed":[]`)
}

func TestLobby(t *testing.T) {
	s := newSite(t)
	c := s.Container("app")
	lobby, app := "/containers/proxy/lobby/"+c, "/containers/proxy/"+c+"/"
	require.Contains(t, s.get("guest", lobby).body, "Container is loading ...")
	now, _ := s.Read(c)
	require.Zero(t, now.Generation, "a GET must not start anything")
	back := s.post("guest", lobby, "next", app+"x?y=1")
	require.Equal(t, 302, back.status)
	require.Contains(t, s.get("guest", back.header.Get("Location")).body, `data-next="`+app+`x?y=1"`)
	require.Contains(t, s.get("guest", lobby).body, `<noscript><meta http-equiv="refresh"`)
	s.Report(c, state.Running)
	for next, want := range map[string]string{
		"": app + "app/", app + "x?y=1": app + "x?y=1", app: app, "/tokens/": app + "app/", "//evil.example": app + "app/",
		app + "../../../logout/": app + "app/", "/containers/proxy/" + uuid.NewString() + "/": app + "app/",
	} {
		got := s.get("guest", lobby+"?next="+url.QueryEscape(next))
		require.Equal(t, 302, got.status)
		require.Equal(t, want, got.header.Get("Location"), next)
	}
	s.post("contributor", "/containers/stop/"+c)
	s.Report(c, state.Failed)
	require.NotContains(t, s.get("guest", lobby).body, "] (")
	require.Contains(t, s.get("contributor", lobby).body, "] (")
}

func TestTokens(t *testing.T) {
	s := newSite(t)
	require.Contains(t, s.get("guest", "/tokens/").body, "You have no API tokens.")
	for _, ttl := range []string{"", "x", "-1", "1.5", "99999999999999999999", "9999999"} {
		require.Equal(t, 400, s.post("guest", "/tokens/create", "ttl", ttl).status, ttl)
	}
	require.Contains(t, s.post("guest", "/tokens/create", "ttl", "1", "label", strings.Repeat("l", 300)).body, "no more than 256")
	made := s.post("guest", "/tokens/create", "ttl", "0", "label", "<my> script")
	require.Equal(t, 200, made.status)
	require.Contains(t, made.body, auth.TokenPrefix)
	require.Equal(t, "no-store", made.header.Get("Cache-Control"))
	list := s.get("guest", "/tokens/").body
	require.NotContains(t, list, auth.TokenPrefix)
	require.Contains(t, list, "&lt;my&gt; script")
	require.Contains(t, list, "never")
	_, rest, _ := strings.Cut(list, "/tokens/delete/")
	path := "/tokens/delete/" + rest[:36]
	require.Equal(t, 404, s.post("owner", path).status)
	require.Equal(t, "/tokens/", s.post("guest", path).header.Get("Location"))
	require.Contains(t, s.get("guest", "/tokens/").body, "You have no API tokens.")
}

func TestEveryPageRenders(t *testing.T) {
	t.Parallel()
	for name, p := range webui.ZeroPages() {
		require.NoError(t, p.Render(io.Discard), name)
	}
	for name, p := range webui.FullPages() {
		var out strings.Builder
		require.NoError(t, p.Render(&out), name)
		require.NotContains(t, out.String(), "<b>", name)
		require.NotContains(t, out.String(), "ZgotmplZ", name)
	}
}

func TestAssets(t *testing.T) {
	s := newSite(t)
	home := s.get("", "/login/").body
	if strings.Contains(home, "make assets") { // they were not built, and the page says so plainly
		require.NotContains(t, home, "/static/")
		require.Equal(t, 404, s.get("", "/static/manifest.json").status)
		return
	}
	_, rest, found := strings.Cut(home, `href="/static/`)
	require.True(t, found)
	name, _, _ := strings.Cut(rest, `"`)
	got := s.get("", "/static/"+name)
	require.Equal(t, http.StatusOK, got.status)
	require.Contains(t, got.header.Get("Cache-Control"), "immutable")
	require.Contains(t, got.header.Get("Content-Type"), "text/css")
	for _, no := range []string{"manifest.json", ".gitkeep", "..%2f..%2fui.go"} {
		require.Equal(t, 404, s.get("", "/static/"+no).status, no)
	}
	for _, host := range []string{"http://", "https://"} {
		require.NotContains(t, home, fmt.Sprintf(`="%s`, host))
	}
}
