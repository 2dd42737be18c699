package upstream_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/managertest"
	"kiosc/manager/upstream"
)

const soon = 30 * time.Second

// secret is what the tests' target site asks with.
const secret = "the-secret/of the site"

// site is a Kiosc with its own state.
type site struct {
	*testing.T
	node *managertest.Node
	log  *safeBuffer
}

// safeBuffer is a log that may be written by several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func newSite(t *testing.T) *site {
	s := &site{T: t, node: managertest.NewNode(t), log: &safeBuffer{}}
	s.do(&state.UserCreated{User: state.User{ID: id("admin"), Name: "admin", Superuser: true, Active: true}})
	return s
}

// id is a uuid that a name stands for.
func id(name string) string { return uuid.NewSHA1(uuid.NameSpaceURL, []byte(name)).String() }

func (s *site) do(all ...state.Command) {
	s.Helper()
	for _, c := range all {
		s.node.Do(c)
	}
}

func (s *site) user(name string) (u state.User, ok bool) {
	s.node.View(func(tx *state.Tx) (err error) {
		u, ok, err = tx.UserByName(name)
		return err
	})
	return u, ok
}

func (s *site) project(title string) (p state.Project, ok bool) {
	s.node.View(func(tx *state.Tx) (err error) {
		p, ok, err = tx.ProjectByPath(title)
		return err
	})
	return p, ok
}

// roles are those of a project, as user names with roles.
func (s *site) roles(path string) map[string]state.Role {
	out := make(map[string]state.Role)
	s.node.View(func(tx *state.Tx) error {
		p, ok, err := tx.ProjectByPath(path)
		require.True(s, ok, path)
		if err != nil {
			return err
		}
		all, err := tx.RolesOf(p.ID)
		for _, r := range all {
			u, _, _ := tx.User(r.User)
			out[u.Name] = r.Role
		}
		return err
	})
	return out
}

func (s *site) result() (r state.UpstreamResult) {
	s.node.View(func(tx *state.Tx) (err error) {
		r, _, err = tx.UpstreamResult()
		return err
	})
	return r
}

// options are those of the original's defaults.
var options = upstream.Options{DefaultAdmin: "admin"}

// syncer syncs from a server.
func (s *site) syncer(node upstream.Node, url string, o upstream.Options) *upstream.Syncer {
	return upstream.New(upstream.Config{Node: node, Options: o, Logger: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Source: func() (upstream.Source, error) { return upstream.Source{URL: url, Secret: secret}, nil }})
}

// sync syncs once with what a server gives.
func (s *site) sync(url string, o upstream.Options) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*soon)
	defer cancel()
	summary, err := s.syncer(s.node, url, o).Run(ctx)
	require.NotContains(s, s.log.String(), "the-secret", "the log")
	return summary, err
}

// mustSync syncs, and once more to see that nothing is left to do.
func (s *site) mustSync(url string, o upstream.Options) string {
	s.Helper()
	summary, err := s.sync(url, o)
	require.NoError(s, err)
	before := s.node.Store().AppliedIndex()
	_, err = s.sync(url, o)
	require.NoError(s, err)
	require.Equal(s, before, s.node.Store().AppliedIndex(), "the second run proposes nothing")
	return summary
}

// serve answers as the site does, for a target site that is given all projects.
func (s *site) serve() string {
	s.do(&state.RemoteSiteSet{Site: state.RemoteSite{ID: "target", Name: "Target", URL: "https://target.example.org", Hash: auth.HashSecret(secret), All: true}})
	return serveHTTP(s.T, func(w http.ResponseWriter, r *http.Request) {
		asked := strings.TrimPrefix(r.URL.Path, upstream.Path)
		wants, ok := upstream.WantsOf(r.Header.Get("Accept"), r.Header.Get(upstream.Extension))
		if !ok {
			w.WriteHeader(http.StatusNotAcceptable)
			return
		}
		var raw []byte
		err := s.node.Store().View(func(tx *state.Tx) error {
			remote, known, err := tx.RemoteSiteByHash(auth.HashSecret(asked))
			if err != nil || !known {
				return err
			}
			raw, err = upstream.Encode(tx, remote, wants)
			return err
		})
		if err != nil || raw == nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Write(raw)
	})
}

func serveHTTP(t *testing.T, h http.HandlerFunc) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// m is JSON.
type m = map[string]any

// answer is one made by hand.
type answer struct {
	mu              sync.Mutex
	users, projects m
}

func newAnswer() *answer { return &answer{users: m{}, projects: m{}} }

func (a *answer) user(name string, groups ...string) m {
	u := m{"username": name, "name": "Name of " + name, "first_name": "", "last_name": "", "email": strings.ReplaceAll(name, "@", ".") + "@example.org",
		"additional_emails": []string{}, "groups": groups, "sodar_uuid": id(name), "is_active": true}
	a.users[id(name)] = u
	return u
}

// project adds a project, or a category for a title that ends with a slash, with roles as name=role.
func (a *answer) project(title, parent string, roles ...string) m {
	kind := "PROJECT"
	if strings.HasSuffix(title, "/") {
		kind = "CATEGORY"
	}
	p := m{"title": strings.TrimSuffix(title, "/"), "type": kind, "level": "READ_ROLES", "description": "about " + title, "readme": "# read", "parent_uuid": nil}
	if parent != "" {
		p["parent_uuid"] = id(parent)
	}
	a.projects[id(title)] = p
	setRoles(p, id(title), roles...)
	return p
}

func setRoles(p m, project string, roles ...string) {
	all := m{}
	for _, r := range roles {
		name, role, _ := strings.Cut(r, "=")
		all[id(project+name)] = m{"user": name, "role": "project " + role}
	}
	p["roles"] = all
}

func (a *answer) json() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	raw, err := json.Marshal(m{"users": a.users, "projects": a.projects, "peer_sites": m{}, "app_settings": m{"x": m{"name": "ip_restrict"}}, "unknown": 1})
	if err != nil {
		panic(err)
	}
	return raw
}

func (a *answer) serve(t *testing.T) string {
	return serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(a.json()) })
}

// usual is an answer as a small institute has it.
func usual() *answer {
	a := newAnswer()
	a.user("mona@ACME", "acme")
	a.user("otto@ACME", "acme")
	a.user("olga", "oidc")
	a.user("root", "system")
	a.project("Lab/", "", "mona@ACME=owner", "otto@ACME=finder")
	a.project("Mice", "Lab/", "mona@ACME=owner", "otto@ACME=contributor", "olga=guest")
	return a
}

// tree has the path, description and roles of everything, to compare two sites.
func (s *site) tree() (lines []string) {
	s.node.View(func(tx *state.Tx) error {
		all, err := tx.Projects()
		for _, p := range all {
			title, _ := tx.FullTitle(p.ID)
			line := fmt.Sprint(p.ID, " ", p.Type, " ", title, " ", p.Description, " ", p.Readme, " ", p.PublicAccess)
			roles, _ := tx.RolesOf(p.ID)
			for _, r := range roles {
				u, _, _ := tx.User(r.User)
				line += fmt.Sprint("; ", r.ID, " ", u.Name, " ", r.Role)
			}
			lines = append(lines, line)
		}
		return err
	})
	return lines
}
