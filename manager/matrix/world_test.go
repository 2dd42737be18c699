package matrix_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/consensus"
	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/cluster/wire"
	"kiosc/manager/api"
	"kiosc/manager/auth"
	"kiosc/manager/figures"
	"kiosc/manager/incoming"
	"kiosc/manager/service"
	"kiosc/webui"
)

const patience = 60 * time.Second

// people have a role in each project: finder and inherited from the category above, grouped by a group of a directory, nobody
// none, and root is a superuser. The others have what they are called by a role of their own.
var people = []string{"owner", "delegate", "contributor", "guest", "viewer", "finder", "inherited", "grouped", "nobody", "root"}

var ownRoles = map[string]state.Role{"owner": state.Owner, "delegate": state.Delegate, "contributor": state.Contributor,
	"guest": state.Guest, "viewer": state.Viewer}

var otherRoles = map[string]state.Role{"finder": state.Finder, "inherited": state.Contributor, "grouped": state.Contributor}

// place is a project or category in which operations are tried.
type place struct {
	name, id, above    string
	category           bool
	archived, upstream bool
	public             state.Role // what everybody is in it
}

// role is what somebody is in the place, as the manual says: the highest of what they have.
func (p *place) role(name string) state.Role {
	return ownRoles[name].Best(otherRoles[name]).Best(p.public)
}

// who does something: somebody with a session, or with an API token of a scope, perhaps for one project.
type who struct {
	name, secret string
	token        bool
	scope        state.Scope
	project      string
}

// world is a Kiosc of one node with its pages and its API on real ports.
type world struct {
	t       *testing.T
	manual  manual
	node    *consensus.Node
	service *service.Service
	app     *fiber.App
	addr    string
	uploads string // as addr, of the server for paths below /files/
	users   map[string]state.User
	session map[string]who
	token   map[string]who
	places  []*place
	hosts   sync.WaitGroup // goroutines that act for a Docker host
	ctx     context.Context
}

const dockerHost = "6c1f3a52-7d1c-4d1f-9a53-0d7a8d1f7b11"

func newWorld(t *testing.T) *world {
	w := &world{t: t, manual: readManual(t), users: make(map[string]state.User), session: make(map[string]who), token: make(map[string]who)}
	ctx, cancel := context.WithCancel(context.Background())
	w.ctx = ctx
	dir := t.TempDir()
	store, err := state.Open(filepath.Join(dir, "state.db"))
	require.NoError(t, err)
	layer, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	quiet := slog.New(slog.DiscardHandler)
	w.node, err = consensus.Open(consensus.Config{Dir: filepath.Join(dir, "raft"), NodeID: "n1", Store: store, Layer: loopback{layer},
		Logger: quiet, Bootstrap: true})
	require.NoError(t, err)
	t.Cleanup(func() {
		cancel()
		w.hosts.Wait()
		require.NoError(t, w.node.Close())
		require.NoError(t, store.Close())
	})
	wait, done := context.WithTimeout(ctx, patience)
	defer done()
	require.NoError(t, w.node.WaitLeader(wait))
	w.service = service.New(w.node, sealer{}, noProgress{}, service.Settings{LocalUsers: true}, quiet)
	w.service.UseTasks(noTasks{})
	w.service.UseFigures(noFigures{})
	w.service.UseCluster(noCluster{})
	w.service.UseStocks(noStocks{})
	w.serve(quiet)
	w.fill()
	return w
}

func (w *world) serve(quiet *slog.Logger) {
	rest := api.New(w.service, api.Options{Logger: quiet, SessionCookie: webui.SessionCookie})
	ui, err := webui.New(w.service, webui.Options{Logger: quiet, Zone: time.UTC, AppHosts: appHosts{}, OpenAPI: rest.Description})
	require.NoError(w.t, err)
	w.app = fiber.New(fiber.Config{DisableStartupMessage: true, BodyLimit: 16 << 20, Immutable: true,
		ErrorHandler: rest.ErrorHandler(ui.ErrorHandler)})
	rest.Register(w.app)
	ui.Register(w.app)
	w.app.Handler()
	uploads := incoming.Server(w.app)
	for _, one := range []struct {
		addr  *string
		serve func(net.Listener) error
	}{{&w.addr, w.app.Listener}, {&w.uploads, uploads.Serve}} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(w.t, err)
		*one.addr = listener.Addr().String()
		w.hosts.Add(1)
		go func() {
			defer w.hosts.Done()
			if err := one.serve(listener); err != nil {
				w.t.Error(err)
			}
		}()
	}
	w.t.Cleanup(func() {
		ui.Close()
		rest.Close()
		client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(w.t, errors.Join(w.app.ShutdownWithContext(ctx), uploads.ShutdownWithContext(ctx)))
	})
}

var client = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 16},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (w *world) propose(c state.Command) any {
	w.t.Helper()
	v, err := w.node.Propose(w.ctx, c)
	require.NoError(w.t, err, "%T", c)
	return v
}

func (w *world) user(name string, superuser bool) state.User {
	u := state.User{ID: uuid.NewString(), Name: name, Active: true, Superuser: superuser}
	w.propose(&state.UserCreated{User: u})
	return u
}

