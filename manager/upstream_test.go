package manager_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager"
	"kiosc/manager/auth"
	"kiosc/manager/service"
	"kiosc/manager/upstream"
)

// target is the setting of a site that takes over from another.
func target(cfg *manager.Config) {
	cfg.Site.Upstream = service.UpstreamSettings{Target: true}
	cfg.Site.LocalUsers = true
}

// syncNow syncs once the leader is ready for it.
func (n *node) syncNow() (out service.TaskStatus) {
	n.Helper()
	require.Eventually(n, func() bool {
		out = service.TaskStatus{}
		return n.admin("sync-run", struct{}{}, &out) == nil
	}, soon, 50*time.Millisecond)
	require.NotNil(n, out.Last)
	return out
}

// call uses the REST API.
func (n *node) call(token, method, path string, in, out any) int {
	n.Helper()
	raw, err := json.Marshal(in)
	require.NoError(n, err)
	request, err := http.NewRequest(method, "http://"+n.m.Addr()+path, strings.NewReader(string(raw)))
	require.NoError(n, err)
	request.Header.Set("Authorization", "token "+token)
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(n, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(n, err)
	if out != nil && answer.StatusCode < 300 {
		require.NoError(n, json.Unmarshal(body, out), string(body))
	}
	if answer.StatusCode >= 300 && out != nil {
		*out.(*map[string]any) = map[string]any{"body": string(body)}
	}
	return answer.StatusCode
}

func TestAKioscTakesOverFromAKiosc(t *testing.T) {
	t.Parallel()
	cfg := config(t, "source")
	cfg.Bootstrap = true
	source := start(t, cfg)
	cfg = config(t, "target")
	cfg.Bootstrap = true
	target(&cfg)
	n := start(t, cfg)
	for _, site := range []*node{source, n} {
		require.NoError(t, site.admin("user-add", service.UserInput{Name: "ana", FullName: new("Ana of " + site.cfg.Name)}, &service.UserView{}))
	}
	token, made := source.token(), map[string]any{}
	create := func(body map[string]any) string {
		t.Helper()
		require.Equal(t, 201, source.call(token, "POST", "/project/api/create", body, &made), made)
		return made["sodar_uuid"].(string)
	}
	var ana service.UserView
	require.NoError(t, source.admin("user-set", service.UserInput{Name: "ana", Email: new("ana@example.org")}, &ana))
	lab := create(map[string]any{"title": "Lab", "type": "CATEGORY", "parent": "", "owner": ana.ID})
	mice := create(map[string]any{"title": "Mice", "type": "PROJECT", "parent": lab, "owner": ana.ID, "description": "of the lab"})
	create(map[string]any{"title": "Rats", "type": "PROJECT", "parent": lab, "owner": ana.ID})

	t.Log("the source gives what it is told to, to whom has the secret")
	var site service.RemoteSiteView
	require.NoError(t, source.admin("remote-site-add", service.RemoteSiteInput{Name: "target", URL: "https://target.example.org"}, &site))
	require.Len(t, site.Secret, 43)
	var given service.RemoteSiteView
	require.NoError(t, source.admin("remote-site-give", service.GiveInput{Site: "target", Projects: []string{"Lab / Mice"}, Level: state.LevelReadRoles}, &given))
	require.Equal(t, 1, given.Given)
	require.Empty(t, given.Secret)

	t.Log("the target has no site yet, then a wrong secret, then the right one")
	require.Equal(t, "No upstream site is set. Set its address and secret on the admin page, or by KIOSC_UPSTREAM_URL and KIOSC_UPSTREAM_SECRET.", n.syncNow().Last.Error)
	set := func(secret string) {
		t.Helper()
		require.NoError(t, n.admin("sync-source", service.UpstreamInput{Name: "SODAR", URL: "http://" + source.m.Addr() + "/", Secret: secret}, &struct{}{}))
	}
	set("wrong")
	require.Contains(t, n.syncNow().Last.Error, "does not know the secret")
	set(site.Secret)
	set("")
	require.Equal(t, "users: 0 created, 1 changed, 0 unchanged; projects: 2 created, 0 changed, 0 unchanged; "+
		"roles: 0 created, 0 changed, 0 removed, 2 unchanged; 0 skipped", n.syncNow().Last.Summary)
	var status service.UpstreamView
	require.NoError(t, n.admin("sync-status", struct{}{}, &status))
	require.Equal(t, []int{1, 1, 1}, []int{status.Projects, status.Categories, status.Users})
	require.Empty(t, status.Result.Error)
	require.NotContains(t, fmt.Sprintf("%+v", status), site.Secret)

	t.Log("what has come from there is changed there alone, by superusers, too")
	mine, out := n.token(), map[string]any{}
	require.Equal(t, 200, n.call(mine, "GET", "/project/api/retrieve/"+mice, nil, &out), out)
	require.Equal(t, "Lab / Mice", out["full_title"])
	require.Equal(t, 403, n.call(mine, "PATCH", "/project/api/update/"+mice, map[string]any{"title": "x"}, &out), out)
	require.Contains(t, out["body"], "comes from the upstream SODAR site")
	require.Equal(t, 403, n.call(mine, "POST", "/project/api/create", map[string]any{"title": "x", "type": "PROJECT", "parent": lab}, &out), out)
	require.Equal(t, 201, n.call(mine, "POST", "/project/api/create", map[string]any{"title": "Own", "type": "CATEGORY", "parent": ""}, &out), out)
	require.ErrorContains(t, n.admin("user-set", service.UserInput{Name: "ana", FullName: new("x")}, &ana), "changed there")
	require.ErrorContains(t, n.admin("remote-site-add", service.RemoteSiteInput{Name: "x", URL: "https://x.example.org"}, &site), "SITE_MODE=TARGET")

	t.Log("revoked")
	require.NoError(t, source.admin("remote-site-give", service.GiveInput{Site: site.ID, Projects: []string{mice}, Level: state.LevelRevoked}, &given))
	require.Contains(t, n.syncNow().Last.Summary, "0 skipped")
	require.NoError(t, source.admin("remote-site-give", service.GiveInput{Site: "target", All: new(true)}, &given))
	require.Equal(t, []int{2, 1}, []int{given.Given, given.Revoked}, "Rats and Demo")
	require.Contains(t, n.syncNow().Last.Summary, "projects: 1 created")

	t.Log("without a source, things go on as they are, and can be released")
	require.NoError(t, source.admin("remote-site-rm", manager.RemoteSiteRequest{Site: "target"}, &struct{}{}))
	require.Contains(t, n.syncNow().Last.Error, "does not know the secret")
	var released state.UpstreamTally
	require.NoError(t, n.admin("sync-release", service.ReleaseInput{Projects: []string{"Lab / Mice"}}, &released))
	require.Equal(t, 200, n.call(mine, "PATCH", "/project/api/update/"+mice, map[string]any{"title": "Old mice"}, &out), out)
}

func TestTheRemoteProjectAPI(t *testing.T) {
	t.Parallel()
	cfg := config(t, "source")
	cfg.Bootstrap = true
	n := start(t, cfg)
	var site service.RemoteSiteView
	require.NoError(t, n.admin("remote-site-add", service.RemoteSiteInput{Name: "t", URL: "https://t.example.org", All: true}, &site))
	ask := func(secret, accept string) (*http.Response, string) {
		request, err := http.NewRequest("GET", "http://"+n.m.Addr()+upstream.Path+secret, nil)
		require.NoError(t, err)
		if accept != "" {
			request.Header.Set("Accept", accept)
		}
		answer, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer, string(body)
	}
	for accept, want := range map[string]string{"": "2.1", upstream.ContentType("2.1"): "2.1", upstream.ContentType("1.0"): "1.0", "*/*": "2.1", "application/json": "2.1"} {
		answer, body := ask(site.Secret, accept)
		require.Equal(t, 200, answer.StatusCode, body)
		require.Equal(t, upstream.ContentType(want), answer.Header.Get("Content-Type"))
		require.Equal(t, "no-store", answer.Header.Get("Cache-Control"))
		_, err := upstream.Parse([]byte(body))
		require.NoError(t, err)
	}
	answer, _ := ask(site.Secret, upstream.ContentType("3.0"))
	require.Equal(t, 406, answer.StatusCode)
	answer, body := ask("wrong", "")
	require.Equal(t, 401, answer.StatusCode)
	require.Equal(t, `"Remote site not found, unauthorized"`, strings.TrimSpace(body))
	for range 10 {
		if answer, _ = ask("wrong", ""); answer.StatusCode == 429 {
			break
		}
	}
	require.Equal(t, 429, answer.StatusCode, "who guesses has to wait")
	require.NotEmpty(t, answer.Header.Get("Retry-After"))
}

func TestInTargetModePeopleMayBeKeptFromCreatingProjects(t *testing.T) {
	t.Parallel()
	cfg := config(t, "m1")
	cfg.Bootstrap = true
	target(&cfg)
	cfg.Site.Upstream.NoCreate = true
	n := start(t, cfg)
	out := map[string]any{}
	require.Equal(t, 403, n.call(n.token(), "POST", "/project/api/create", map[string]any{"title": "x", "type": "CATEGORY", "parent": ""}, &out))
	require.Contains(t, out["body"], "created at the upstream SODAR site")
	admin, err := n.m.Service().ByName("admin")
	require.NoError(t, err)
	require.False(t, n.m.Service().CreatesAtTop(admin))
	projects, err := n.m.Service().Projects(admin)
	require.NoError(t, err)
	for _, p := range projects {
		require.False(t, p.Rights[auth.CreateProject])
	}
}

// manyProjects is an answer that takes several commands to take over.
func manyProjects(users, projects int) []byte {
	id := func(kind string, i int) string {
		return uuid.NewSHA1(uuid.NameSpaceURL, fmt.Append(nil, kind, i)).String()
	}
	all, tree := map[string]any{}, map[string]any{}
	for i := range users {
		all[id("user", i)] = map[string]any{"username": fmt.Sprintf("user%d@ACME", i), "name": strings.Repeat("long ", 40), "groups": []string{"acme"}}
	}
	for i := range projects {
		tree[id("project", i)] = map[string]any{"title": fmt.Sprint("Project ", i), "type": "PROJECT", "level": "READ_ROLES", "parent_uuid": nil,
			"readme": strings.Repeat("words ", 300), "roles": map[string]any{id("role", i): map[string]any{"user": fmt.Sprintf("user%d@ACME", i%users), "role": "project owner"}}}
	}
	raw, _ := json.Marshal(map[string]any{"users": all, "projects": tree})
	return raw
}

func TestTheNextLeaderCompletesASyncWithTheUpstreamSite(t *testing.T) {
	const users, projects = 1500, 300 // two commands with users and two with projects
	raw := manyProjects(users, projects)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(raw) }))
	defer server.Close()
	all := three(t, target, func(cfg *manager.Config) {
		cfg.Site.Upstream.URL, cfg.Site.Upstream.Secret = server.URL, "secret"
		cfg.Schedules = map[string]string{service.UpstreamTask: "1s"}
	})
	l, others := leader(all)
	status := func(n *node) (s service.UpstreamView) {
		require.NoError(t, n.admin("sync-status", struct{}{}, &s))
		return s
	}
	require.Eventually(t, func() bool { return status(others[0]).Users > 0 }, soon, 10*time.Millisecond)
	require.NoError(t, l.end())
	at, began := status(others[0]), time.Now()
	t.Logf("the leader has ended with %d users and %d projects taken over", at.Users, at.Projects)
	require.Eventually(t, func() bool { s := status(others[1]); return s.Users == users && s.Projects == projects }, 2*soon, 50*time.Millisecond)
	t.Logf("the next one has completed it after %s", time.Since(began))
	require.Eventually(t, func() bool {
		s := status(others[0])
		return s.Task.Last != nil && strings.Contains(s.Task.Last.Summary, fmt.Sprintf("%d unchanged", projects))
	}, 2*soon, 50*time.Millisecond, "and then there is nothing left to do")
}

