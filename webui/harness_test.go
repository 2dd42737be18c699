package webui_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/consensus"
	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/incoming"
	"kiosc/manager/service"
	"kiosc/webui"
)

// site is a Kiosc of one node with its pages on a real port. Its project has an owner, a contributor and a guest; an
// outsider has no role, admin is a superuser, and nobody isn't logged in.
type site struct {
	t       *testing.T
	node    *consensus.Node
	ui      *webui.UI
	svc     *service.Service
	addr    string
	uploads string // as addr, of the server for paths below /files/
	project string
	session map[string]string // user name → session secret
	users   map[string]string // user name → user id
	seq     uint64
	tasks   fakeTasks
	cluster fakeCluster
	figures fakeFigures
}

var people = []string{"owner", "contributor", "guest", "outsider", "admin"}

func newSite(t *testing.T) *site { return newSiteWith(t, service.Settings{}) }

func newSiteWith(t *testing.T, settings service.Settings) *site {
	t.Parallel()
	s := &site{t: t, project: uuid.NewString(), session: make(map[string]string), users: make(map[string]string)}
	for _, name := range people {
		s.users[name] = uuid.NewString()
	}
	dir := t.TempDir()
	store, err := state.Open(filepath.Join(dir, "state.db"))
	require.NoError(t, err)
	layer, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	s.node, err = consensus.Open(consensus.Config{Dir: filepath.Join(dir, "raft"), NodeID: "n1", Store: store,
		Layer: loopback{layer}, Logger: quiet, Bootstrap: true})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.node.Close())
		require.NoError(t, store.Close())
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, s.node.WaitLeader(ctx))
	s.fill()
	svc := service.New(s.node, sealer{}, noProgress{}, settings, quiet)
	svc.UseTasks(&s.tasks)
	svc.UseCluster(&s.cluster)
	svc.UseStocks(&s.cluster)
	svc.UseFigures(&s.figures)
	s.svc = svc
	s.ui, err = webui.New(svc, webui.Options{Version: "test", Logger: quiet, Zone: time.UTC})
	require.NoError(t, err)
	s.serve()
	return s
}

func (s *site) serve() {
	app := fiber.New(fiber.Config{DisableStartupMessage: true, ErrorHandler: s.ui.ErrorHandler, BodyLimit: 16 << 20})
	s.ui.Register(app)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	s.addr = listener.Addr().String()
	app.Handler()
	uploads := incoming.Server(app)
	forUploads, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	s.uploads = forUploads.Addr().String()
	done := make(chan error, 2)
	go func() { done <- app.Listener(listener) }()
	go func() { done <- uploads.Serve(forUploads) }()
	s.t.Cleanup(func() {
		s.ui.Close()
		client.CloseIdleConnections()
		require.NoError(s.t, app.ShutdownWithTimeout(5*time.Second))
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		require.NoError(s.t, uploads.ShutdownWithContext(ctx))
		require.NoError(s.t, errors.Join(<-done, <-done))
	})
}

const password = "correct horse"

func (s *site) fill() {
	hash, err := auth.HashPassword(password)
	require.NoError(s.t, err)
	s.propose(&state.ClusterInitialized{Cluster: state.Cluster{ID: uuid.NewString(), CreatedAt: time.Now().UTC()}})
	for _, name := range people {
		s.propose(&state.UserCreated{User: state.User{ID: s.users[name], Name: name, PasswordHash: hash, Active: true, Superuser: name == "admin"}})
		s.session[name] = s.login(name)
	}
	s.propose(&state.ProjectCreated{Owner: s.users["owner"], Project: state.Project{ID: s.project, Title: "Mice",
		Type: state.TypeProject, Description: "About <i>mice</i>"}})
	for user, role := range map[string]state.Role{"contributor": state.Contributor, "guest": state.Guest} {
		s.propose(&state.RoleAssigned{ID: uuid.NewString(), Project: s.project, User: s.users[user], Role: role})
	}
	s.propose(&state.NodeRegistered{Node: state.Node{ID: "n1", Name: "docker-1"}})
}

func (s *site) login(name string) string {
	secret, hash := auth.NewSecret("")
	now := time.Now().UTC()
	s.propose(&state.SessionOpened{Session: state.Session{Hash: hash, User: s.users[name], CreatedAt: now, ExpiresAt: now.Add(time.Hour)}})
	return secret
}

func (s *site) propose(c state.Command) any {
	s.t.Helper()
	v, err := s.node.Propose(context.Background(), c)
	require.NoError(s.t, err)
	return v
}

