package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"kiosc/agent/engine"
	"kiosc/cluster/wire"
)

var errEnough = errors.New("enough")

// readSome reads at most n lines behind from. It returns the place behind them, and whether the log has ended.
func readSome(ctx context.Context, e *engine.Engine, dockerID string, from wire.Cursor, n int) (lines []wire.LogLine, at wire.Cursor, ended bool, err error) {
	at = from
	err = e.Logs(ctx, dockerID, from, 0, func(line wire.LogLine, after wire.Cursor) error {
		lines, at = append(lines, line), after
		if len(lines) >= n {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return lines, at, false, nil
	}
	return lines, at, err == nil, err
}

func testEachLogLineOnce(t *testing.T) {
	t.Parallel()
	const each, resumes = 10_000, 20 // each time Docker sends nearly all of them again
	e := openEngine(t, engine.ModeAuto)
	_, dockerID := startApp(t, e, "lines", strconv.Itoa(each))
	var from wire.Cursor
	var next [2]int // stdout, stderr
	for ended := false; !ended; {
		var lines []wire.LogLine
		var err error
		lines, from, ended, err = readSome(t.Context(), e, dockerID, from, 1+rand.IntN(2*2*each/resumes))
		require.NoError(t, err)
		for _, line := range lines {
			out := 0
			if line.Stderr {
				out = 1
			}
			if line.Text != strconv.Itoa(next[out]) {
				t.Fatalf("the line %q of output %d came where %d belongs", line.Text, out, next[out])
			}
			next[out]++
		}
	}
	require.Equal(t, [2]int{each, each}, next)
	lines, _, ended, err := readSome(t.Context(), e, dockerID, from, 1)
	require.NoError(t, err)
	require.True(t, ended)
	require.Empty(t, lines)
}

// testALogIsReadToItsEnd has a reader that is behind when the process ends, after which Docker may stop to follow.
func testALogIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	const each = 50_000
	e := openEngine(t, engine.ModeAuto)
	_, dockerID := startApp(t, e, "lines", strconv.Itoa(each))
	lines := 0
	err := e.Logs(t.Context(), dockerID, wire.Cursor{}, 0, func(wire.LogLine, wire.Cursor) error {
		if lines++; lines == 1 {
			awaitState(t, e, dockerID, "exited")
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 2*each, lines)
}

func testOddLines(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeAuto)
	_, dockerID := startApp(t, e, "odd")
	whole, _, ended, err := readSome(t.Context(), e, dockerID, wire.Cursor{}, 1000)
	require.NoError(t, err)
	require.True(t, ended)

	var text strings.Builder
	for _, line := range whole {
		require.LessOrEqual(t, len(line.Text), 16<<10)
		text.WriteString(line.Text)
	}
	require.Equal(t, strings.Repeat("\uFFFDa", 8<<9)+strings.Repeat("\uFFFDb", 15<<9)+"doslast", text.String()[strings.Index(text.String(), "\uFFFDa"):])
	require.Equal(t, []string{"dos", "", "last"}, texts(whole[len(whole)-3:]))

	// One at a time, so that it is resumed within a frame too.
	var from wire.Cursor
	var single []wire.LogLine
	for ended := false; !ended; {
		var lines []wire.LogLine
		lines, from, ended, err = readSome(t.Context(), e, dockerID, from, 1)
		require.NoError(t, err)
		single = append(single, lines...)
	}
	require.Equal(t, whole, single)
}

// testLongLinesArePutTogether has lines that Docker cuts every 16 KiB. Where it cuts within a character, that is lost already
// in its log.
func testLongLinesArePutTogether(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeAuto)
	_, dockerID := startApp(t, e, "long")
	awaitState(t, e, dockerID, "exited")
	read := func(from wire.Cursor, maxLine, n int) (out [2][]string, at wire.Cursor, ended bool) {
		at = from
		err := e.Logs(t.Context(), dockerID, from, maxLine, func(line wire.LogLine, after wire.Cursor) error {
			at = after
			i := 0
			if line.Stderr {
				i = 1
			}
			out[i] = append(out[i], line.Text)
			if n--; n == 0 {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			require.NoError(t, err)
		}
		return out, at, err == nil
	}
	whole, _, _ := read(wire.Cursor{}, wire.MaxLine, 0)
	require.True(t, len(whole[1]) == 1 && whole[1][0] == strings.Repeat("ü", 30<<10), "%d lines", len(whole[1]))
	require.Equal(t, 4, len(whole[0]), "300 KiB and the last line")
	require.True(t, strings.Join(whole[0][:3], "") == strings.Repeat("ü", 150<<10))
	require.Equal(t, "last", whole[0][3])
	for _, line := range whole[0] {
		require.LessOrEqual(t, len(line), wire.MaxLine)
	}

	short, _, _ := read(wire.Cursor{}, 0, 0)
	require.Equal(t, strings.Repeat("ü", 150<<10)+"last", strings.Join(short[0], ""))
	require.Equal(t, strings.Repeat("ü", 30<<10), strings.Join(short[1], ""))
	for _, line := range short[0] {
		require.LessOrEqual(t, len(line), wire.ShortLine)
	}

	var single [2][]string
	for from, ended := (wire.Cursor{}), false; !ended; {
		var part [2][]string
		part, from, ended = read(from, wire.MaxLine, 1)
		single[0], single[1] = append(single[0], part[0]...), append(single[1], part[1]...)
	}
	require.Equal(t, whole, single, "taken up after each line")
}

func texts(lines []wire.LogLine) (all []string) {
	for _, line := range lines {
		all = append(all, line.Text)
	}
	return all
}

func testLogsFollow(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.ModeAuto)
	_, dockerID := startApp(t, e, "wait")
	seen, ended := make(chan string, 10), make(chan error, 1)
	go func() {
		ended <- e.Logs(t.Context(), dockerID, wire.Cursor{}, 0, func(line wire.LogLine, _ wire.Cursor) error {
			seen <- line.Text
			return nil
		})
	}()
	require.Equal(t, "waiting", <-seen)
	require.NoError(t, e.Stop(t.Context(), dockerID, patience))
	require.NoError(t, <-ended)
	require.NoError(t, e.Remove(t.Context(), dockerID))
	require.ErrorIs(t, e.Logs(t.Context(), dockerID, wire.Cursor{}, 0, nil), engine.ErrNotFound)
}

// testDockerStopsToFollow has Docker change the files of a log twice while what it had at the beginning is read. Docker 20.10
// follows the wrong file then.
func testDockerStopsToFollow(t *testing.T) {
	t.Parallel()
	const flood = 20_000 // of 8 KiB; a file has 64 MB
	cfg := config(randomHex(4), engine.ModeAuto)
	cfg.LogCheck = 500 * time.Millisecond
	e, err := engine.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })
	_, dockerID := startApp(t, e, "flood", strconv.Itoa(flood))
	newest := func() (kind string, n int) {
		tail, err := docker.ContainerLogs(t.Context(), dockerID, container.LogsOptions{ShowStdout: true, Tail: "1"})
		require.NoError(t, err)
		defer tail.Close()
		tail.Read(make([]byte, 8)) // the head of its frame
		fmt.Fscan(tail, &kind, &n)
		return kind, n
	}
	eventually(t, "a part of the flood is there", func() bool { kind, n := newest(); return kind == "flood" && n > flood/4 }) // Docker reads 4096 lines ahead

	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	lines, last := 0, 0
	err = e.Logs(ctx, dockerID, wire.Cursor{}, 0, func(line wire.LogLine, _ wire.Cursor) error {
		if lines++; lines == 1 {
			eventually(t, "the flood is over", func() bool { kind, _ := newest(); return kind == "over" })
		}
		if text, over := strings.CutPrefix(line.Text, "over "); over {
			n, err := strconv.Atoi(text)
			require.NoError(t, err)
			require.True(t, last == 0 || n == last+1, "%d came after %d", n, last)
			if last = n; n > 20 {
				return errEnough
			}
		}
		return nil
	})
	require.ErrorIs(t, err, errEnough, "after %d lines", lines)
	t.Logf("%d lines of %d came before it was over", lines-last, flood)
}

