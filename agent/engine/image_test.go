package engine_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/agent/engine"
	"kiosc/cluster/wire"
)

// registryDocker plays a Docker Engine that has no image until it is told to pull one, because no real one can be made
// to pull slowly, layer by layer, or to fail in each of these ways.
type registryDocker struct {
	messages []string // of the pull, JSON each
	login    string   // that came with it
	pulled   bool
}

func (d *registryDocker) engine(t *testing.T) *engine.Engine {
	t.Helper()
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	cfg := config("n", engine.ModeHost)
	cfg.Host = "tcp://" + server.Listener.Addr().String()
	e, err := engine.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })
	return e
}

func (d *registryDocker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.43")
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasSuffix(r.URL.Path, "/_ping"):
	case strings.HasSuffix(r.URL.Path, "/images/create"):
		login, _ := base64.URLEncoding.DecodeString(r.Header.Get("X-Registry-Auth"))
		d.login, d.pulled = string(login), true
		for _, m := range d.messages {
			fmt.Fprintln(w, m)
		}
	case strings.Contains(r.URL.Path, "/images/") && d.pulled:
		fmt.Fprintln(w, `{"Id":"sha256:1"}`)
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintln(w, `{"message":"No such image"}`)
	}
}

func at(id, status string, current, total int) string {
	return fmt.Sprintf(`{"id":%q,"status":%q,"progressDetail":{"current":%d,"total":%d}}`, id, status, current, total)
}

func TestPullProgressOverSeveralLayers(t *testing.T) {
	d := &registryDocker{messages: []string{
		`{"id":"1","status":"Pulling from app"}`,
		at("old", "Already exists", 0, 0),
		at("a", "Pulling fs layer", 0, 0), at("b", "Pulling fs layer", 0, 0), at("c", "Pulling fs layer", 0, 0),
		at("a", "Downloading", 50, 100), at("a", "Downloading", 100, 100), at("a", "Download complete", 0, 0),
		at("b", "Downloading", 0, 800), at("b", "Downloading", 400, 800), at("a", "Extracting", 1, 100), at("a", "Pull complete", 0, 0),
		at("c", "Download complete", 0, 0), // so small that it is never seen on its way
		at("b", "Downloading", 800, 800), at("b", "Download complete", 0, 0), at("b", "Extracting", 400, 800),
		at("b", "Pull complete", 0, 0), at("c", "Pull complete", 0, 0),
		`{"status":"Status: Downloaded newer image for app:1"}`,
	}}
	var percents []int
	var lines []string
	id, pulled, err := d.engine(t).EnsureImage(t.Context(), engine.Wanted{Image: "app:1"}, func(p engine.PullProgress) {
		percents = append(percents, p.Percent)
		if p.Line != "" {
			lines = append(lines, p.Line)
		}
	})
	require.NoError(t, err)
	require.True(t, pulled)
	require.Equal(t, "sha256:1", id)
	// With a alone known the two others count as much as it does; b's size changes what a was worth, but nothing goes back.
	require.Equal(t, []int{-1, -1, -1, -1, -1, 15, 30, 30, 30, 33, 33, 34, 51, 91, 91, 91, 99, 100, 100}, percents)
	require.Len(t, lines, 16, "each line once, however often its numbers change")
}

func TestPullErrorsSayWhatToDo(t *testing.T) {
	login := &wire.RegistryLogin{Host: "registry.example.org", User: "ana", Password: "s3cret"}
	for _, row := range []struct {
		docker string
		login  *wire.RegistryLogin
		want   string
	}{
		{"manifest for app:1 not found: manifest unknown: manifest unknown", nil, "there is no image app:1 in its registry; check repository and tag"},
		{"pull access denied for app, repository does not exist or may require 'docker login'", nil, "no access to the image app:1 without a login"},
		{`Head "https://registry.example.org/v2/app/manifests/1": no basic auth credentials`, nil, "can be set in the project's registries"},
		{`Get "https://registry.example.org/v2/": unauthorized: authentication required`, login, "gives the user ana no access to the image app:1"},
		{"dial tcp: lookup registry.example.org: no such host", login, "can't be reached from this Docker host"},
		{"dial tcp 192.0.2.1:443: connect: connection refused", nil, "can't be reached from this Docker host"},
		{"write /var/lib/docker/tmp/x: no space left on device", nil, "no space left on device"},
	} {
		d := &registryDocker{messages: []string{fmt.Sprintf(`{"errorDetail":{"message":%q},"error":%q}`, row.docker, row.docker)}}
		_, _, err := d.engine(t).EnsureImage(t.Context(), engine.Wanted{Image: "app:1", Login: row.login}, nil)
		require.ErrorContains(t, err, row.want)
		require.ErrorContains(t, err, row.docker, "the cause is told, too")
		require.NotContains(t, err.Error(), "s3cret")
	}
}

func TestTheLoginGoesWithThePull(t *testing.T) {
	d := &registryDocker{}
	e := d.engine(t)
	_, _, err := e.EnsureImage(t.Context(), engine.Wanted{Image: "registry.example.org/app:1", Login: &wire.RegistryLogin{
		Host: "registry.example.org", User: "ana", Password: "s3cret"}}, nil)
	require.NoError(t, err)
	require.JSONEq(t, `{"username":"ana","password":"s3cret","serveraddress":"registry.example.org"}`, d.login)
	_, _, err = e.EnsureImage(t.Context(), engine.Wanted{Image: "registry.example.org/app:1", PullPolicy: "always"}, nil)
	require.NoError(t, err)
	require.Empty(t, d.login)
}
