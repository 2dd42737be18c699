package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

var logStart = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// writes has a container's Docker container write lines that come so many seconds after logStart.
func (s *site) writes(id string, from int64, lines ...state.LogEntry) (to int64) {
	s.T.Helper()
	chunk, err := state.PackLog(lines)
	require.NoError(s.T, err)
	c, _ := s.Read(id)
	at := func(n int64) (cursor state.Cursor) {
		if n > 0 {
			cursor.Stdout = state.Place{Time: n, Count: 1}
		}
		return cursor
	}
	s.Do(&state.LogAppended{Container: id, Node: c.Node, DockerID: "log", From: at(from), To: at(from + 1), Chunk: chunk})
	return from + 1
}

func docker(seconds float64, text string) state.LogEntry {
	return state.LogEntry{Time: logStart.Add(time.Duration(seconds * float64(time.Second))), Process: state.ProcessDocker, Text: text}
}

func (s *site) lines(user, path string) []string {
	s.T.Helper()
	var out struct{ Lines []string }
	s.as(user).get(path, &out)
	for i, line := range out.Lines {
		_, out.Lines[i], _ = strings.Cut(line, "] ")
	}
	return out.Lines
}

func TestALogIsSearched(t *testing.T) {
	s := newSite(t)
	id := s.Running("app")
	s.writes(id, 0, docker(3, "\x1b[31mRed\x1b[0m alert"), docker(1, "10%\r50%\r100% done"), docker(2, "a\x00b\x1b]0;title\x07c"),
		state.LogEntry{Time: logStart, Level: state.Debug, Process: state.ProcessTask, Text: "insides"},
		state.LogEntry{Time: logStart, Level: state.Severe, Process: state.ProcessTask, Text: "Action failed: start"},
		state.LogEntry{Time: logStart, Level: state.Warning, Process: state.ProcessProxy, Text: "Opened"})
	path := "/containers/api/logs/" + id + "?last=100"
	for query, want := range map[string][]string{
		"&text=ALERT":                {"(Docker) Red alert"},
		"&text=alert&source=task":    {},
		"&source=docker":             {"(Docker) 100% done", "(Docker) abc", "(Docker) Red alert"},
		"&source=Docker,proxy&text=": {"(Proxy) Opened", "(Docker) 100% done", "(Docker) abc", "(Docker) Red alert"},
		"&level=error":               {"(Task) Action failed: start"},
		"&level=warning":             {"(Task) Action failed: start", "(Proxy) Opened"},
		"&level=debug&text=insides":  {},
		"&text=31m":                  {},
	} {
		require.Equal(t, want, s.lines("contributor", path+query), query)
	}
	require.Equal(t, []string{"(Docker) Red alert"}, s.lines("contributor", "/containers/api/logs/"+id+"?last=1&source=docker"), "the last one")
	require.Equal(t, []string{"(Task) insides"}, s.lines("root", path+"&text=insides"), "debug lines are for superusers")
	require.NotContains(t, s.lines("owner", "/containers/api/logs/"+id), "(Task) insides")
	require.Contains(t, s.lines("root", "/containers/api/logs/"+id), "(Task) insides")
	for _, bad := range []string{"source=nobody", "level=loud", "text=" + strings.Repeat("x", 1001), "last=-1", "last=x"} {
		require.Equal(t, 400, s.as("owner").send("GET", "/containers/api/logs/"+id+"?"+bad, "").status, bad)
	}
	require.Equal(t, 403, s.as("guest").send("GET", path, "").status)
}

func TestALogIsDownloadedInTimeOrder(t *testing.T) {
	s := newSite(t)
	id := s.Running("app")
	at := int64(0)
	const chunks, per = 60, 200
	for i := range chunks {
		lines := make([]state.LogEntry, per)
		for j := range lines { // each chunk comes a little later than what is stored after it
			n := i*per + j
			lines[j] = docker(float64(n)+float64(i%2)*-300, fmt.Sprintf("line <%d>", n))
		}
		at = s.writes(id, at, lines...)
	}
	whole := s.as("owner").send("GET", "/containers/api/logs/"+id+"/download", "")
	require.Equal(t, 200, whole.status)
	require.Equal(t, `attachment; filename="`+id+`.log"`, whole.header.Get("Content-Disposition"))
	require.Equal(t, "text/plain; charset=utf-8", whole.header.Get("Content-Type"))
	require.Equal(t, chunks*per, strings.Count(whole.body, "(Docker) line <"))
	require.Contains(t, whole.body, "(Action) Start")

	answer := s.as("owner").send("GET", "/containers/api/logs/"+id+"/download?format=jsonl&source=docker", "")
	require.Equal(t, 200, answer.status)
	var last time.Time
	seen := make(map[string]bool)
	for in := bufio.NewScanner(strings.NewReader(answer.body)); in.Scan(); {
		var line struct {
			Time                      time.Time
			Level, User, Source, Text string
		}
		require.NoError(t, json.Unmarshal(in.Bytes(), &line), in.Text())
		require.Equal(t, "docker", line.Source)
		require.Equal(t, "info", line.Level)
		require.False(t, line.Time.Before(last), "%s comes after %s", line.Time, last)
		last = line.Time
		seen[line.Text] = true
	}
	require.Len(t, seen, chunks*per)
	require.Contains(t, answer.body, "line <5>", "nothing is escaped that need not be")

	require.Equal(t, 400, s.as("owner").send("GET", "/containers/api/logs/"+id+"/download?format=pdf", "").status)
	require.Equal(t, 403, s.as("guest").send("GET", "/containers/api/logs/"+id+"/download", "").status)
	require.Equal(t, 404, s.as("outsider").send("GET", "/containers/api/logs/"+id+"/download", "").status)
	require.Equal(t, 200, s.by("owner").send(http.MethodHead, "/containers/api/logs/"+id+"/download", "").status)
}
