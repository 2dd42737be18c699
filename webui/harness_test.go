package webui_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/managertest"
	"kiosc/manager/service"
	"kiosc/webui"
)

const password = managertest.Password

// site is a Kiosc with its pages.
type site struct {
	*managertest.Site
	ui      *webui.UI
	tasks   fakeTasks
	cluster fakeCluster
	figures fakeFigures
}

func newSite(t *testing.T) *site { return newSiteWith(t, service.Settings{}) }

func newSiteWith(t *testing.T, settings service.Settings) *site {
	t.Parallel()
	s := &site{Site: managertest.New(t, settings)}
	s.Fill()
	s.Service.UseTasks(&s.tasks)
	s.Service.UseCluster(&s.cluster)
	s.Service.UseStocks(&s.cluster)
	s.Service.UseFigures(&s.figures)
	var err error
	s.ui, err = webui.New(s.Service, webui.Options{Version: "test", Logger: slog.New(slog.DiscardHandler), Zone: time.UTC})
	require.NoError(t, err)
	app := managertest.NewApp(s.ui.ErrorHandler)
	s.ui.Register(app)
	s.Serve(app, s.ui.Close)
	return s
}

// print appends lines to the log of a container that was started.
func (s *site) print(container string, from int64, lines ...string) {
	s.T.Helper()
	at := time.Unix(1_700_000_000, 0).UTC()
	var entries []state.LogEntry
	for _, text := range lines {
		entries = append(entries, state.LogEntry{Time: at, Process: state.ProcessDocker, Text: text})
	}
	chunk, err := state.PackLog(entries)
	require.NoError(s.T, err)
	cursor := func(n int64) state.Cursor { return state.Cursor{Stdout: state.Place{Time: n}} }
	s.Do(&state.LogAppended{Container: container, Node: managertest.Host, DockerID: managertest.DockerID, From: cursor(from),
		To: cursor(from + 1), Last: at, Chunk: chunk})
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// send makes a request as a user ("" for nobody). Headers are pairs of name and value.
func (s *site) send(user, method, path string, form url.Values, headers ...string) answer {
	s.T.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
		headers = append(headers, "Content-Type", "application/x-www-form-urlencoded")
	}
	return s.sendBody(user, method, path, body, headers...)
}

func (s *site) sendBody(user, method, path string, body io.Reader, headers ...string) answer {
	s.T.Helper()
	header := make(http.Header)
	if user != "" {
		header.Set("Cookie", webui.SessionCookie+"="+s.Sessions[user])
	}
	for i := 0; i+1 < len(headers); i += 2 {
		header.Add(headers[i], headers[i+1])
	}
	got, text, err := s.Send(method, path, body, header)
	require.NoError(s.T, err)
	return answer{got.StatusCode, got.Header, text}
}

func (s *site) get(user, path string, headers ...string) answer {
	s.T.Helper()
	return s.send(user, http.MethodGet, path, nil, headers...)
}

// post sends a form with the session's token; the form's pairs are names and values.
func (s *site) post(user, path string, pairs ...string) answer {
	s.T.Helper()
	form := url.Values{}
	if user != "" {
		form.Set("csrf_token", auth.CSRFToken(s.Sessions[user]))
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return s.send(user, http.MethodPost, path, form)
}
