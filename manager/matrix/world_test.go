package matrix_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
	"kiosc/manager/api"
	"kiosc/manager/figures"
	"kiosc/manager/managertest"
	"kiosc/manager/service"
	"kiosc/webui"
)

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

// world is a Kiosc with its pages and its API.
type world struct {
	*managertest.Site
	manual  manual
	app     *fiber.App
	users   map[string]state.User
	session map[string]who
	token   map[string]who
	places  []*place
	hosts   sync.WaitGroup // goroutines that act for a Docker host
	ctx     context.Context
}

func newWorld(t *testing.T) *world {
	w := &world{Site: managertest.New(t, service.Settings{LocalUsers: true}), manual: readManual(t), users: make(map[string]state.User),
		session: make(map[string]who), token: make(map[string]who), ctx: t.Context()}
	t.Cleanup(w.hosts.Wait)
	w.Service.UseTasks(noTasks{})
	w.Service.UseFigures(noFigures{})
	w.Service.UseCluster(noCluster{})
	w.Service.UseStocks(noStocks{})
	quiet := slog.New(slog.DiscardHandler)
	rest := api.New(w.Service, api.Options{Logger: quiet, SessionCookie: webui.SessionCookie})
	ui, err := webui.New(w.Service, webui.Options{Logger: quiet, Zone: time.UTC, AppHosts: appHosts{}, OpenAPI: rest.Description})
	require.NoError(t, err)
	w.app = managertest.NewApp(rest.ErrorHandler(ui.ErrorHandler))
	rest.Register(w.app)
	ui.Register(w.app)
	w.Serve(w.app, func() {
		ui.Close()
		rest.Close()
	})
	w.fill()
	return w
}

func (w *world) fill() {
	w.Bootstrap()
	for _, name := range people {
		w.users[name] = w.User(name, name == "root")
		w.session[name] = who{name: name, secret: w.Login(w.users[name].ID)}
		w.token[name] = w.newToken(name, state.ScopeAll, "")
	}
	above, upstream := uuid.NewString(), uuid.NewString()
	w.Do(&state.ProjectCreated{Owner: w.users["root"].ID, Project: state.Project{ID: above, Title: "Animals", Type: state.TypeCategory}})
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
	w.Do(&state.GroupRolesSet{User: w.users["grouped"].ID, Roles: grouped})
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
		w.Do(&state.ProjectCreated{Owner: owner, Assignment: uuid.NewString(),
			Project: state.Project{ID: id, Parent: p.above, Title: title, Type: kind, PublicAccess: p.public}})
	}
	for name, role := range ownRoles {
		if role != state.Owner {
			w.assign(id, p.upstream, w.users[name].ID, role)
		}
	}
	if p.archived {
		w.Do(&state.ProjectChanged{ID: id, Archived: new(true), At: time.Now().UTC()})
	}
}

// assign returns the assignment's id.
func (w *world) assign(project string, upstream bool, user string, role state.Role) string {
	id := uuid.NewString()
	if upstream {
		w.take(&state.UpstreamTaken{ID: uuid.NewString(), At: time.Now().UTC(),
			Roles: []state.UpstreamRole{{ID: id, Project: project, User: user, Role: role}}})
	} else {
		w.Do(&state.RoleAssigned{ID: id, Project: project, User: user, Role: role})
	}
	return id
}

func (w *world) takeUpstream(p state.UpstreamProject) {
	w.take(&state.UpstreamTaken{ID: uuid.NewString(), At: time.Now().UTC(), Projects: []state.UpstreamProject{p}})
}

func (w *world) take(c *state.UpstreamTaken) {
	tally, ok := w.Do(c).(state.UpstreamTally)
	require.True(w.T, ok)
	require.Empty(w.T, tally.Skipped)
}

func (w *world) newToken(name string, scope state.Scope, project string) who {
	secret := w.Token(w.users[name].ID, scope, project)
	return who{name: name, secret: secret, token: true, scope: scope, project: project}
}

// actor is somebody as service knows them.
func (w *world) actor(of who) service.Actor {
	a, err := w.Service.BySession(of.secret)
	if of.token {
		a, err = w.Service.ByToken(of.secret)
	}
	require.NoError(w.T, err)
	return a
}

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
