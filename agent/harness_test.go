package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"kiosc/agent/engine"
	"kiosc/cluster/pki"
)

// patience is how long a condition may take to come true on a loaded machine.
const patience = 20 * time.Second

var (
	clusterID = "test-" + randomHex(8)
	appImage  = "kiosc-test/" + clusterID + ":1"
	docker    *client.Client
)

func TestMain(m *testing.M) {
	if err := engine.Check(context.Background(), ""); err != nil {
		fmt.Fprintln(os.Stderr, "these tests need a real Docker Engine:", err)
		os.Exit(1)
	}
	var err error
	if docker, err = client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation()); err != nil {
		panic(err)
	}
	if err := makeImage(); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := cleanUp(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// makeImage makes the image that the tests start, of the engine's test app.
func makeImage() error {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "kiosc-agent-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "app")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "./engine/testdata/app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the app: %w\n%s", err, out)
	}
	e, err := engine.Open(ctx, engine.Config{ClusterID: clusterID, NodeID: "builder"})
	if err != nil {
		return err
	}
	defer e.Close()
	return e.BuildFromBinary(ctx, appImage, binary, []string{"/kiosc"}, nil)
}

func cleanUp() error {
	ctx := context.Background()
	ours := filters.NewArgs(filters.Arg("label", "kiosc.cluster="+clusterID))
	containers, err := docker.ContainerList(ctx, container.ListOptions{All: true, Filters: ours})
	for _, c := range containers {
		err = errors.Join(err, docker.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true}))
	}
	networks, listErr := docker.NetworkList(ctx, network.ListOptions{Filters: ours})
	for _, n := range networks {
		err = errors.Join(err, docker.NetworkRemove(ctx, n.ID))
	}
	return errors.Join(err, listErr, exec.Command("docker", "rmi", "-f", appImage).Run())
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// eventually waits until ok. It looks less often by and by, because a look may cost a command or a question to Docker.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	pause := 5 * time.Millisecond
	for end := time.Now().Add(patience); !ok(); pause = min(2*pause, 100*time.Millisecond) {
		if time.Now().After(end) {
			require.FailNow(t, "waited in vain", what)
		}
		time.Sleep(pause)
	}
}

// receive takes one value from c.
func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "waited in vain", what)
		panic("unreachable")
	}
}

// logs collects what is logged.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// world is a cluster of managers, which are real to the agent up to the wire, and one agent.
type world struct {
	*testing.T
	ca   *pki.CA
	logs *logs
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ca, err := pki.NewCA(clusterID, time.Now())
	require.NoError(t, err)
	w := &world{T: t, ca: ca, logs: new(logs)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(w.logs.text.String())
		}
	})
	return w
}

func (w *world) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (w *world) identity(role pki.Role, id string, now time.Time) pki.Identity {
	w.Helper()
	identity, err := pki.NewIdentity(w.ca, role, id, clusterID, now, 0)
	require.NoError(w, err)
	return identity
}

// config is that of an agent with a node id of its own, so that tests don't see each other's containers. host is the
// Docker Engine's address.
func (w *world) config(host string, managers ...string) Config {
	w.Helper()
	id := randomHex(6)
	e, err := engine.Open(w.Context(), engine.Config{Host: host, ClusterID: clusterID, NodeID: id, Logger: w.logger()})
	require.NoError(w, err)
	w.Cleanup(func() { e.Close() })
	return Config{Credentials: pki.NewCredentials(w.identity(pki.RoleAgent, id, time.Now())), Dir: w.TempDir(), Managers: managers,
		Name: "host", Build: "test", Engine: e, Logger: w.logger()}
}

// start runs an agent until the end of the test.
func (w *world) start(cfg Config) *Agent {
	w.Helper()
	a := New(cfg)
	w.run(a)
	eventually(w.T, "a look at Docker", func() bool { return !a.watch.isAway() })
	return a
}

func (w *world) run(a *Agent) { w.Cleanup(w.runUntil(a)) }

// runUntil runs an agent until the returned function is called.
func (w *world) runUntil(a *Agent) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Run(ctx)
	}()
	return func() {
		cancel()
		receive(w.T, "the agent's end", done)
	}
}

// gateway stands between an agent and the Docker Engine, and can be closed: for the agent Docker is away then. It can also keep
// the answers to some requests back.
type gateway struct {
	w    *world
	path string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	running  sync.WaitGroup
	held     atomic.Pointer[string]
}

// version is a part of each path that Docker's client asks for.
var version = regexp.MustCompile(`/v1\.[0-9]+/`)

// hold keeps back the answers to requests whose first line has a text in it, the API's version left out; empty for none.
func (g *gateway) hold(text string) { g.held.Store(&text) }

// holds tells whether the answer to what is sent is to be kept back.
func (g *gateway) holds(sent []byte) bool {
	text := g.held.Load()
	if text == nil || *text == "" {
		return false
	}
	first, _, _ := strings.Cut(string(sent), " HTTP/1.1\r\n")
	path, _, _ := strings.Cut(version.ReplaceAllString(first, "/"), "?")
	return strings.Contains(path, *text)
}

// request passes what is sent on, and notes in held that the answer is to be kept back.
type request struct {
	to   net.Conn
	g    *gateway
	held *atomic.Bool
}

func (r request) Write(p []byte) (int, error) {
	if r.g.holds(p) {
		r.held.Store(true)
	}
	return r.to.Write(p)
}

// answer passes on what Docker answers, unless that is kept back.
type answer struct {
	to   net.Conn
	held *atomic.Bool
}

func (a answer) Write(p []byte) (int, error) {
	if a.held.Load() {
		return len(p), nil
	}
	return a.to.Write(p)
}

func (w *world) newGateway() *gateway {
	w.Helper()
	dir, err := os.MkdirTemp("", "kiosc")
	require.NoError(w, err)
	g := &gateway{w: w, path: filepath.Join(dir, "docker.sock"), conns: make(map[net.Conn]bool)}
	g.open()
	w.Cleanup(func() {
		g.close()
		os.RemoveAll(dir)
	})
	return g
}

func (g *gateway) host() string { return "unix://" + g.path }

func (g *gateway) open() {
	l, err := net.Listen("unix", g.path)
	require.NoError(g.w, err)
	g.mu.Lock()
	g.listener = l
	g.mu.Unlock()
	g.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			g.running.Go(func() { g.pass(conn) })
		}
	})
}

func (g *gateway) pass(conn net.Conn) {
	defer conn.Close()
	to, err := net.Dial("unix", "/var/run/docker.sock")
	if err != nil {
		return
	}
	defer to.Close()
	g.mu.Lock()
	g.conns[conn], g.conns[to] = true, true
	g.mu.Unlock()
	var both sync.WaitGroup
	defer both.Wait()
	var held atomic.Bool
	both.Go(func() {
		io.Copy(request{to, g, &held}, conn)
		to.(*net.UnixConn).CloseWrite()
	})
	io.Copy(answer{conn, &held}, to)
	conn.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, conn)
	delete(g.conns, to)
}

func (g *gateway) close() {
	g.mu.Lock()
	g.listener.Close()
	for conn := range g.conns {
		conn.Close()
	}
	g.mu.Unlock()
	g.running.Wait()
}
