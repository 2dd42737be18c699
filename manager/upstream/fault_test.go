package upstream_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/upstream"
)

func TestFaultsChangeNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	good := usual()
	s.mustSync(good.serve(t), options)
	before, raw := s.tree(), good.json()
	reply := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); w.Write(raw) }
	}
	changed := func(from, to string) http.HandlerFunc {
		require.Contains(t, string(raw), from)
		return reply(strings.Replace(string(raw), from, to, 1))
	}
	var sent atomic.Int32
	cases := []struct {
		name, want string
		handler    http.HandlerFunc
	}{
		{"500", "status 500", status(500)},
		{"401", "does not know the secret", status(401)},
		{"404", "Nothing answers", status(404)},
		{"406", "none of the versions", status(406)},
		{"cut off", "cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(raw)))
			w.Write(raw[:len(raw)/2])
		}},
		{"cut off, without a length", "cut off", reply(string(raw[:len(raw)-3]))},
		{"hung up", "can't be reached", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{"not JSON", "not the JSON", reply("<html>Welcome</html>")},
		{"a list", "can't be a array", reply("[]")},
		{"nothing", "cut off", reply("")},
		{"null", "lacks the users or the projects", reply("null")},
		{"no users", "lacks the users or the projects", reply(`{"projects":{}}`)},
		{"no projects", "lacks the users or the projects", reply(`{"users":{}}`)},
		{"two answers", "behind its end", reply(string(raw) + string(raw))},
		{"not UTF-8", "not UTF-8", reply("\xff" + string(raw))},
		{"a wrong type", `can't be a number`, changed(`"title":"Mice"`, `"title":7`)},
		{"an unknown kind of project", "neither a project nor a category", changed(`"type":"CATEGORY"`, `"type":"FOLDER"`)},
		{"no UUID", "no UUID", changed(id("Mice"), "mice")},
		{"two UUIDs", "two UUIDs", changed(`"sodar_uuid":"`+id("olga"), `"sodar_uuid":"`+id("otto@ACME"))},
		{"two of one name", "one name", changed(`"username":"olga"`, `"username":"otto@ACME"`)},
		{"no name", "no name", changed(`"username":"olga"`, `"username":""`)},
		{"a category that isn't there", "is not in it", changed(`"parent_uuid":"`+id("Lab/"), `"parent_uuid":"`+id("ghost"))},
		{"a project in itself", "in a project", changed(`"parent_uuid":"`+id("Lab/"), `"parent_uuid":"`+id("Mice"))},
		{"a category in itself", "is in itself", changed(`"parent_uuid":null`, `"parent_uuid":"`+id("Lab/")+`"`)},
		{"too deep", "nested more than 32 levels", reply(string(deep(40).json()))},
		{"two roles of a user", "two roles", changed(`"user":"olga"`, `"user":"otto@ACME"`)},
		{"two owners", "2 owners", changed(`"role":"project contributor"`, `"role":"project owner"`)},
		{"no roles", "has none", reply(`{"users":{},"projects":{"` + id("Mice") + `":{"title":"Mice","type":"PROJECT","level":"READ_ROLES"}}}`)},
		{"public access", "public access", changed(`"readme":"# read","roles"`, `"readme":"","public_access":{},"roles"`)},
		{"100 MiB", "more than 64 MiB", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(100<<20))
			w.Write([]byte(`{"users":{`))
		}},
		{"100 MiB, without a length", "more than 64 MiB", func(w http.ResponseWriter, r *http.Request) {
			for range 100 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
				sent.Add(1)
			}
		}},
		{"elsewhere", "redirects to another address", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://localhost:1"+r.URL.Path, http.StatusFound)
		}},
		{"in a circle", "redirects to another address", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			summary, err := s.sync(serveHTTP(t, c.handler), options)
			require.Error(t, err, summary)
			require.Contains(t, err.Error(), c.want)
			require.NotContains(t, err.Error(), "the-secret")
			require.Contains(t, s.result().Error, c.want)
			require.Equal(t, before, s.tree())
		})
	}
	require.Less(t, sent.Load(), int32(90), "no more is read than may be")
	s.mustSync(good.serve(t), options)
	require.Empty(t, s.result().Error, "and then all is well")
}

