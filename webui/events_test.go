package webui_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/webui"
)

// follower reads an event stream.
type follower struct {
	t    *testing.T
	in   *bufio.Scanner
	stop context.CancelFunc
	id   string
}

func (s *site) follow(user, path string, headers ...string) *follower {
	s.T.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 15*time.Second)
	s.T.Cleanup(stop)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr+path, nil)
	require.NoError(s.T, err)
	r.AddCookie(&http.Cookie{Name: webui.SessionCookie, Value: s.Sessions[user]})
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	got, err := http.DefaultClient.Do(r)
	require.NoError(s.T, err)
	s.T.Cleanup(func() { got.Body.Close() })
	require.Equal(s.T, http.StatusOK, got.StatusCode)
	require.Equal(s.T, "text/event-stream", got.Header.Get("Content-Type"))
	in := bufio.NewScanner(got.Body)
	in.Buffer(nil, 1<<20)
	return &follower{t: s.T, in: in, stop: stop}
}

// next returns the next event; name is empty at the end of the stream.
func (f *follower) next() (name, data string) {
	for f.in.Scan() {
		switch line := f.in.Text(); {
		case strings.HasPrefix(line, "id: "):
			f.id = line[4:]
		case strings.HasPrefix(line, "event: "):
			name = line[7:]
		case strings.HasPrefix(line, "data: "):
			data = line[6:]
		case line == "" && name != "":
			return name, data
		}
	}
	return "", ""
}

// until reads on to an event whose data contains text.
func (f *follower) until(name, text string) string {
	f.t.Helper()
	for {
		got, data := f.next()
		require.NotEmpty(f.t, got, "the stream ended before %s with %s", name, text)
		if got == name && strings.Contains(data, text) {
			return data
		}
	}
}

func TestEvents(t *testing.T) {
	s := newSite(t)
	c := s.Container("app")
	path := "/containers/ajax/events/" + c
	f := s.follow("contributor", path)
	f.until("state", `"state_shown":"initial"`)
	s.post("contributor", "/containers/start/"+c)
	f.until("log", "(Action) Start")
	f.until("state", `"step":"Pulling image \u003c1/2\u003e","percent":50`)
	s.Report(c, state.Running)
	f.until("state", `"state":"running"`)

	var lines []string
	for i := range 1200 {
		lines = append(lines, fmt.Sprintf("line %d", i))
	}
	s.print(c, 0, lines...)
	place := ""
	for seen := 0; seen < len(lines); {
		var piece []string
		require.NoError(t, json.Unmarshal([]byte(f.until("log", "line")), &piece))
		require.LessOrEqual(t, len(piece), 500)
		require.Contains(t, piece[0], fmt.Sprintf("line %d", seen))
		if seen += len(piece); place == "" {
			place = f.id
		}
	}
	// A broken connection comes back in the middle of a batch, and right behind it.
	again := s.follow("contributor", path, "Last-Event-ID", place)
	require.Contains(t, again.until("log", "line"), `line 500"`)
	end := s.follow("contributor", path+"?place="+f.id)
	s.print(c, 1, "the last")
	data := end.until("log", "")
	require.Contains(t, data, "the last")
	require.NotContains(t, data, "line 1199")
	f.until("log", "the last")

	fresh := s.Container("never started")
	g := s.follow("guest", "/containers/ajax/events/"+fresh)
	s.post("contributor", "/containers/delete/"+fresh)
	for {
		name, _ := g.next()
		require.NotEqual(t, "log", name, "a guest sees no log")
		require.NotEmpty(t, name)
		if name == "deleted" {
			break
		}
	}
	name, _ := g.next()
	require.Empty(t, name)
}

func TestEventsEnd(t *testing.T) {
	s := newSite(t)
	s.ui.Hurry(50*time.Millisecond, 2)
	c := s.Container("app")
	path := "/containers/ajax/events/" + c
	f := s.follow("guest", path)
	f.until("state", "initial")
	other := s.follow("owner", path)
	other.until("state", "initial")
	full := s.get("owner", path)
	require.Equal(t, 503, full.status)
	require.NotEmpty(t, full.header.Get("Retry-After"))
	require.Contains(t, full.body, "Too many pages")

	s.post("guest", "/logout/")
	for name := "state"; name != ""; name, _ = f.next() {
		require.Equal(t, "state", name)
	}
	other.stop() // the browser goes
	require.Eventually(t, func() bool { return s.ui.OpenStreams() == 0 }, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, 401, s.get("guest", path).status)
}
