package service

import (
	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// App is where the proxy finds a running app, and for whom it is opened.
type App struct {
	Container, DockerID, Node string
	Port                      int
	Title                     string
	User                      string // user name
}

// OpenApp decides for one request to an app, from the local state alone. An API token that is shown goes before the
// session. The error has code Conflict when the container doesn't run.
func (s *Service) OpenApp(session, token, container string) (App, error) {
	var a Actor
	var err error
	if token != "" {
		a, err = s.ByToken(token)
	} else {
		a, err = s.BySession(session)
	}
	if err != nil {
		return App{}, err
	}
	c, err := s.container(a, container, auth.ProxyContainer)
	if err != nil {
		return App{}, err
	}
	if c.State != state.Running || c.DockerID == "" || c.Pending() {
		return App{}, state.Errorf(state.Conflict, "The container is not running.")
	}
	return App{Container: c.ID, DockerID: c.DockerID, Node: c.Node, Port: c.Port, Title: c.Title, User: a.User.Name}, nil
}
