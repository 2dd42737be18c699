package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

// TestWhoMayDoWhat sends every request as everybody. Each request meets objects of its own, so that none depends on
// what another has done.
func TestWhoMayDoWhat(t *testing.T) {
	s := newSite(t)
	callers := map[string]caller{
		"nobody": s.with(), "bad token": s.with("Authorization", "token kiosc_wrong"), "guest": s.as("guest"),
		"contributor": s.as("contributor"), "outsider": s.as("outsider"), "root": s.as("root"),
		"session": s.by("contributor"), // without CSRF token
		"page":    s.by("contributor").and("X-CSRF-Token", auth.CSRFToken(s.Sessions["contributor"])),
	}
	order := []string{"nobody", "bad token", "outsider", "guest", "contributor", "root", "session", "page"}
	project := func() string { return s.Project }
	made := 0
	title := func() string { made++; return fmt.Sprintf("App %d", made) }
	initial := func() string { return s.Container(title()) }
	running := func() string { return s.Running(title()) }
	for _, row := range []struct {
		method, path string
		object       func() string
		statuses     [8]int // in the callers' order
	}{
		{"GET", "/project/api/list", nil, [8]int{401, 401, 200, 200, 200, 200, 200, 200}},
		{"POST", "/project/api/list", nil, [8]int{401, 401, 405, 405, 405, 405, 403, 405}},
		{"GET", "/containers/api/", project, [8]int{401, 401, 404, 200, 200, 200, 200, 200}},
		{"GET", "/containers/api/detail/", initial, [8]int{401, 401, 404, 200, 200, 200, 200, 200}},
		{"HEAD", "/containers/api/detail/", initial, [8]int{401, 401, 404, 200, 200, 200, 200, 200}},
		{"GET", "/containers/api/logs/", initial, [8]int{401, 401, 404, 403, 200, 200, 200, 200}},
		{"POST", "/containers/api/create/", project, [8]int{401, 401, 404, 403, 201, 201, 403, 201}},
		{"DELETE", "/containers/api/delete/", initial, [8]int{401, 401, 404, 403, 204, 204, 403, 204}},
		{"GET", "/containers/api/start/", initial, [8]int{401, 401, 404, 403, 200, 200, 405, 405}},
		{"HEAD", "/containers/api/start/", initial, [8]int{401, 401, 405, 405, 405, 405, 405, 405}},
		{"POST", "/containers/api/start/", initial, [8]int{401, 401, 404, 403, 200, 200, 403, 200}},
		{"GET", "/containers/api/stop/", running, [8]int{401, 401, 404, 403, 200, 200, 405, 405}},
		{"POST", "/containers/api/stop/", running, [8]int{401, 401, 404, 403, 200, 200, 403, 200}},
		{"POST", "/containers/api/stop/", initial, [8]int{401, 401, 404, 403, 409, 409, 403, 409}},
		{"POST", "/containers/api/detail/", initial, [8]int{401, 401, 405, 405, 405, 405, 403, 405}},
		{"GET", "/containers/api/detail/", uuid.NewString, [8]int{401, 401, 404, 404, 404, 404, 404, 404}},
		{"GET", "/containers/api/", uuid.NewString, [8]int{401, 401, 404, 404, 404, 404, 404, 404}},
		{"POST", "/containers/api/create/", uuid.NewString, [8]int{401, 401, 404, 404, 404, 404, 403, 404}},
		{"DELETE", "/containers/api/delete/", uuid.NewString, [8]int{401, 401, 404, 404, 404, 404, 403, 404}},
		{"GET", "/containers/api/start/", uuid.NewString, [8]int{401, 401, 404, 404, 404, 404, 405, 405}},
	} {
		for i, name := range order {
			path, body := row.path, ""
			if row.object != nil {
				path += row.object()
			}
			if strings.Contains(path, "/create/") {
				body = fmt.Sprintf(`{"title":%q,"repository":"nginx"}`, title())
			}
			got := callers[name].send(row.method, path, body)
			what := fmt.Sprintf("%s %s as %s: %s", row.method, path, name, got.body)
			require.Equal(t, row.statuses[i], got.status, what)
			require.Equal(t, "no-store", got.header.Get("Cache-Control"), what)
			require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"), what)
			if got.status != 204 {
				require.Equal(t, "application/json", got.header.Get("Content-Type"), what)
			}
			if row.method != "HEAD" {
				checkError(t, got, name, what)
			}
		}
	}
}

// checkError checks what every refusal has.
func checkError(t *testing.T, got answer, name, what string) {
	t.Helper()
	if got.status < 400 {
		return
	}
	var refusal struct{ Detail string }
	require.NoError(t, json.Unmarshal([]byte(got.body), &refusal), what)
	require.NotEmpty(t, refusal.Detail, what)
	switch {
	case got.status == 401:
		require.Equal(t, "Token", got.header.Get("WWW-Authenticate"), what)
		want := "Authentication credentials were not provided."
		if name == "bad token" {
			want = "Invalid token."
		}
		require.Equal(t, want, refusal.Detail, what)
	case got.status == 405:
		require.NotEmpty(t, got.header.Get("Allow"), what)
	case got.status == 403 && name == "session":
		require.Contains(t, refusal.Detail, "CSRF", what)
	}
}