func (w *world) fill() {
	w.propose(&state.ClusterInitialized{Cluster: state.Cluster{ID: uuid.NewString(), CreatedAt: time.Now().UTC()}})
	w.propose(&state.NodeRegistered{Node: state.Node{ID: dockerHost, Name: "docker-1", Role: state.AgentNode}})
	for _, name := range people {
		w.users[name] = w.user(name, name == "root")
		secret, hash := auth.NewSecret("")
		now := time.Now().UTC()
		w.propose(&state.SessionOpened{Session: state.Session{Hash: hash, User: w.users[name].ID, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}})
		w.session[name] = who{name: name, secret: secret}
		w.token[name] = w.newToken(name, state.ScopeAll, "")
	}
	above, upstream := uuid.NewString(), uuid.NewString()
	w.propose(&state.ProjectCreated{Owner: w.users["root"].ID, Project: state.Project{ID: above, Title: "Animals", Type: state.TypeCategory}})
	w.takeUpstream(state.UpstreamProject{ID: upstream, Title: "Plants", Type: state.TypeCategory, Owner: w.users["root"].ID})
	w.places = []*place{
		{name: "project", above: above}, {name: "archived project", above: above, archived: true},
		{name: "public project", above: above, public: state.Guest}, {name: "upstream project", above: upstream, upstream: true},
		{name: "category", above: above, category: true}, {name: "upstream category", above: upstream, category: true, upstream: true},
	}
	for _, category := range []string{above, upstream} {
		for _, name := range []string{"finder", "inherited"} {
			w.assign(category, category == upstream, w.users[name].ID, otherRoles[name])
		}
	}
	var grouped []state.GroupRole
	for _, p := range w.places {
		p.id = uuid.NewString()
		w.make(p, p.id)
		grouped = append(grouped, state.GroupRole{Project: p.id, Role: otherRoles["grouped"]})
	}
	w.propose(&state.GroupRolesSet{User: w.users["grouped"].ID, Roles: grouped})
}

// make makes a project or category like a place, with everybody's own roles.
func (w *world) make(p *place, id string) {
	kind := state.TypeProject
	if p.category {
		kind = state.TypeCategory
	}
	title, owner := p.name+" "+id[:8], w.users["owner"].ID
	if p.upstream {
		w.takeUpstream(state.UpstreamProject{ID: id, Parent: p.above, Title: title, Type: kind, Owner: owner, Assignment: uuid.NewString()})
	} else {
		w.propose(&state.ProjectCreated{Owner: owner, Assignment: uuid.NewString(),
			Project: state.Project{ID: id, Parent: p.above, Title: title, Type: kind, PublicAccess: p.public}})
	}
	for name, role := range ownRoles {
		if role != state.Owner {
			w.assign(id, p.upstream, w.users[name].ID, role)
		}
	}
	if p.archived {
		w.propose(&state.ProjectChanged{ID: id, Archived: new(true), At: time.Now().UTC()})
	}
}

// assign returns the assignment's id.
func (w *world) assign(project string, upstream bool, user string, role state.Role) string {
	id := uuid.NewString()
	if upstream {
		w.take(&state.UpstreamTaken{ID: uuid.NewString(), At: time.Now().UTC(),
			Roles: []state.UpstreamRole{{ID: id, Project: project, User: user, Role: role}}})
	} else {
		w.propose(&state.RoleAssigned{ID: id, Project: project, User: user, Role: role})
	}
	return id
}

func (w *world) takeUpstream(p state.UpstreamProject) {
	w.take(&state.UpstreamTaken{ID: uuid.NewString(), At: time.Now().UTC(), Projects: []state.UpstreamProject{p}})
}

func (w *world) take(c *state.UpstreamTaken) {
	tally, ok := w.propose(c).(state.UpstreamTally)
	require.True(w.t, ok)
	require.Empty(w.t, tally.Skipped)
}

func (w *world) newToken(name string, scope state.Scope, project string) who {
	secret, hash := auth.NewSecret(auth.TokenPrefix)
	w.propose(&state.TokenCreated{Token: state.Token{ID: uuid.NewString(), Hash: hash, User: w.users[name].ID, Name: "test",
		CreatedAt: time.Now().UTC(), Scope: scope, Project: project}})
	return who{name: name, secret: secret, token: true, scope: scope, project: project}
}

// actor is somebody as service knows them.
func (w *world) actor(of who) service.Actor {
	a, err := w.service.BySession(of.secret)
	if of.token {
		a, err = w.service.ByToken(of.secret)
	}
	require.NoError(w.t, err)
	return a
}

// loopback lets a Raft node of one talk to itself.
type loopback struct{ net.Listener }

func (loopback) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
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

func (noProgress) Progress(string) (string, int) { return "", -1 }

type noTasks struct{}

func (noTasks) Tasks(context.Context) ([]service.TaskStatus, error) { return nil, nil }
func (noTasks) RunNow(context.Context, string, string) (service.TaskStatus, error) {
	return service.TaskStatus{}, nil
}

type noCluster struct{}

func (noCluster) Cluster() (service.ClusterStatus, error) { return service.ClusterStatus{}, nil }
func (noCluster) Drain(context.Context, string, time.Duration, bool) (service.NodeStatus, error) {
	return service.NodeStatus{}, nil
}
func (noCluster) Activate(context.Context, string) (service.NodeStatus, error) {
	return service.NodeStatus{}, nil
}

type noFigures struct{}

func (noFigures) Report(context.Context, figures.Of) (figures.Report, error) {
	return figures.Report{}, nil
}

type noStocks struct{}

func (noStocks) Stock(context.Context, string, bool) (*wire.Stock, error) { return &wire.Stock{}, nil }

func (noStocks) RemoveStock(context.Context, string, *wire.RemoveStock, func(wire.StockRemoved)) error {
	return nil
}

// appHosts are those of apps that nobody opens here.
type appHosts struct{}

func (appHosts) HandOverURL(container, code, next string) string {
	return "http://" + container + ".apps.example.org" + next + "#" + code
}

func (appHosts) Sources() string { return "http://*.apps.example.org" }
