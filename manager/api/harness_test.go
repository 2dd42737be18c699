package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/consensus"
	"kiosc/cluster/state"
	"kiosc/manager/api"
	"kiosc/manager/auth"
	"kiosc/manager/incoming"
	"kiosc/manager/service"
)

const (
	cookie = "kiosc_session"
	// fiberLimit is what a manager allows a body.
	fiberLimit = 16 << 20
	patience   = 15 * time.Second
	// atOnce is how many requests a test sends at the same time.
	atOnce = 32
)

// site is a Kiosc of one node with its API on a real port. Its project has an owner, a contributor and a guest; an
// outsider has no role, and root is a superuser.
type site struct {
	t       *testing.T
	api     *api.API
	node    *consensus.Node
	service *service.Service
	addr    string
	uploads string       // as addr, of the server for paths below /files/
	client  *http.Client // of its own, so that it can hang up before the server's shutdown, which waits for that
	project string
	users   map[string]string // user name → user id
	token   map[string]string // user name → API token
	session map[string]string // user name → session secret
}

var people = []string{"owner", "contributor", "guest", "outsider", "root"}

func newSite(t *testing.T) *site {
	t.Parallel()
	s := &site{t: t, project: uuid.NewString(), users: make(map[string]string), token: make(map[string]string),
		session: make(map[string]string)}
	for _, name := range people {
		s.users[name] = uuid.NewString()
	}
	s.open()
	s.fill()
	return s
}

// open starts the node and the API, without a cluster in the state.
func (s *site) open() {
	t := s.t
	file := filepath.Join(t.TempDir(), "state.db")
	store, err := state.Open(file)
	require.NoError(t, err)
	layer, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	quiet := slog.New(slog.DiscardHandler)
	s.node, err = consensus.Open(consensus.Config{Dir: t.TempDir(), NodeID: "n1", Store: store, Layer: loopback{layer},
		Logger: quiet, Bootstrap: true})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.node.Close())
		require.NoError(t, store.Close())
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, s.node.WaitLeader(ctx))
	s.service = service.New(s.node, sealer{}, noProgress{}, service.Settings{}, quiet)
	s.api = api.New(s.service, api.Options{Version: "1.2.3", Logger: quiet, SessionCookie: cookie})
	s.serve()
}