// deep is an answer with as many categories in each other.
func deep(levels int) *answer {
	a := newAnswer()
	a.user("mona@ACME", "acme")
	parent := ""
	for i := range levels {
		title := fmt.Sprint("Category ", i, "/")
		a.project(title, parent, "mona@ACME=owner")
		parent = title
	}
	a.project("Low", parent, "mona@ACME=owner")
	return a
}

func TestAsDeepAsAKioscGoes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.mustSync(deep(state.MaxDepth).serve(t), options)
	require.Zero(t, s.result().Skipped)
	require.Len(t, s.tree(), state.MaxDepth+1)
	_, err := s.sync(deep(state.MaxDepth+1).serve(t), options)
	require.ErrorContains(t, err, "nested more than 32 levels")
}

func TestRedirectsOnTheSameSite(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	raw := usual().json()
	s.mustSync(serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		if !r.URL.Query().Has("there") {
			http.Redirect(w, r, r.URL.EscapedPath()+"?there=1", http.StatusPermanentRedirect)
			return
		}
		w.Write(raw)
	}), options)
}

func TestOlderVersionsAreSpoken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var asked []string
	raw := usual().json()
	_, err := s.sync(serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, upstream.Path+"the-secret%2Fof%20the%20site", r.URL.EscapedPath())
		asked = append(asked, r.Header.Get("Accept"))
		if !strings.HasSuffix(asked[len(asked)-1], "version=1.0") {
			w.WriteHeader(http.StatusNotAcceptable)
			return
		}
		w.Write(raw)
	}), options)
	require.NoError(t, err)
	require.Equal(t, []string{upstream.ContentType("2.1"), upstream.ContentType("2.0"), upstream.ContentType("1.0")}, asked)
}

func TestASlowSiteIsGivenUp(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"users":{`)
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	_, err := upstream.Source{URL: url, Secret: secret, Timeout: 100 * time.Millisecond}.Fetch(context.Background(), func(string) {})
	require.ErrorContains(t, err, "did not answer in time")
}

func TestTLS(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		w.Write(usual().json())
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	fetch := func(s upstream.Source) error {
		s.Secret = secret
		_, err := s.Fetch(context.Background(), func(cause string) { require.NotContains(t, cause, "the-secret") })
		return err
	}
	require.ErrorContains(t, fetch(upstream.Source{URL: server.URL}), "certificate that can't be trusted")
	require.Zero(t, reached.Load(), "the secret wasn't given to it")
	ca := x509.NewCertPool()
	ca.AddCert(server.Certificate())
	require.NoError(t, fetch(upstream.Source{URL: server.URL, CAs: ca}))
	require.ErrorContains(t, fetch(upstream.Source{URL: strings.Replace(server.URL, "127.0.0.1", "localhost", 1), CAs: ca}), "certificate that can't be trusted",
		"of another name")
	require.ErrorContains(t, fetch(upstream.Source{URL: "http://sodar.example.org"}), "without TLS")
	require.ErrorContains(t, fetch(upstream.Source{URL: "https://user:pw@sodar.example.org"}), "address of the upstream site")
	require.ErrorContains(t, fetch(upstream.Source{URL: "http://127.0.0.1:1"}), "can't be reached")
}

func FuzzParse(f *testing.F) {
	f.Add(usual().json())
	f.Add([]byte(`{"users":{},"projects":{}}`))
	f.Add([]byte(`{"users":{"11111111-1111-4111-8111-111111111111":{"username":"a","groups":null}},"projects":{"22222222-2222-4222-8222-222222222222":` +
		`{"type":"CATEGORY","parent_uuid":"22222222-2222-4222-8222-222222222222","level":"READ_ROLES","roles":{}}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, err := upstream.Parse(raw)
		if err != nil && state.CodeOf(err) != state.Conflict {
			t.Fatalf("not a sentence for people: %v", err)
		}
	})
}
