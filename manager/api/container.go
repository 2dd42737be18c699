package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

var containerMedia = media{"application/vnd.bihealth.kiosc-server.containers+json", []string{"1.0"}}

// registerContainers adds the containers' routes. A uuid in the address is part of the route, so that everything else
// is an unknown address, and none of it is left over for the pages' /containers/:project.
func (a *API) registerContainers(app *fiber.App) {
	api := app.Group("/containers/api")
	a.route(api, "/detail/:container<guid>", containerMedia, reading(a.showContainer))
	a.route(api, "/logs/:container<guid>", containerMedia, reading(a.showLog))
	a.route(api, "/logs/:container<guid>/download", anyMedia, reading(a.downloadLog))
	a.route(api, "/stats/:container<guid>", containerMedia, reading(a.showFigures))
	a.route(api, "/stats/project/:project<guid>", containerMedia, reading(a.showProjectFigures))
	a.route(api, "/stats/node/:node<guid>", containerMedia, reading(a.showNodeFigures))
	a.route(api, "/create/:project<guid>", containerMedia, methods{fiber.MethodPost: a.createContainer})
	a.route(api, "/update/:container<guid>", containerMedia,
		methods{fiber.MethodPut: a.replaceContainer, fiber.MethodPatch: a.patchContainer})
	a.route(api, "/registries/:project<guid>", containerMedia, methods{fiber.MethodGet: a.listRegistries, fiber.MethodHead: a.listRegistries,
		fiber.MethodPost: a.setRegistry})
	a.route(api, "/registries/:project<guid>/:host", containerMedia, methods{fiber.MethodDelete: a.removeRegistry})
	a.route(api, "/delete/:container<guid>", containerMedia, methods{fiber.MethodDelete: a.deleteContainer})
	// The original starts and stops by GET, and its clients do. HEAD is left out: nobody expects it to do anything.
	a.route(api, "/start/:container<guid>", containerMedia,
		methods{fiber.MethodGet: tokenOnly(a.startContainer), fiber.MethodPost: a.startContainer})
	a.route(api, "/stop/:container<guid>", containerMedia,
		methods{fiber.MethodGet: tokenOnly(a.stopContainer), fiber.MethodPost: a.stopContainer})
	for action, submitted := range submittedTexts {
		a.route(api, "/"+string(action)+"/:container<guid>", containerMedia, methods{fiber.MethodPost: a.acting(action, submitted)})
	}
	a.route(api, "/bulk", containerMedia, methods{fiber.MethodPost: a.actOnSelection})
	a.registerQuotas(api)
	a.route(api, "/:project<guid>", containerMedia, reading(a.listContainers))
	api.All("/*", notFound)
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
	project, err := id(c, "project")
	if err != nil {
		return err
	}
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
	container, err := id(c, "container")
	if err != nil {
		return err
	}
	return a.sendContainer(c, actor, container, fiber.StatusOK)
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
	project, err := id(c, "project")
	if err != nil {
		return err
	}
	in, err := decode(c)
	if err != nil {
		return err
	}
	spec := a.service.NewSpec()
	in.require("title", "repository")
	in.readSpec(&spec)
	if err := in.err(); err != nil {
		return err
	}
	made, err := a.service.CreateContainer(c.UserContext(), actor, project, service.ContainerInput{Spec: spec, Template: in.template("")})
	if err != nil {
		return err
	}
	return a.sendContainer(c, actor, made.ID, fiber.StatusCreated)
}

// replaceContainer gives a container the definition of the request; what that leaves out has its default.
func (a *API) replaceContainer(c *fiber.Ctx, actor service.Actor) error {
	return a.updateContainer(c, actor, func(state.Spec) state.Spec { return a.service.NewSpec() }, "title", "repository")
}

// patchContainer changes what the request names.
func (a *API) patchContainer(c *fiber.Ctx, actor service.Actor) error {
	return a.updateContainer(c, actor, func(now state.Spec) state.Spec { return now })
}

// updateContainer changes a container's definition, beginning with from of the one that it has. Where the request says
// which date_modified it is based on, that must still be the container's.
func (a *API) updateContainer(c *fiber.Ctx, actor service.Actor, from func(state.Spec) state.Spec, required ...string) error {
	container, err := id(c, "container")
	if err != nil {
		return err
	}
	in, err := decode(c)
	if err != nil {
		return err
	}
	view, err := a.service.Container(actor, container)
	if err != nil {
		return err
	}
	spec := from(view.Spec)
	in.require(required...)
	in.readSpec(&spec)
	seen := in.basedOn(view.ModifiedAt)
	if err := in.err(); err != nil {
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
	container, err := id(c, "container")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.UserContext())
	defer cancel()
	defer context.AfterFunc(a.closing, cancel)()
	err = a.service.Delete(ctx, actor, container)
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
	container, err := id(c, "container")
	if err != nil {
		return err
	}
	if _, err := a.service.Act(c.UserContext(), actor, container, action); err != nil {
		return err
	}
	return message(c, fiber.StatusOK, submitted)
}

func message(c *fiber.Ctx, status int, text string) error {
	return render(c, status, map[string]string{"message": text})
}
