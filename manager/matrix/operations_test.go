package matrix_test

import (
	"context"
	"io"
	"strings"
	"time"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

// operation is one thing that somebody may want to do, by all the ways in which it can be done.
type operation struct {
	name  string
	right auth.Right
	// sees is the right without which the object isn't there; empty for that to find the project.
	sees auth.Right
	// limits is the right that says whether archived and upstream projects and scopes of tokens hinder; empty for right.
	limits auth.Right
	// in are the places where it is tried.
	in kind
	// only are those who try it; nil for all.
	only []string
	// call does it by service. rest and pages do it by a request: METHOD, path, body; {words} stand for objects.
	call        func(c *cell, a service.Actor) error
	rest, pages []string
	// tokens says that the requests of rest take no session.
	tokens bool
	// bulk says that the answer has the outcome in its body.
	bulk bool
}

// kind chooses places.
type kind int

const (
	projects    kind = iota
	ownProjects      // not those from upstream
	both             // projects and categories
	ownBoth          // not those from upstream
	categories       // alone
	once             // anywhere: it is of no project
)

func (k kind) has(p *place) bool {
	switch k {
	case projects:
		return !p.category
	case ownProjects:
		return !p.category && !p.upstream
	case ownBoth:
		return !p.upstream
	case categories:
		return p.category
	case once:
		return p.name == "project"
	}
	return true
}

func act(kind string, action state.Action) func(c *cell, a service.Actor) error {
	return func(c *cell, a service.Actor) error {
		_, err := c.Service.Act(c.ctx, a, c.id(kind), action)
		return err
	}
}

// all are all operations.
func all() (list []operation) {
	for _, some := range [][]operation{containerOperations, registryOperations, templateOperations, projectOperations, memberOperations,
		fileOperations, timelineOperations, siteOperations, remoteOperations} {
		list = append(list, some...)
	}
	return list
}

func spec() state.Spec {
	return state.Spec{Title: title(), Repository: "nginx", Tag: "latest", Port: 80, Timeout: 60, MaxRetries: 5, InactivityDays: 7}
}

const specForm = "title={n}&repository=nginx&tag=latest&container_port=80&timeout=60&max_retries=5&inactivity_threshold=7&pull_policy=missing"

var containerOperations = []operation{
	{name: "list containers", right: auth.ViewContainer,
		call: func(c *cell, a service.Actor) error { _, err := c.Service.Containers(a, c.place.id); return err },
		rest: []string{"GET /containers/api/{project}"}, pages: []string{"GET /containers/{project}"}},
	{name: "see a container", right: auth.ViewContainer, sees: auth.ViewContainer,
		call:  func(c *cell, a service.Actor) error { _, err := c.Service.Container(a, c.id("container")); return err },
		rest:  []string{"GET /containers/api/detail/{container}"},
		pages: []string{"GET /containers/detail/{container}", "GET /containers/ajax/get-dynamic-details/{container}", "GET /containers/ajax/events/{container}"}},
	{name: "see what a container uses", right: auth.ViewContainer, sees: auth.ViewContainer,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.ContainerFigures(c.ctx, a, c.id("container"))
			return err
		},
		rest: []string{"GET /containers/api/stats/{container}"}, pages: []string{"GET /containers/ajax/figures/container/{container}"}},
	{name: "see what a project uses", right: auth.ViewContainer,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.ProjectFigures(c.ctx, a, c.place.id)
			return err
		},
		rest: []string{"GET /containers/api/stats/project/{project}"}, pages: []string{"GET /containers/ajax/figures/project/{project}"}},
	{name: "see a project's quota", right: auth.ViewContainer,
		call: func(c *cell, a service.Actor) error { _, err := c.Service.Quota(a, c.place.id); return err },
		rest: []string{"GET /containers/api/quota/{project}"}},
	{name: "see a log", right: auth.ViewLogs, sees: auth.ViewContainer,
		call: func(c *cell, a service.Actor) error {
			_, _, err := c.Service.Logs(a, c.id("container"), service.LogFilter{}, 10)
			return err
		},
		rest: []string{"GET /containers/api/logs/{container}", "GET /containers/api/logs/{container}/download"}},
	{name: "follow a log", right: auth.ViewLogs, sees: auth.ViewContainer,
		call: func(c *cell, a service.Actor) error {
			_, _, _, err := c.Service.LogsSince(a, c.id("container"), service.LogFilter{}, 0)
			return err
		}},
	{name: "read a whole log", right: auth.ViewLogs, sees: auth.ViewContainer,
		call: func(c *cell, a service.Actor) error {
			return c.Service.WriteLog(io.Discard, a, c.id("container"), service.LogFilter{}, true, time.UTC)
		}},
	{name: "create a container", right: auth.CreateContainer,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.CreateContainer(c.ctx, a, c.place.id, service.ContainerInput{Spec: spec()})
			return err
		},
		rest:  []string{`POST /containers/api/create/{project} {"title":"{n}","repository":"nginx"}`},
		pages: []string{"GET /containers/create/{project}", "POST /containers/create/{project} " + specForm}},
	{name: "change a container", right: auth.EditContainer, sees: auth.ViewContainer,
		call: func(c *cell, a service.Actor) error {
			now, err := c.Service.Container(service.Operator(), c.id("container"))
			if err == nil {
				_, _, err = c.Service.UpdateContainer(c.ctx, a, now.ID, service.ContainerInput{Spec: spec()}, now.ModifiedAt)
			}
			return err
		},
		rest: []string{`PATCH /containers/api/update/{container} {"title":"{n}"}`,
			`PUT /containers/api/update/{container} {"title":"{n}","repository":"nginx"}`},
		pages: []string{"GET /containers/update/{container}", "POST /containers/update/{container} date_modified={modified}&" + specForm}},
	{name: "delete a container", right: auth.DeleteContainer, sees: auth.ViewContainer,
		call: func(c *cell, a service.Actor) error { return c.Service.Delete(c.ctx, a, c.id("doomed")) },
		rest: []string{"DELETE /containers/api/delete/{doomed}"}, pages: []string{"GET /containers/delete/{container}", "POST /containers/delete/{doomed}"}},
	{name: "start", right: auth.StartContainer, sees: auth.ViewContainer, call: act("container", state.Start),
		rest: []string{"POST /containers/api/start/{container}"}, pages: []string{"POST /containers/start/{container}"}},
	{name: "start by GET", right: auth.StartContainer, sees: auth.ViewContainer, tokens: true, rest: []string{"GET /containers/api/start/{container}"}},
	{name: "restart", right: auth.StartContainer, sees: auth.ViewContainer, call: act("running", state.Restart),
		rest: []string{"POST /containers/api/restart/{running}"}, pages: []string{"POST /containers/restart/{running}"}},
	{name: "stop", right: auth.StopContainer, sees: auth.ViewContainer, call: act("running", state.Stop),
		rest: []string{"POST /containers/api/stop/{running}"}, pages: []string{"POST /containers/stop/{running}"}},
	{name: "stop by GET", right: auth.StopContainer, sees: auth.ViewContainer, tokens: true, rest: []string{"GET /containers/api/stop/{running}"}},
	{name: "pause", right: auth.PauseContainer, sees: auth.ViewContainer, call: act("running", state.Pause),
		rest: []string{"POST /containers/api/pause/{running}"}, pages: []string{"POST /containers/pause/{running}"}},
	{name: "unpause", right: auth.UnpauseContainer, sees: auth.ViewContainer, call: act("paused", state.Unpause),
		rest: []string{"POST /containers/api/unpause/{paused}"}, pages: []string{"POST /containers/unpause/{paused}"}},
	{name: "start a selection", right: auth.StartContainer, sees: auth.ViewContainer, call: selected("container", state.Start), bulk: true,
		rest: []string{`POST /containers/api/bulk {"action":"start","containers":["{container}"]}`}},
	{name: "stop a selection", right: auth.StopContainer, sees: auth.ViewContainer, call: selected("running", state.Stop), bulk: true,
		rest: []string{`POST /containers/api/bulk {"action":"stop","containers":["{running}"]}`}},
	{name: "delete a selection", right: auth.DeleteContainer, sees: auth.ViewContainer, call: selected("container", state.Delete), bulk: true,
		rest: []string{`POST /containers/api/bulk {"action":"delete","containers":["{container}"]}`}},
	{name: "start by the lobby", right: auth.ProxyContainer, sees: auth.ViewContainer,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.Open(c.ctx, a, c.id("container"))
			return err
		},
		pages: []string{"GET /containers/proxy/lobby/{container}", "POST /containers/proxy/lobby/{container}"}},
	{name: "open an app", right: auth.ProxyContainer, sees: auth.ViewContainer,
		call: openApp, pages: []string{"GET /containers/proxy/open/{running}?browser=" + strings.Repeat("A", 43)}},
}

func selected(kind string, action state.Action) func(c *cell, a service.Actor) error {
	return func(c *cell, a service.Actor) error {
		outcomes, err := c.Service.ActAll(c.ctx, a, []string{c.id(kind)}, action)
		if err == nil {
			err = outcomes[0].Err
		}
		return err
	}
}

// openApp asks as the proxy does: with the session or the token itself, and at the app's own host with its cookie.
func openApp(c *cell, _ service.Actor) error {
	container := c.id("running")
	if c.who.token {
		_, err := c.Service.OpenApp("", c.who.secret, container)
		return err
	}
	if _, err := c.Service.OpenApp(c.who.secret, "", container); err != nil {
		return err
	}
	code, err := c.Service.AppCode(c.who.secret, container, "browser")
	if err != nil {
		return err
	}
	cookie, _, err := c.Service.UseAppCode(context.Background(), code, container, "browser")
	if err != nil {
		return err
	}
	_, err = c.Service.OpenAppByCookie(cookie, container)
	return err
}