// testASilentLogIsLeftAlone counts how often Docker is asked.
func testASilentLogIsLeftAlone(t *testing.T) {
	t.Parallel()
	_, dockerID := startApp(t, openEngine(t, engine.ModeHost), "wait")
	var follows, checks atomic.Int32
	to := httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "docker" },
		Transport:     &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return docker.Dialer()(ctx) }},
		FlushInterval: -1,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/logs") && r.FormValue("follow") == "1" {
			follows.Add(1)
		} else if strings.HasSuffix(r.URL.Path, "/logs") {
			checks.Add(1)
		}
		to.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	cfg := config(randomHex(4), engine.ModeHost)
	cfg.Host, cfg.LogCheck = "tcp://"+server.Listener.Addr().String(), 10*time.Millisecond
	e, err := engine.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })

	_, at, _, err := readSome(t.Context(), e, dockerID, wire.Cursor{}, 1)
	require.NoError(t, err)
	for _, from := range []wire.Cursor{{}, at} {
		follows.Store(0)
		checks.Store(0)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Logs(ctx, dockerID, from, 0, func(wire.LogLine, wire.Cursor) error { return nil }) }()
		eventually(t, "the log is checked", func() bool { return checks.Load() > 10 })
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
		require.EqualValues(t, 1, follows.Load())
	}
}
