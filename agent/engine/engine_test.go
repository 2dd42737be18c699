package engine_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/agent/engine"
	"kiosc/cluster/wire"
)

const soon = 20 * time.Second

var (
	// cluster is this run's own, so that it can clean up after itself and meets nobody else's.
	cluster = uuid.NewString()
	app     = "kiosc-test/" + cluster[:8] + ":1"
)

// atOnce is how many tests run at the same time. TestAHundredProjects waits for Docker all the time.
const atOnce = 3

// appBinary is the program of testdata/app.
var appBinary string

func TestMain(m *testing.M) {
	if err := engine.Check(context.Background(), ""); err != nil {
		fmt.Fprintln(os.Stderr, "these tests need a real Docker Engine:", err)
		os.Exit(1)
	}
	flag.Set("test.parallel", strconv.Itoa(max(atOnce, runtime.GOMAXPROCS(0)))) // a flag -parallel still counts
	code := run(m)
	for _, kind := range []string{"container", "network"} {
		list := []string{kind, "ls", "-q", "--filter", "label=kiosc.cluster=" + cluster}
		if kind == "container" {
			list = append(list, "-a")
		}
		out, _ := exec.Command("docker", list...).Output()
		for _, id := range strings.Fields(string(out)) {
			args := []string{kind, "rm", id}
			if kind == "container" {
				args = []string{kind, "rm", "-f", id}
			}
			exec.Command("docker", args...).Run()
		}
	}
	exec.Command("docker", "rmi", "-f", app).Run()
	os.Exit(code)
}

