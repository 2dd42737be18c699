package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/figures"
	"kiosc/manager/service"
)

var containerMedia = media{"application/vnd.bihealth.kiosc-server.containers+json", []string{"1.0"}}

// registerContainers adds the containers' routes. A uuid in the address is part of the route, so that everything else
// is an unknown address, and none of it is left over for the pages' /containers/:project.
func (a *API) registerContainers(app *fiber.App) {
	api := app.Group("/containers/api")
	a.route(api, "/detail/:container<guid>", containerMedia, reading(a.showContainer)).
		get(about{summary: "Show a container", right: auth.ViewContainer, out: containerJSON{}})
	a.route(api, "/logs/:container<guid>", containerMedia, reading(a.showLog)).
		get(about{summary: "Read a part of a container's log", right: auth.ViewLogs, out: logPage{}, query: append([]query{
			{"after", "integer", "the place after which to begin; next of the part before"}, {"last", "integer", "so many of the last lines instead"}}, logQueries...)})
	a.route(api, "/logs/:container<guid>/download", anyMedia, reading(a.downloadLog)).
		get(about{summary: "Download a container's whole log", right: auth.ViewLogs, text: "text/plain",
			query: append([]query{{"format", "string", "text, or jsonl for a JSON object each line"}}, logQueries...)})
	a.route(api, "/stats/:container<guid>", containerMedia, reading(a.showFigures)).
		get(about{summary: "Show what a container uses", right: auth.ViewContainer, out: figures.Report{}})
	a.route(api, "/stats/project/:project<guid>", containerMedia, reading(a.showProjectFigures)).
		get(about{summary: "Show what the containers of a project use", right: auth.ViewContainer, out: figures.Report{}})
	a.route(api, "/stats/node/:node<guid>", containerMedia, reading(a.showNodeFigures)).
		get(about{summary: "Show what the containers of a Docker host use", right: auth.Administer, out: figures.Report{}})
	a.route(api, "/create/:project<guid>", containerMedia, methods{fiber.MethodPost: a.createContainer}).
		post(about{summary: "Create a container", right: auth.CreateContainer, in: specJSON{}, needs: []string{"title", "repository"},
			out: containerJSON{}, status: fiber.StatusCreated})
	a.route(api, "/update/:container<guid>", containerMedia,
		methods{fiber.MethodPut: a.updateContainer, fiber.MethodPatch: a.updateContainer}).
		put(about{summary: "Give a container a new definition; what is left out gets its default", right: auth.EditContainer, in: specChange{},
			needs: []string{"title", "repository"}, out: containerJSON{}}).
		patch(about{summary: "Change a container", right: auth.EditContainer, in: specChange{}, out: containerJSON{}})
	a.route(api, "/registries/:project<guid>", containerMedia, methods{fiber.MethodGet: a.listRegistries, fiber.MethodHead: a.listRegistries,
		fiber.MethodPost: a.setRegistry}).
		get(about{summary: "List a project's logins for registries", right: auth.ManageCredentials, out: []registryJSON{}}).
		post(about{summary: "Set a project's login for a registry", right: auth.ManageCredentials, in: registryInput{},
			needs: []string{"host", "user", "password"}, out: registryJSON{}})
	a.route(api, "/registries/:project<guid>/:host", containerMedia, methods{fiber.MethodDelete: a.removeRegistry}).
		del(about{summary: "Remove a project's login for a registry", right: auth.ManageCredentials, status: fiber.StatusNoContent})
	a.route(api, "/delete/:container<guid>", containerMedia, methods{fiber.MethodDelete: a.deleteContainer}).
		del(about{summary: "Delete a container, and wait until it is gone", right: auth.DeleteContainer, status: fiber.StatusNoContent,
			also: map[int]string{fiber.StatusAccepted: "It takes longer, and goes on", fiber.StatusBadRequest: "Docker could not remove it"}})
	// The original starts and stops by GET, and its clients do. HEAD is left out: nobody expects it to do anything.
	a.route(api, "/start/:container<guid>", containerMedia,
		methods{fiber.MethodGet: tokenOnly(a.startContainer), fiber.MethodPost: a.startContainer}).
		get(about{summary: "Start a container; by API token only", right: auth.StartContainer, out: messageJSON{}}).
		post(about{summary: "Start a container", right: auth.StartContainer, out: messageJSON{}})
	a.route(api, "/stop/:container<guid>", containerMedia,
		methods{fiber.MethodGet: tokenOnly(a.stopContainer), fiber.MethodPost: a.stopContainer}).
		get(about{summary: "Stop a container; by API token only", right: auth.StopContainer, out: messageJSON{}}).
		post(about{summary: "Stop a container", right: auth.StopContainer, out: messageJSON{}})
	for action, submitted := range submittedTexts {
		a.route(api, "/"+string(action)+"/:container<guid>", containerMedia, methods{fiber.MethodPost: a.acting(action, submitted)}).
			post(about{summary: capital(string(action)) + " a container", right: auth.RightFor(action), out: messageJSON{}})
	}
	a.route(api, "/bulk", containerMedia, methods{fiber.MethodPost: a.actOnSelection}).
		post(about{summary: "Do something with several containers; the answer says for each what came of it", in: bulkInput{},
			needs: []string{"action", "containers"}, out: bulkJSON{}})
	a.registerQuotas(api)
	a.registerImageAllowList(api)
	a.registerDocker(api)
	a.route(api, "/:project<guid>", containerMedia, reading(a.listContainers)).
		get(about{summary: "List the containers of a project", right: auth.ViewContainer, query: []query{pageQuery}, out: page[containerJSON]{}})
	api.All("/*", notFound)
}