func TestRemoteSitesOnTheAdminPage(t *testing.T) {
	t.Parallel()
	cfg := config(t, "source")
	cfg.Bootstrap = true
	n := start(t, cfg)
	b := newBrowser(t, n)
	b.logIn("/")
	page := site + "/kioscadmin/overview/remote"
	post := func(to string, form url.Values) (*http.Response, string) {
		form.Set("csrf_token", auth.CSRFToken(b.session()))
		return b.send("POST", site+to, form)
	}
	_, body := b.send("GET", page, nil)
	require.Contains(t, body, "No site takes projects over from this one.")
	answer, body := post("/kioscadmin/remote/add", url.Values{"name": {"clinic"}, "url": {"not an address"}})
	require.Equal(t, 400, answer.StatusCode)
	require.Contains(t, body, "This is an address such as")
	answer, body = post("/kioscadmin/remote/add", url.Values{"name": {"clinic"}, "url": {"https://clinic.example.org"}})
	require.Equal(t, 200, answer.StatusCode, body)
	require.Contains(t, body, "shown only this once")
	var sites []service.RemoteSiteView
	require.NoError(t, n.admin("remote-site-ls", struct{}{}, &sites))
	var inspected manager.RemoteSiteAnswer
	require.NoError(t, n.admin("remote-site-inspect", manager.RemoteSiteRequest{Site: "clinic"}, &inspected))
	project := inspected.Projects[0]
	require.Equal(t, state.LevelNone, project.Level)
	_, body = b.send("GET", site+"/kioscadmin/remote/site/"+sites[0].ID, nil)
	require.Contains(t, body, project.FullTitle)
	answer, body = post("/kioscadmin/remote/site/"+sites[0].ID, url.Values{"level-" + project.ID: {"READ_ROLES"}})
	require.Equal(t, 302, answer.StatusCode, body)
	require.NoError(t, n.admin("remote-site-inspect", manager.RemoteSiteRequest{Site: "clinic"}, &inspected))
	require.Equal(t, state.LevelReadRoles, inspected.Projects[0].Level)
	require.False(t, inspected.Site.All)
	answer, _ = post("/kioscadmin/remote/site/"+sites[0].ID, url.Values{"level-" + project.ID: {"KING"}})
	require.Equal(t, 400, answer.StatusCode)
	answer, _ = post("/kioscadmin/remote/remove/"+sites[0].ID, url.Values{})
	require.Equal(t, 302, answer.StatusCode)
	_, body = b.send("GET", page, nil)
	require.Contains(t, body, "No site takes projects over from this one.")
	answer, _ = post("/kioscadmin/remote/sync", url.Values{})
	require.Equal(t, 302, answer.StatusCode)
	_, body = b.send("GET", page, nil)
	require.Contains(t, body, "takes nothing over from another one")
}

