package cli_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/manager"
	"kiosc/manager/cli"
	"kiosc/manager/service"
)

// fake is a manager's admin API that records what it is asked and answers what a test says.
type fake struct {
	*testing.T
	dir     string // its data directory
	mu      sync.Mutex
	asked   []asked
	answers map[string]http.HandlerFunc
}

// asked is one request.
type asked struct {
	name string
	body string
	auth string
}

// newFake serves on the admin socket of a data directory.
func newFake(t *testing.T) *fake {
	for _, name := range []string{"KIOSC_ADDR", "KIOSC_TOKEN", "KIOSC_BACKUP_PASSPHRASE"} {
		t.Setenv(name, "")
	}
	dir, err := os.MkdirTemp("", "cli") // short, as a socket's path must be
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &fake{T: t, dir: dir, answers: make(map[string]http.HandlerFunc)}
	l, err := net.Listen("unix", filepath.Join(dir, "admin.sock"))
	require.NoError(t, err)
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: f}}
	server.Start()
	t.Cleanup(server.Close)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	name := strings.TrimPrefix(r.URL.Path, manager.AdminPrefix)
	f.mu.Lock()
	f.asked = append(f.asked, asked{name, string(body), r.Header.Get("Authorization")})
	answer := f.answers[name]
	f.mu.Unlock()
	if answer == nil || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	answer(w, r)
}

// answer says what a command is answered with, one after the other; the last one stays.
func (f *fake) answer(name string, all ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[name] = func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		one := all[0]
		if len(all) > 1 {
			all = all[1:]
		}
		f.mu.Unlock()
		if text, ok := one.(string); ok {
			io.WriteString(w, text)
			return
		}
		json.NewEncoder(w).Encode(one)
	}
}

// serve says how a command is answered.
func (f *fake) serve(name string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[name] = h
}

func refuse(status int, detail string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(manager.Failed{Detail: detail})
	}
}

// requests are all commands that were asked for.
func (f *fake) requests() []asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]asked(nil), f.asked...)
}

// names are those of requests.
func (f *fake) names() (names []string) {
	for _, a := range f.requests() {
		names = append(names, a.name)
	}
	return names
}

// run runs a command at the fake.
func (f *fake) run(args ...string) (stdout, stderr string, code int) {
	return run(append(args, "--data-dir", f.dir)...)
}

// ok runs a command that must succeed.
func (f *fake) ok(args ...string) (stdout, stderr string) {
	f.Helper()
	stdout, stderr, code := f.run(args...)
	require.Zero(f, code, stderr)
	return stdout, stderr
}

func run(args ...string) (stdout, stderr string, code int) {
	var out, messages strings.Builder
	code = cli.Main(args, &out, &messages)
	return out.String(), messages.String(), code
}

func host(name string, active int, placed ...service.PlacedContainer) service.NodeStatus {
	return service.NodeStatus{ID: "5e0c7d7a-1111-4222-8333-444455556666", Name: name, Role: "agent", Health: "ready",
		Availability: "drain", Active: active, Containers: len(placed), Placed: placed}
}