// specChange is what a request may change of a container or template.
type specChange struct {
	specJSON
	// DateModified is the one that the change is based on, which then must still hold.
	DateModified string `json:"date_modified"`
}

// containerJSON is a container in the original's form.
type containerJSON struct {
	UUID             string  `json:"sodar_uuid"`
	DateCreated      string  `json:"date_created"`
	DateModified     string  `json:"date_modified"`
	DateStatusUpdate *string `json:"date_last_status_update"`
	Project          string  `json:"project"`
	ImageID          *string `json:"image_id"`
	ContainerID      *string `json:"container_id"`
	ContainerIP      *string `json:"container_ip"`
	HostPort         *int    `json:"host_port"`
	State            string  `json:"state"`
	// Answering is null where there is no heartbeat URL, and while the container doesn't run. Retries counts how often Kiosc
	// has repeated the last action by itself. The original has neither.
	Answering *bool `json:"answering"`
	Retries   int   `json:"retries"`
	// The original has numbers of its database here.
	TemplateSite    *string `json:"containertemplatesite"`
	TemplateProject *string `json:"containertemplateproject"`
	specJSON
}

// asJSON is a container as an actor sees it: with its template only where the actor may see that.
func asJSON(v service.ContainerView) containerJSON {
	c := v.Container
	out := containerJSON{
		UUID: c.ID, DateCreated: dateText(c.CreatedAt), DateModified: dateText(c.ModifiedAt), Project: c.Project,
		ImageID: orNull(c.ImageID), ContainerID: orNull(c.DockerID), ContainerIP: orNull(c.IP), State: string(c.State), Retries: c.Retries, specJSON: specOf(&c.Spec),
	}
	if !c.StatusAt.IsZero() {
		out.DateStatusUpdate = orNull(dateText(c.StatusAt))
	}
	if c.HostPort != 0 {
		out.HostPort = &c.HostPort
	}
	if c.HeartbeatURL != "" && c.State == state.Running {
		out.Answering = new(!c.Silent)
	}
	if t := v.From; t != nil && t.Project == "" {
		out.TemplateSite = &t.ID
	} else if t != nil {
		out.TemplateProject = &t.ID
	}
	return out
}