// container makes one that was never started.
func (s *site) container(title string) string {
	c := state.Container{ID: uuid.NewString(), Project: s.project, Spec: state.Spec{
		Title: title, Repository: "nginx", Tag: "latest", Port: 80, Path: "app/", Timeout: 60, MaxRetries: 5, InactivityDays: 7,
		Environment: []byte(`{"B":"<masked>","A":1}`), SecretKeys: []string{"B"},
	}, CreatedAt: time.Now().UTC()}
	s.propose(&state.ContainerCreated{Container: c, User: "owner"})
	return c.ID
}

func (s *site) read(container string) (c state.Container, ok bool) {
	require.NoError(s.t, s.node.Store().View(func(tx *state.Tx) (err error) {
		c, ok, err = tx.Container(container)
		return err
	}))
	return c, ok
}

// report says that the pending action is over and has led to a state; without one it starts the container.
func (s *site) report(container string, to state.State) {
	s.t.Helper()
	c, _ := s.read(container)
	if !c.Pending() {
		s.propose(&state.ActionRequested{Container: container, Action: state.Start, User: "owner", Time: time.Now().UTC()})
		c, _ = s.read(container)
	}
	s.seq++
	s.propose(&state.ContainerPlaced{Container: container, Generation: c.Generation, Node: "n1"})
	s.propose(&state.ContainerReported{Container: container, Node: "n1", Generation: c.Generation, Seq: c.ReportSeq + s.seq,
		Done: true, State: to, DockerID: "d0c4e7", IP: "172.30.0.2", Time: time.Now().UTC()})
}

// print appends lines to the log of a container that was started.
func (s *site) print(container string, from int64, lines ...string) {
	s.t.Helper()
	at := time.Unix(1_700_000_000, 0).UTC()
	var entries []state.LogEntry
	for _, text := range lines {
		entries = append(entries, state.LogEntry{Time: at, Process: state.ProcessDocker, Text: text})
	}
	chunk, err := state.PackLog(entries)
	require.NoError(s.t, err)
	cursor := func(n int64) state.Cursor { return state.Cursor{Stdout: state.Place{Time: n}} }
	s.propose(&state.LogAppended{Container: container, Node: "n1", DockerID: "d0c4e7", From: cursor(from),
		To: cursor(from + 1), Last: at, Chunk: chunk})
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

var client = &http.Client{
	Timeout:       15 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// send makes a request as a user ("" for nobody). Headers are pairs of name and value.
func (s *site) send(user, method, path string, form url.Values, headers ...string) answer {
	s.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	if form != nil {
		headers = append(headers, "Content-Type", "application/x-www-form-urlencoded")
	}
	return s.sendBody(user, method, path, body, headers...)
}

func (s *site) sendBody(user, method, path string, body io.Reader, headers ...string) answer {
	s.t.Helper()
	addr := s.addr
	if strings.HasPrefix(path, "/files/") {
		addr = s.uploads
	}
	r, err := http.NewRequest(method, "http://"+addr+path, body)
	require.NoError(s.t, err)
	if user != "" {
		r.AddCookie(&http.Cookie{Name: webui.SessionCookie, Value: s.session[user]})
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	got, err := client.Do(r)
	require.NoError(s.t, err)
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	require.NoError(s.t, err)
	return answer{got.StatusCode, got.Header, string(text)}
}

func (s *site) get(user, path string, headers ...string) answer {
	s.t.Helper()
	return s.send(user, http.MethodGet, path, nil, headers...)
}

// post sends a form with the session's token; the form's pairs are names and values.
func (s *site) post(user, path string, pairs ...string) answer {
	s.t.Helper()
	form := url.Values{}
	if user != "" {
		form.Set("csrf_token", auth.CSRFToken(s.session[user]))
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return s.send(user, http.MethodPost, path, form)
}

// loopback lets a Raft node of one talk to itself.
type loopback struct{ net.Listener }

func (l loopback) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(to), timeout)
}

// sealer encrypts with a key that is no secret.
type sealer struct{}

func (sealer) Seal(plain []byte, context string) ([]byte, error) {
	return pki.Seal(make([]byte, 32), plain, context)
}

func (sealer) Open(sealed []byte, context string) ([]byte, error) {
	return pki.Open(make([]byte, 32), sealed, context)
}

type noProgress struct{}

func (noProgress) Progress(string) (string, int) { return "Pulling image <1/2>", 50 }