func TestCredentials(t *testing.T) {
	s := newSite(t)
	token, session := s.token["owner"], s.Sessions["owner"]
	expired, err := s.Service.CreateToken(context.Background(), actor(s, "owner"), service.TokenInput{Name: "short", Life: time.Nanosecond})
	require.NoError(t, err)
	for _, row := range []struct {
		what, name, value string
		status            int
	}{
		{"token", "Authorization", "token " + token, 200},
		{"Token", "Authorization", "Token " + token, 200},
		{"bearer", "Authorization", "Bearer " + token, 200},
		{"session", "Cookie", cookie + "=" + session, 200},
		{"an expired token", "Authorization", "token " + expired, 401},
		{"a session as a token", "Authorization", "token " + session, 401},
		{"a token as a session", "Cookie", cookie + "=" + token, 401},
		{"no value", "Authorization", "token", 401},
		{"no scheme", "Authorization", token, 401},
		{"basic", "Authorization", "Basic b3duZXI6cHc=", 401},
		{"a wrong session", "Cookie", cookie + "=x", 401},
	} {
		got := s.with(row.name, row.value).send("GET", "/project/api/list", "")
		require.Equal(t, row.status, got.status, row.what)
		require.NotContains(t, got.body, token, row.what)
	}
	got := s.by("owner").and("Authorization", "token kiosc_wrong").send("GET", "/project/api/list", "")
	require.Equal(t, 401, got.status, "a wrong token is not made up for by a session")
	got = s.by("owner").and("X-CSRF-Token", auth.CSRFToken(s.Sessions["guest"])).send("POST", "/containers/api/start/"+s.Container("App"), "")
	require.Equal(t, 403, got.status, "another session's CSRF token is none")
}

func actor(s *site, name string) service.Actor {
	a, err := s.Service.ByName(name)
	require.NoError(s.T, err)
	return a
}

func TestVersionInAccept(t *testing.T) {
	s := newSite(t)
	const containers, projects = "application/vnd.bihealth.kiosc-server.containers+json", "application/vnd.bihealth.sodar-core.projectroles+json"
	list := "/containers/api/" + s.Project
	for _, row := range []struct {
		path, accept string
		status       int
	}{
		{list, "", 200},
		{list, "*/*", 200},
		{list, "application/json", 200},
		{list, "text/html, */*;q=0.8", 200},
		{list, containers, 200},
		{list, containers + "; version=1.0", 200},
		{list, containers + `;version="1.0"`, 200},
		{list, containers + "; version=1.0, " + containers + "; version=2.0", 200},
		{list, containers + "; version=2.0", 406},
		{list, containers + "; version=1", 406},
		{list, containers + "; version", 406},
		{list, containers + "; version=9.9, */*", 406},
		{list, "application/json; version=9.9", 406},
		{"/project/api/list", projects + "; version=1.0", 200},
		{"/project/api/list", projects + "; version=1.1", 200},
		{"/project/api/list", projects + "; version=2.0", 200},
		{"/project/api/list", projects + "; version=3.0", 406},
	} {
		got := s.as("owner").and("Accept", row.accept).send("GET", row.path, "")
		require.Equal(t, row.status, got.status, "%s %s", row.path, row.accept)
		require.Equal(t, "application/json", got.header.Get("Content-Type"))
		if row.status == 406 {
			require.JSONEq(t, `{"detail":"Invalid version in \"Accept\" header."}`, got.body)
		}
	}
}

func TestALoginEndsWhenItIsIdle(t *testing.T) {
	s := newSite(t)
	opened := time.Now().Add(-service.DefaultSessionIdle - time.Hour).UTC()
	open := func() (string, []byte) {
		secret, hash := auth.NewSecret("")
		s.Do(&state.SessionOpened{Session: state.Session{Hash: hash, User: s.Users["owner"], CreatedAt: opened, ExpiresAt: time.Now().Add(time.Hour).UTC()}})
		return secret, hash
	}
	idle, _ := open()
	require.Equal(t, 401, s.with("Cookie", cookie+"="+idle).send("GET", "/project/api/users/current", "").status)
	used, hash := open()
	s.Do(&state.CredentialsUsed{Sessions: []state.CredentialUse{{Hash: hash, At: time.Now().Add(-time.Hour).UTC()}}})
	require.Equal(t, 200, s.with("Cookie", cookie+"="+used).send("GET", "/project/api/users/current", "").status)
}

// TestTheStateHearsOfUse makes the manager tell of what it has seen when it ends.
func TestTheStateHearsOfUse(t *testing.T) {
	s := newSite(t)
	require.Equal(t, 200, s.as("owner").send("GET", "/project/api/users/current", "").status)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, s.Service.TellUses(ctx))
	views, err := s.Service.TokensOf(service.Operator(), "owner")
	require.NoError(t, err)
	require.Len(t, views, 1)
	require.NotNil(t, views[0].UsedAt)
	require.WithinDuration(t, time.Now(), *views[0].UsedAt, time.Minute)
	_, err = s.Service.TokensOf(service.Actor{}, "owner")
	require.Equal(t, state.Forbidden, state.CodeOf(err))
}