func dateText(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000000Z") }

func (a *API) listContainers(c *fiber.Ctx, actor service.Actor) error {
	project := id(c, "project")
	views, err := a.containers(actor, project)
	if err != nil {
		return err
	}
	return paged(c, views, func(v service.ContainerView) (containerJSON, error) { return asJSON(v), nil })
}

// containers tells a project without containers from none at all, which to a superuser look alike in the list.
func (a *API) containers(actor service.Actor, project string) ([]service.ContainerView, error) {
	views, err := a.service.Containers(actor, project)
	if err == nil && len(views) == 0 {
		_, err = a.service.Project(actor, project)
	}
	return views, err
}

func (a *API) showContainer(c *fiber.Ctx, actor service.Actor) error {
	return a.sendContainer(c, actor, id(c, "container"), fiber.StatusOK)
}

func (a *API) sendContainer(c *fiber.Ctx, actor service.Actor, id string, status int) error {
	view, err := a.service.Container(actor, id)
	if err != nil {
		return err
	}
	return render(c, status, asJSON(view))
}

// template is the id of the template that a container's definition came from, as the request says in either field; without
// one it is the one before. It is a link only: the fields are the request's.
func (in *input) template(before string) string {
	for _, field := range []string{"containertemplatesite", "containertemplateproject"} {
		if _, given := in.raw[field]; !given {
			continue
		}
		if given := in.nullableText(field); given != "" {
			return strings.ToLower(given)
		}
	}
	return before
}

func (a *API) createContainer(c *fiber.Ctx, actor service.Actor) error {
	in, err := decode(c)
	if err != nil {
		return err
	}
	in.require("title", "repository")
	spec := in.spec(a.service.NewSpec())
	if err := in.err(); err != nil {
		return err
	}
	made, err := a.service.CreateContainer(c.UserContext(), actor, id(c, "project"), service.ContainerInput{Spec: spec, Template: in.template("")})
	if err != nil {
		return err
	}
	return a.sendContainer(c, actor, made.ID, fiber.StatusCreated)
}

func (a *API) updateContainer(c *fiber.Ctx, actor service.Actor) error {
	container := id(c, "container")
	in, err := decode(c)
	if err != nil {
		return err
	}
	view, err := a.service.Container(actor, container)
	if err != nil {
		return err
	}
	spec, seen, err := a.changed(c, in, view.Spec, view.ModifiedAt, "title", "repository")
	if err != nil {
		return err
	}
	updated, _, err := a.service.UpdateContainer(c.UserContext(), actor, container,
		service.ContainerInput{Spec: spec, Template: in.template(view.Template)}, seen)
	if err != nil {
		return err
	}
	return a.sendContainer(c, actor, updated.ID, fiber.StatusOK)
}

// deleteContainer answers once the container is gone, as the original does, or says what became of the wish.
func (a *API) deleteContainer(c *fiber.Ctx, actor service.Actor) error {
	ctx, cancel := context.WithCancel(c.UserContext())
	defer cancel()
	defer context.AfterFunc(a.closing, cancel)()
	err := a.service.Delete(ctx, actor, id(c, "container"))
	switch {
	case err == nil:
		c.Status(fiber.StatusNoContent)
		return nil
	case state.CodeOf(err) == state.Conflict:
		return message(c, fiber.StatusBadRequest, err.Error())
	case errors.Is(err, service.ErrStillDeleting):
		return message(c, fiber.StatusAccepted, err.Error())
	}
	return err
}

func (a *API) startContainer(c *fiber.Ctx, actor service.Actor) error {
	return a.act(c, actor, state.Start, "container starting job submitted")
}

func (a *API) stopContainer(c *fiber.Ctx, actor service.Actor) error {
	return a.act(c, actor, state.Stop, "container stopping job submitted")
}

func (a *API) act(c *fiber.Ctx, actor service.Actor, action state.Action, submitted string) error {
	if _, err := a.service.Act(c.UserContext(), actor, id(c, "container"), action); err != nil {
		return err
	}
	return message(c, fiber.StatusOK, submitted)
}

type messageJSON struct {
	Message string `json:"message"`
}

func message(c *fiber.Ctx, status int, text string) error {
	return render(c, status, messageJSON{text})
}
