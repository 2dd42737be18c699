// Package service has every use case of a manager once: look up, authorise, validate, apply. The web UI, the REST API,
// the command line and the proxy all come through here and decide nothing themselves.
//
// It owns the rules of who sees what, and the sealing of secret values before they enter the state. It knows no HTTP, no
// Docker and no agents: a wish for an action is stored, and manager/dispatch carries it out.
//
// What must always hold:
//   - Every exported method that takes an Actor asks manager/auth before it reads or changes anything for it.
//   - An object in a project that the actor has no role in answers as if it didn't exist.
package service

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kiosc/cluster/consensus"
	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/oidc"
)

// Progress tells the momentary step of a container's action, for people who wait.
type Progress interface {
	// Progress returns "" when nothing is known; percent is -1 where it can't be told.
	Progress(container string) (text string, percent int)
}

// Sealer encrypts secret values and gives them back. context binds a value to its place.
type Sealer interface {
	Seal(plain []byte, context string) ([]byte, error)
	Open(sealed []byte, context string) ([]byte, error)
}

// Service is safe for use by many goroutines.
type Service struct {
	node     *consensus.Node
	store    *state.Store
	sealer   Sealer
	progress Progress
	settings Settings
	logger   *slog.Logger
	logins   *prometheus.CounterVec
	searches chan struct{} // one taken for each search of a log
	opened   opened
	attempts auth.Attempts
	failures failures
	uses     uses
	tasks    Tasks
	cluster  Cluster
	stocks   Stocks
	figures  Figures // nil in tests without any
	files    FileSettings
	uploads  *uploads
	answers  chan struct{} // one taken for each answer to a target site

	directories []DirectoryWithRules

	openID      *oidc.Client // nil for none
	openIDRules GroupRules
}

// Settings are what the site decides. They must be the same on all managers. The zero value has the defaults.
type Settings struct {
	// MaxInactivityDays is how many days an app may be unused at most; 0 for DefaultMaxInactivity.
	MaxInactivityDays int
	// ActionMinDelay is how long after a user's action on a container the next one is refused; 0 for no such delay.
	ActionMinDelay time.Duration
	Files          FileSettings
	// DelegateLimit is how many delegates a project may have; 0 for any number.
	DelegateLimit int
	// InviteLife is how long an invite is valid; 0 for DefaultInviteLife.
	InviteLife time.Duration
	// SessionLife is how long a login lasts at most, SessionIdle how long one that isn't used; 0 for the defaults.
	SessionLife, SessionIdle time.Duration
	// KeepTimeline is how long events of the timeline are kept; 0 for always.
	KeepTimeline time.Duration
	// LocalUsers says that the invited may make an account with a password of Kiosc's own, and that users with a password of the
	// upstream site's own are taken over who are here.
	LocalUsers bool
	// Mail sends the links of invites; nil where the site has no mail server.
	Mail     Mailer
	Upstream UpstreamSettings
}

// DefaultInviteLife is SODAR's.
const DefaultInviteLife = 14 * 24 * time.Hour

// New makes a Service on top of this manager's node.
func New(node *consensus.Node, sealer Sealer, progress Progress, settings Settings, logger *slog.Logger) *Service {
	return &Service{node: node, store: node.Store(), sealer: sealer, progress: progress, settings: settings, logger: logger,
		files: settings.Files.OrDefaults(), uploads: newUploads(),
		searches: make(chan struct{}, maxSearches), answers: make(chan struct{}, maxAnswers), logins: newLogins()}
}

// Actor is who asks for something, and how.
type Actor struct {
	User state.User
	// API is set when an API token was used instead of a browser session.
	API bool
	// Console is set for commands over the admin socket.
	Console bool
	// Scope and Project are the limits of the API token; empty for none.
	Scope   state.Scope
	Project string
}

// can tells whether the actor, with this role in the project, has the right there. The project is the zero one for rights
// that are of none.
func (a Actor) can(p state.Project, role state.Role, right auth.Right) bool {
	return a.within(p.ID, right) && auth.Can(a.User, role, right) && a.hindrance(p, right) == nil
}

// within tells whether the limits of the actor's API token let the right through.
func (a Actor) within(project string, right auth.Right) bool {
	return (a.Project == "" || a.Project == project) && auth.InScope(a.Scope, right)
}

