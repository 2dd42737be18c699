package service

import (
	"context"

	"github.com/google/uuid"

	"kiosc/cluster/state"
)

// Parts of Kiosc, as the timeline names them.
const (
	appProjects   = "projectroles"
	appContainers = "containers"
	appUsers      = "userprofile"
	appTokens     = "tokens"
	appTemplates  = "containertemplates"
)

// event begins an event of something that an actor does.
func event(a Actor, app, project, name, description string, objects ...state.EventObject) state.Event {
	return state.Event{ID: uuid.NewString(), Time: now(), User: a.User.Name, Via: a.via(), Project: project, App: app, Name: name,
		Description: description, Objects: objects, Status: state.EventOK}
}

// projectEvent is an event of a project, which its description names {project}.
func projectEvent(a Actor, p state.Project, name, description string, objects ...state.EventObject) state.Event {
	objects = append([]state.EventObject{{Label: "project", Name: p.Title, Model: "Project", ID: p.ID}}, objects...)
	return event(a, appProjects, p.ID, name, description, objects...)
}

// userObject is a user in an event, which its description names {user}.
func userObject(u state.User) state.EventObject {
	return state.EventObject{Label: "user", Name: u.Name, Model: "User", ID: u.ID}
}

// act makes a command part of the state together with an event that tells of it, and returns its value as a T.
func act[T any](ctx context.Context, s *Service, c state.Command, e state.Event) (v T, err error) {
	recorded, err := state.Record(e, c)
	if err != nil {
		return v, err
	}
	return propose[T](ctx, s, recorded)
}