func TestTheUpstreamSiteOnTheAdminPage(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != upstream.Path+"the-secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Write(manyProjects(2, 3))
	}))
	defer server.Close()
	cfg := config(t, "target")
	cfg.Bootstrap = true
	target(&cfg)
	n := start(t, cfg)
	b := newBrowser(t, n)
	b.logIn("/")
	page := site + "/kioscadmin/overview/remote"
	post := func(to string, form url.Values) (*http.Response, string) {
		form.Set("csrf_token", auth.CSRFToken(b.session()))
		return b.send("POST", site+to, form)
	}
	answer, body := post("/kioscadmin/remote/upstream", url.Values{"name": {"SODAR"}, "url": {server.URL}})
	require.Equal(t, 400, answer.StatusCode)
	require.Contains(t, body, "Enter the secret")
	answer, body = post("/kioscadmin/remote/upstream", url.Values{"name": {"SODAR"}, "url": {server.URL}, "secret": {"the-secret"}})
	require.Equal(t, 302, answer.StatusCode, body)
	n.syncNow()
	answer, _ = post("/kioscadmin/remote/sync", url.Values{})
	require.Equal(t, 302, answer.StatusCode)
	_, body = b.send("GET", page, nil)
	require.Contains(t, body, "3 projects, 0 categories and 2 users")
	require.Contains(t, body, "2 unchanged")
	require.NotContains(t, body, "the-secret")
	answer, body = post("/kioscadmin/remote/upstream", url.Values{"name": {"Other"}, "url": {"http://127.0.0.1:1"}, "secret": {"<masked>"}})
	require.Equal(t, 400, answer.StatusCode, body)
	require.Contains(t, body, "Enter the secret", "the secret isn't given to another address")
	answer, _ = post("/kioscadmin/remote/upstream/remove", url.Values{})
	require.Equal(t, 302, answer.StatusCode)
	require.Contains(t, n.syncNow().Last.Error, "No upstream site is set")
}