// run makes the image that the tests start.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kiosc-engine-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	appBinary = filepath.Join(dir, "app")
	if err := buildBinary(appBinary, "./testdata/app"); err != nil {
		panic(err)
	}
	e, err := engine.Open(context.Background(), engine.Config{ClusterID: cluster, NodeID: "n", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	defer e.Close()
	for range 2 { // the second finds it there
		if err := e.BuildFromBinary(context.Background(), app, appBinary, []string{"/kiosc", "site"}, nil); err != nil {
			panic(err)
		}
	}
	return m.Run()
}

// buildBinary makes a static program of a package.
func buildBinary(file, program string) error {
	build := exec.Command("go", "build", "-trimpath", "-o", file, program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", program, err, out)
	}
	return nil
}

func open(t *testing.T, mode string) (*engine.Engine, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	e, err := engine.Open(ctx, engine.Config{ClusterID: cluster, NodeID: t.Name(), NetworkMode: mode,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })
	return e, ctx
}

func spec(project string, command ...string) wire.Spec {
	return wire.Spec{Project: project, Image: app, Command: command, Env: []string{"CONTAINER_PORT=8080"}, Port: 8080, Timeout: time.Minute}
}

// start makes and starts a Docker container of the test image.
func start(t *testing.T, ctx context.Context, e *engine.Engine, s wire.Spec) string {
	t.Helper()
	image, pulled, err := e.EnsureImage(ctx, engine.Wanted{Image: s.Image}, func(engine.PullProgress) {})
	require.NoError(t, err)
	require.False(t, pulled)
	id, err := e.Create(ctx, engine.Making{Container: uuid.NewString(), Generation: 1, Spec: s, ImageID: image})
	require.NoError(t, err)
	require.NoError(t, e.Start(ctx, id))
	return id
}

func waitState(t *testing.T, ctx context.Context, e *engine.Engine, id, state string) wire.Observed {
	t.Helper()
	var o wire.Observed
	require.Eventually(t, func() bool {
		var err error
		o, err = e.Inspect(ctx, id)
		return err == nil && o.State == state
	}, soon, 50*time.Millisecond)
	return o
}

func TestLifeIsIdempotent(t *testing.T) {
	t.Parallel()
	e, ctx := open(t, "auto")
	id := start(t, ctx, e, spec("life"))
	twice := func(f func() error) {
		t.Helper()
		require.NoError(t, f())
		require.NoError(t, f())
	}
	twice(func() error { return e.Start(ctx, id) })
	twice(func() error { return e.Pause(ctx, id) })
	waitState(t, ctx, e, id, "paused")
	twice(func() error { return e.Unpause(ctx, id) })
	o := waitState(t, ctx, e, id, "running")
	require.Equal(t, uint64(1), o.Generation)
	found, err := e.Find(ctx, o.Container)
	require.NoError(t, err)
	require.Equal(t, []wire.Observed{o}, found)
	twice(func() error { return e.Stop(ctx, id, 5*time.Second) })
	waitState(t, ctx, e, id, "exited")
	twice(func() error { return e.Remove(ctx, id) })
	_, err = e.Inspect(ctx, id)
	require.ErrorIs(t, err, engine.ErrNotFound)
	networks, err := exec.Command("docker", "network", "ls", "-q", "--filter", "label=kiosc.cluster="+cluster, "--filter", "label=kiosc.node="+t.Name()).Output()
	require.NoError(t, err)
	require.Empty(t, string(networks), "the project's network goes with its last container")
}

func TestForeignContainersAreLeftAlone(t *testing.T) {
	t.Parallel()
	e, ctx := open(t, "auto")
	out, err := exec.Command("docker", "create", "--label", "kiosc.cluster=another", app).Output()
	require.NoError(t, err)
	id := strings.TrimSpace(string(out))
	defer exec.Command("docker", "rm", "-f", id).Run()
	require.ErrorIs(t, e.Start(ctx, id), engine.ErrNotFound)
	require.ErrorIs(t, e.Stop(ctx, id, time.Second), engine.ErrNotFound)
	require.NoError(t, e.Remove(ctx, id), "as if it weren't there")
	_, err = e.Dial(ctx, id, 8080)
	require.ErrorIs(t, err, engine.ErrNotFound)
	require.ErrorIs(t, e.Logs(ctx, id, wire.Cursor{}, 0, nil), engine.ErrNotFound)
	require.NoError(t, exec.Command("docker", "inspect", id).Run(), "it is still there")
	list, err := e.List(ctx)
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestDialInBothModes(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{engine.ModeDockerShared, engine.ModeHost} {
		t.Run(mode, func(t *testing.T) {
			e, ctx := open(t, mode)
			id := start(t, ctx, e, spec("dial"))
			require.Eventually(t, func() bool { return strings.Contains(get(ctx, e, id), "200 OK") }, soon, 50*time.Millisecond)
			require.NoError(t, e.Stop(ctx, id, time.Second))
			_, err := e.Dial(ctx, id, 8080)
			require.ErrorIs(t, err, engine.ErrNotRunning)
			require.NoError(t, e.Remove(ctx, id))
		})
	}
	e, ctx := open(t, engine.ModeDockerShared)
	id := start(t, ctx, e, spec("dial"))
	_, err := e.Dial(ctx, id, 9)
	require.ErrorIs(t, err, engine.ErrRefused)
	require.NoError(t, e.Remove(ctx, id))
}

// get is what the app answers, "" until it does. In host mode Docker itself accepts the connection before the app listens.
func get(ctx context.Context, e *engine.Engine, id string) string {
	conn, err := e.Dial(ctx, id, 8080)
	if err != nil {
		return ""
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

// TestAHundredProjects makes the networks of a hundred projects on one Docker host, some at the same time.
func TestAHundredProjects(t *testing.T) {
	t.Parallel()
	const projects, makers = 100, 4
	e, ctx := open(t, "auto")
	image, _, err := e.EnsureImage(ctx, engine.Wanted{Image: app}, nil)
	require.NoError(t, err)
	ids := make([]string, projects+makers) // some projects have two
	errs := make([]error, len(ids))
	var all sync.WaitGroup
	room := make(chan struct{}, makers)
	each := func(do func(i int)) {
		for i := range ids {
			room <- struct{}{}
			all.Go(func() {
				do(i)
				<-room
			})
		}
		all.Wait()
		require.NoError(t, errors.Join(errs...))
	}
	each(func(i int) {
		ids[i], errs[i] = e.Create(ctx, engine.Making{Container: uuid.NewString(), Generation: 1, Spec: spec(fmt.Sprint("p", i%projects)), ImageID: image})
	})
	networks := func() int {
		out, err := exec.Command("docker", "network", "ls", "-q", "--filter", "label=kiosc.cluster="+cluster, "--filter", "label=kiosc.node="+t.Name()).Output()
		require.NoError(t, err)
		return len(strings.Fields(string(out)))
	}
	require.Equal(t, projects, networks())
	each(func(i int) { errs[i] = e.Remove(ctx, ids[i]) })
	require.Zero(t, networks())
}

func TestAnExhaustedPoolSaysSo(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e, err := engine.Open(ctx, engine.Config{ClusterID: cluster, NodeID: t.Name(), Logger: slog.New(slog.DiscardHandler),
		SubnetPool: netip.MustParsePrefix("10.172.3.0/26")})
	require.NoError(t, err)
	defer e.Close()
	image, _, err := e.EnsureImage(ctx, engine.Wanted{Image: app}, nil)
	require.NoError(t, err)
	id, err := e.Create(ctx, engine.Making{Container: uuid.NewString(), Generation: 1, Spec: spec("one"), ImageID: image})
	require.NoError(t, err)
	_, err = e.Create(ctx, engine.Making{Container: uuid.NewString(), Generation: 1, Spec: spec("two"), ImageID: image})
	require.ErrorContains(t, err, "has no free subnet left")
	require.NoError(t, e.Remove(ctx, id))
	_, err = engine.Open(ctx, engine.Config{SubnetPool: netip.MustParsePrefix("10.0.0.0/30")})
	require.ErrorContains(t, err, "too small")
}

func TestMissingImagesSaySo(t *testing.T) {
	e, ctx := open(t, "auto")
	_, _, err := e.EnsureImage(ctx, engine.Wanted{Image: "127.0.0.1:1/no/such:1"}, func(engine.PullProgress) {})
	require.ErrorContains(t, err, "can't be reached from this Docker host")
	_, _, err = e.EnsureImage(ctx, engine.Wanted{Image: "NOT VALID"}, nil)
	require.ErrorContains(t, err, "is not valid")
}

func TestEventsTellWhatHappens(t *testing.T) {
	t.Parallel()
	e, ctx := open(t, "auto")
	ctx, cancel := context.WithCancel(ctx)
	seen := make(chan engine.Event, 100)
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- e.Events(ctx, func() { close(ready) }, func(event engine.Event) error { seen <- event; return nil })
	}()
	<-ready
	id := start(t, ctx, e, spec("events", "--fail"))
	want := map[string]bool{"start": true, "die": true}
	for len(want) > 0 {
		select {
		case event := <-seen:
			require.Equal(t, id, event.DockerID)
			delete(want, event.Action)
		case <-time.After(soon):
			require.Empty(t, want)
		}
	}
	require.Equal(t, 1, waitState(t, ctx, e, id, "exited").ExitCode)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.NoError(t, e.Remove(context.Background(), id))
}

// TestLogsResumeExactly reads twenty thousand lines with a break at random places.
func TestLogsResumeExactly(t *testing.T) {
	t.Parallel()
	const lines, breaks = 20_000, 20 // each break has Docker send nearly all of them again
	e, ctx := open(t, "auto")
	id := start(t, ctx, e, spec("logs", "--lines", fmt.Sprint(lines)))
	var at wire.Cursor
	var got []string
	enough := errors.New("enough for now")
	for done := false; !done; {
		until := len(got) + rand.N(2*lines/breaks)
		err := e.Logs(ctx, id, at, 0, func(line wire.LogLine, after wire.Cursor) error {
			got, at = append(got, line.Text), after
			done = strings.HasPrefix(line.Text, "serving")
			if done || len(got) >= until {
				return enough
			}
			return nil
		})
		require.ErrorIs(t, err, enough)
	}
	require.Len(t, got, lines+1)
	for i, text := range got[:lines] {
		require.Equal(t, fmt.Sprint("line ", i+1), text)
	}
	require.NoError(t, e.Stop(ctx, id, time.Second))
	require.NoError(t, e.Logs(ctx, id, at, 0, func(wire.LogLine, wire.Cursor) error { return nil }), "it ends with the process")
	require.NoError(t, e.Remove(ctx, id))
}