func (s *site) serve() {
	pages := func(c *fiber.Ctx, err error) error { return c.Status(fiber.StatusTeapot).SendString("a page") }
	app := fiber.New(fiber.Config{DisableStartupMessage: true, BodyLimit: fiberLimit, ErrorHandler: s.api.ErrorHandler(pages)})
	s.api.Register(app)
	app.Get("/containers/:project", func(c *fiber.Ctx) error { return c.SendString("the page of " + c.Params("project")) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	s.addr = listener.Addr().String()
	transport := &http.Transport{MaxIdleConnsPerHost: atOnce}
	s.client = &http.Client{Timeout: patience, Transport: transport}
	app.Handler()
	uploads := incoming.Server(app)
	forUploads, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	s.uploads = forUploads.Addr().String()
	done := make(chan error, 2)
	go func() { done <- app.Listener(listener) }()
	go func() { done <- uploads.Serve(forUploads) }()
	s.t.Cleanup(func() {
		s.api.Close()
		transport.CloseIdleConnections()
		require.NoError(s.t, app.ShutdownWithTimeout(patience))
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(s.t, uploads.ShutdownWithContext(ctx))
		require.NoError(s.t, errors.Join(<-done, <-done))
	})
}

func (s *site) fill() {
	s.propose(&state.NodeRegistered{Node: state.Node{ID: "n1", Name: "docker-1", Role: state.AgentNode}})
	s.propose(&state.ClusterInitialized{Cluster: state.Cluster{ID: uuid.NewString(), CreatedAt: time.Now().UTC()}})
	for _, name := range people {
		user := state.User{ID: s.users[name], Name: name, Active: true, Superuser: name == "root"}
		s.propose(&state.UserCreated{User: user})
		token, err := s.service.CreateToken(context.Background(), service.Actor{User: user}, service.TokenInput{Name: "test"})
		require.NoError(s.t, err)
		s.token[name] = token
		secret, hash := auth.NewSecret("")
		now := time.Now().UTC()
		s.propose(&state.SessionOpened{Session: state.Session{Hash: hash, User: user.ID, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}})
		s.session[name] = secret
	}
	s.propose(&state.ProjectCreated{Owner: s.users["owner"], Project: state.Project{ID: s.project, Title: "Mice",
		Type: state.TypeProject, Description: "About <i>mice</i>"}})
	for user, role := range map[string]state.Role{"contributor": state.Contributor, "guest": state.Guest} {
		s.propose(&state.RoleAssigned{ID: uuid.NewString(), Project: s.project, User: s.users[user], Role: role})
	}
}

func (s *site) propose(c state.Command) any {
	s.t.Helper()
	v, err := s.node.Propose(context.Background(), c)
	require.NoError(s.t, err)
	return v
}

// container makes one that was never started.
func (s *site) container(title string) string { return s.containerWith(title, 60) }

// containerWith makes one with a timeout in seconds.
func (s *site) containerWith(title string, timeout int) string {
	s.t.Helper()
	c := state.Container{ID: uuid.NewString(), Project: s.project, Spec: state.Spec{
		Title: title, Repository: "nginx", Tag: "latest", Port: 80, Timeout: timeout, MaxRetries: 5, InactivityDays: 7,
	}, CreatedAt: time.Now().UTC(), ModifiedAt: time.Now().UTC()}
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

// report says for the container's Docker host that the pending action is over and has led to a state.
func (s *site) report(container string, to state.State) {
	s.t.Helper()
	c, _ := s.read(container)
	s.propose(&state.ContainerPlaced{Container: container, Generation: c.Generation, Node: "n1"})
	s.propose(&state.ContainerReported{Container: container, Node: "n1", Generation: c.Generation, Seq: c.ReportSeq + 1,
		Done: true, State: to, DockerID: "d0c4e7", ImageID: "sha256:1234", IP: "172.30.0.2", HostPort: 32768,
		Time: time.Unix(1_700_000_000, 123456789).UTC()})
}

// running makes a container that runs.
func (s *site) running(title string) string { return s.start(s.container(title)) }

// start makes a container run.
func (s *site) start(id string) string {
	s.t.Helper()
	s.propose(&state.ActionRequested{Container: id, Action: state.Start, User: "owner", Time: time.Now().UTC()})
	s.report(id, state.Running)
	return id
}

// count is how many containers the project has.
func (s *site) count() int {
	s.t.Helper()
	var page struct{ Count int }
	s.as("owner").get("/containers/api/"+s.project, &page)
	return page.Count
}

// caller sends requests with somebody's credentials.
type caller struct {
	s      *site
	header http.Header
}

// as calls with the user's API token, by calls with the user's session, and with calls with these headers.
func (s *site) as(user string) caller { return s.with("Authorization", "token "+s.token[user]) }
func (s *site) by(user string) caller { return s.with("Cookie", cookie+"="+s.session[user]) }

func (s *site) with(headers ...string) caller {
	c := caller{s: s, header: make(http.Header)}
	for i := 0; i < len(headers); i += 2 {
		c.header.Add(headers[i], headers[i+1])
	}
	return c
}

func (c caller) and(name, value string) caller {
	c.header = c.header.Clone()
	c.header.Set(name, value)
	return c
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (c caller) send(method, path, body string) answer {
	got, err := c.try(method, path, body)
	require.NoError(c.s.t, err, "%s %s", method, path)
	return got
}

// try is send for other goroutines than the test's.
func (c caller) try(method, path, body string) (answer, error) {
	addr := c.s.addr
	if strings.HasPrefix(path, "/files/") {
		addr = c.s.uploads
	}
	r, err := http.NewRequest(method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header = c.header.Clone()
	if body != "" && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := c.s.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

// get decodes an answer that must be good.
func (c caller) get(path string, into any) {
	c.s.t.Helper()
	got := c.send("GET", path, "")
	require.Equal(c.s.t, 200, got.status, got.body)
	require.NoError(c.s.t, json.Unmarshal([]byte(got.body), into), got.body)
}

// each runs f for 0 to n-1, some at a time, and fails with the first error.
func each(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	var all sync.WaitGroup
	some := make(chan struct{}, atOnce)
	failed := make(chan error, n)
	for i := range n {
		all.Add(1)
		some <- struct{}{}
		go func() {
			defer all.Done()
			if err := f(i); err != nil {
				failed <- fmt.Errorf("%d: %w", i, err)
			}
			<-some
		}()
	}
	all.Wait()
	close(failed)
	require.NoError(t, <-failed)
}

// loopback is Raft's network over plain connections.
type loopback struct{ net.Listener }

func (loopback) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(address), timeout)
}

// sealer keeps no plain text, which is all that the tests ask of it.
type sealer struct{}

func (sealer) Seal(plain []byte, _ string) ([]byte, error) {
	return fmt.Appendf(nil, "%d bytes", len(plain)), nil
}

func (sealer) Open([]byte, string) ([]byte, error) {
	return nil, errors.New("nothing is opened here")
}

type noProgress struct{}

func (noProgress) Progress(string) (string, int) { return "", -1 }

// newPerson makes a user without any role, and calls with the user's API token.
func newPerson(s *site, name string) caller {
	s.t.Helper()
	user := state.User{ID: uuid.NewString(), Name: name, Active: true}
	s.propose(&state.UserCreated{User: user})
	token, err := s.service.CreateToken(context.Background(), service.Actor{User: user}, service.TokenInput{Name: "test"})
	require.NoError(s.t, err)
	return s.with("Authorization", "token "+token)
}
