package service

import (
	"sync"
	"time"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// App is where the proxy finds a running app, and for whom it is opened.
type App struct {
	Container, DockerID, Node string
	Port                      int
	Title                     string
	User                      string // user name
	KeepPrefix                bool   // as in state.Container
}

// OpenApp decides for one request to an app, from the local state alone. An API token that is shown goes before the
// session. The error has code Conflict when the container doesn't run.
func (s *Service) OpenApp(session, token, container string) (App, error) {
	if token != "" {
		return s.openApp(visit{string(hashOf(token)), true, container})
	}
	return s.openApp(visit{string(hashOf(session)), false, container})
}

func (s *Service) openApp(v visit) (App, error) {
	index := s.store.AppliedIndex() // before the state is read, which may be newer
	if app, ok := s.opened.get(v, index); ok {
		return app, nil
	}
	app, until, err := s.decide(v)
	if err == nil {
		s.opened.put(v, index, app, until)
	}
	return app, err
}

// decide also returns until when that is so if the state doesn't change, or the zero time for always.
func (s *Service) decide(v visit) (app App, until time.Time, err error) {
	a, until, err := s.actor([]byte(v.hash), v.api)
	if err != nil {
		return app, until, err
	}
	c, err := s.container(a, v.container, auth.ProxyContainer)
	if err != nil {
		return app, until, err
	}
	if c.State != state.Running || c.DockerID == "" || c.Pending() {
		return app, until, state.Errorf(state.Conflict, "The container is not running.")
	}
	return App{Container: c.ID, DockerID: c.DockerID, Node: c.Node, Port: c.Port, Title: c.Title, User: a.User.Name,
		KeepPrefix: c.KeepPrefix}, until, nil
}

// visit is what is decided about.
type visit struct {
	hash      string // of the session, or of the API token
	api       bool
	container string
}

// maxOpened bounds the decisions that are kept. Others are made anew for each request.
const maxOpened = 10_000

// opened keeps what OpenApp has allowed for as long as the state doesn't change at all, so that the many requests of one
// page are decided once. Refusals are not kept.
type opened struct {
	mu    sync.Mutex
	index uint64 // of the state in which all were made
	apps  map[visit]openedApp
}

type openedApp struct {
	App
	until time.Time
}

func (o *opened) get(v visit, index uint64) (App, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.index != index {
		return App{}, false
	}
	app, ok := o.apps[v]
	return app.App, ok && (app.until.IsZero() || app.until.After(time.Now()))
}

func (o *opened) put(v visit, index uint64, app App, until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if index < o.index {
		return
	}
	if index > o.index || o.apps == nil {
		o.index, o.apps = index, make(map[visit]openedApp)
	}
	if len(o.apps) < maxOpened {
		o.apps[v] = openedApp{app, until}
	}
}