var (
	errUpstream = state.Errorf(state.Forbidden, "This project comes from the upstream SODAR site and can only be changed there.")
	errArchived = state.Errorf(state.Forbidden, "This project is archived. An owner or delegate can take it out of the archive.")
	errScope    = state.Errorf(state.Forbidden, "The scope of this API token does not allow this. Make one with a wider scope.")
	errRole     = state.Errorf(state.Forbidden, "Your role in this project does not allow this. Ask an owner of the project.")
)

// canSite tells whether the actor has a right that is not of a project.
func (a Actor) canSite(right auth.Right) bool {
	return a.within("", right) && auth.Can(a.User, "", right)
}

// hindrance is what keeps even those with the right from using it.
func (a Actor) hindrance(p state.Project, right auth.Right) error {
	switch {
	case p.Upstream && auth.UpstreamDecides(right):
		return errUpstream
	case p.Archived && !a.User.Superuser && auth.Changes(right):
		return errArchived
	}
	return nil
}

// via is what the log says behind an action that didn't come from a page.
func (a Actor) via() string {
	switch {
	case a.Console:
		return "[console]"
	case a.API:
		return "[API]"
	}
	return ""
}

// now is when a command was made, in UTC and without what can't be encoded.
func now() time.Time { return time.Now().UTC().Round(0) }

var errNoProject = state.Errorf(state.NotFound, "There is no such project, or you have no access to it.")

var errNoContainer = state.Errorf(state.NotFound, "There is no such container, or you have no access to it.")

// may is the function of this name, asked of the present state.
func (s *Service) may(a Actor, project string, right auth.Right) error {
	return s.store.View(func(tx *state.Tx) error { return may(tx, a, project, right) })
}

// may refuses with NotFound where the actor can't know of the project at all, with Forbidden where only the right is
// missing.
func may(tx *state.Tx, a Actor, project string, right auth.Right) error {
	p, known, err := tx.Project(project)
	if err != nil {
		return err
	}
	role, err := tx.RoleOf(project, a.User.ID)
	switch {
	case err != nil:
		return err
	case !known || !a.can(p, role, auth.FindProject):
		return errNoProject
	case a.can(p, role, right):
		return nil
	case !auth.Can(a.User, role, right):
		return errRole
	case !a.within(p.ID, right):
		return errScope
	}
	return a.hindrance(p, right)
}

// viewAll is a view of each thing in a list.
func viewAll[T, V any](list []T, view func(T) (V, error)) (views []V, err error) {
	for _, one := range list {
		v, err := view(one)
		if err != nil {
			return nil, err
		}
		views = append(views, v)
	}
	return views, nil
}

// container looks up a container for an actor with a right.
func (s *Service) container(a Actor, id string, right auth.Right) (c state.Container, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		c, err = containerFor(tx, a, id, right)
		return err
	})
	return c, err
}

func containerFor(tx *state.Tx, a Actor, id string, right auth.Right) (state.Container, error) {
	c, ok, err := tx.Container(id)
	if err != nil {
		return c, err
	}
	if !ok {
		return c, errNoContainer
	}
	err = may(tx, a, c.Project, right)
	if err != nil && may(tx, a, c.Project, auth.ViewContainer) != nil {
		err = errNoContainer
	}
	return c, err
}

// propose makes a command part of the state and returns its value as a T.
func propose[T any](ctx context.Context, s *Service, c state.Command) (v T, err error) {
	got, err := s.node.Propose(ctx, c)
	if err != nil {
		return v, err
	}
	v, _ = got.(T)
	return v, nil
}

// staleAfter is how long a manager may be without a leader before it says so. An election takes less.
const staleAfter = 3 * time.Second

// Stale tells whether this manager is in touch with no leader: what it shows may be out of date, and it can change
// nothing.
func (s *Service) Stale() bool { return s.node.LeaderlessFor() > staleAfter }

// StaleHeader marks the answers of a manager that is in touch with no leader.
const StaleHeader = "Kiosc-Stale"

// Ready tells whether this node can serve: it has caught up with the cluster's state and knows a leader.
func (s *Service) Ready(ctx context.Context) bool {
	if !s.node.CaughtUp() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return s.node.WaitLeader(ctx) == nil
}
