package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

var containerMedia = media{"application/vnd.bihealth.kiosc-server.containers+json", []string{"1.0"}}

// pageSize is how many containers one answer has; SODAR's default.
const pageSize = 100

// registerContainers adds the containers' routes. A uuid in the address is part of the route, so that everything else
// is an unknown address, and none of it is left over for the pages' /containers/:project.
func (a *API) registerContainers(app *fiber.App) {
	api := app.Group("/containers/api")
	a.route(api, "/detail/:container<guid>", containerMedia, reading(a.showContainer))
	a.route(api, "/logs/:container<guid>", containerMedia, reading(a.showLog))
	a.route(api, "/stats/:container<guid>", containerMedia, reading(a.showFigures))
	a.route(api, "/stats/project/:project<guid>", containerMedia, reading(a.showProjectFigures))
	a.route(api, "/stats/node/:node<guid>", containerMedia, reading(a.showNodeFigures))
	a.route(api, "/create/:project<guid>", containerMedia, methods{fiber.MethodPost: a.createContainer})
	a.route(api, "/delete/:container<guid>", containerMedia, methods{fiber.MethodDelete: a.deleteContainer})
	// The original starts and stops by GET, and its clients do. HEAD is left out: nobody expects it to do anything.
	a.route(api, "/start/:container<guid>", containerMedia,
		methods{fiber.MethodGet: tokenOnly(a.startContainer), fiber.MethodPost: a.startContainer})
	a.route(api, "/stop/:container<guid>", containerMedia,
		methods{fiber.MethodGet: tokenOnly(a.stopContainer), fiber.MethodPost: a.stopContainer})
	a.route(api, "/:project<guid>", containerMedia, reading(a.listContainers))
	api.All("/*", notFound)
}

// containerJSON is a container in the original's form.
type containerJSON struct {
	UUID             string         `json:"sodar_uuid"`
	DateCreated      string         `json:"date_created"`
	DateModified     string         `json:"date_modified"`
	DateStatusUpdate *string        `json:"date_last_status_update"`
	Project          string         `json:"project"`
	Title            string         `json:"title"`
	Description      *string        `json:"description"`
	Repository       string         `json:"repository"`
	Tag              string         `json:"tag"`
	ImageID          *string        `json:"image_id"`
	ContainerID      *string        `json:"container_id"`
	ContainerIP      *string        `json:"container_ip"`
	ContainerPort    int            `json:"container_port"`
	ContainerPath    string         `json:"container_path"`
	HeartbeatURL     *string        `json:"heartbeat_url"`
	HostPort         *int           `json:"host_port"`
	Timeout          int            `json:"timeout"`
	State            string         `json:"state"`
	Environment      map[string]any `json:"environment"`
	SecretKeys       *string        `json:"environment_secret_keys"`
	Command          *string        `json:"command"`
	TemplateSite     *int           `json:"containertemplatesite"`
	TemplateProject  *int           `json:"containertemplateproject"`
	MaxRetries       int            `json:"max_retries"`
	InactivityDays   int            `json:"inactivity_threshold"`
	// What the original doesn't have: which paths the app is asked for, conditions on the Docker host, and CPUs and bytes.
	KeepPrefix        bool     `json:"keep_prefix"`
	Constraints       []string `json:"constraints"`
	CPUReservation    float64  `json:"cpu_reservation"`
	CPULimit          float64  `json:"cpu_limit"`
	MemoryReservation int64    `json:"memory_reservation"`
	MemoryLimit       int64    `json:"memory_limit"`
}

func asJSON(c state.Container) containerJSON {
	out := containerJSON{
		UUID: c.ID, DateCreated: dateText(c.CreatedAt), DateModified: dateText(c.ModifiedAt), Project: c.Project,
		Title: c.Title, Description: orNull(c.Description), Repository: c.Repository, Tag: c.Tag, ImageID: orNull(c.ImageID),
		ContainerID: orNull(c.DockerID), ContainerIP: orNull(c.IP), ContainerPort: c.Port, ContainerPath: c.Path, KeepPrefix: c.KeepPrefix,
		HeartbeatURL: orNull(c.HeartbeatURL), Timeout: c.Timeout, State: string(c.State), Environment: environment(c),
		SecretKeys: orNull(strings.Join(c.SecretKeys, ",")), Command: orNull(c.Command), MaxRetries: c.MaxRetries,
		InactivityDays: c.InactivityDays, Constraints: append([]string{}, c.Constraints...),
		CPUReservation: float64(c.ReservedMilliCPUs) / 1000, CPULimit: float64(c.LimitMilliCPUs) / 1000,
		MemoryReservation: c.ReservedMemory, MemoryLimit: c.LimitMemory,
	}
	if !c.StatusAt.IsZero() {
		out.DateStatusUpdate = orNull(dateText(c.StatusAt))
	}
	if c.HostPort != 0 {
		out.HostPort = &c.HostPort
	}
	return out
}

// environment is what may be shown of a container's environment. The state has masked the secret values already; a
// second time here costs little, and a mistake there would cost a lot.
func environment(c state.Container) (env map[string]any) {
	numbers := json.NewDecoder(bytes.NewReader(c.Environment))
	numbers.UseNumber() // a number is shown as it was written
	if len(c.Environment) == 0 || numbers.Decode(&env) != nil {
		return nil
	}
	for _, k := range c.SecretKeys {
		if _, ok := env[k]; ok {
			env[k] = state.Masked
		}
	}
	return env
}

func dateText(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000000Z") }

type page struct {
	Count    int             `json:"count"`
	Next     *string         `json:"next"`
	Previous *string         `json:"previous"`
	Results  []containerJSON `json:"results"`
}

func (a *API) listContainers(c *fiber.Ctx, actor service.Actor) error {
	project, err := id(c, "project")
	if err != nil {
		return err
	}
	views, err := a.containers(actor, project)
	if err != nil {
		return err
	}
	pages := max(1, (len(views)+pageSize-1)/pageSize)
	number, err := strconv.Atoi(c.Query("page", "1"))
	if c.Query("page") == "last" {
		number, err = pages, nil
	}
	if err != nil || number < 1 || number > pages {
		return state.Errorf(state.NotFound, "Invalid page.")
	}
	link := func(n int) *string {
		address := c.BaseURL() + "/containers/api/" + project
		switch {
		case n < 1 || n > pages:
			return nil
		case n > 1:
			address += fmt.Sprintf("?page=%d", n)
		}
		return &address
	}
	out := page{Count: len(views), Next: link(number + 1), Previous: link(number - 1), Results: []containerJSON{}}
	for _, v := range views[(number-1)*pageSize : min(number*pageSize, len(views))] {
		out.Results = append(out.Results, asJSON(v.Container))
	}
	return render(c, fiber.StatusOK, out)
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
	view, err := a.service.Container(actor, container)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, asJSON(view.Container))
}

// logPage is a part of a container's log, oldest first.
type logPage struct {
	Next  uint64   `json:"next"` // where the next part begins
	Lines []string `json:"lines"`
}

// showLog returns what was stored after the place in the query, from the beginning without one. The original has no
// such address.
func (a *API) showLog(c *fiber.Ctx, actor service.Actor) error {
	container, err := id(c, "container")
	if err != nil {
		return err
	}
	place, err := strconv.ParseUint(c.Query("after", "0"), 10, 64)
	if err != nil {
		return invalid("after", "A valid integer is required.")
	}
	entries, next, err := a.service.LogsSince(actor, container, place)
	if err != nil {
		return err
	}
	out := logPage{Next: next, Lines: make([]string, len(entries))}
	for i, e := range entries {
		out.Lines[i] = e.Format(time.Local)
	}
	return render(c, fiber.StatusOK, out)
}

func (a *API) createContainer(c *fiber.Ctx, actor service.Actor) error {
	project, err := id(c, "project")
	if err != nil {
		return err
	}
	in, err := containerInput(c)
	if err != nil {
		return err
	}
	made, err := a.service.CreateContainer(c.UserContext(), actor, project, in)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusCreated, asJSON(made))
}

// containerInput reads what a client may say of a new container. Everything else, such as state or container_id, is
// Kiosc's to say and is ignored.
func containerInput(c *fiber.Ctx) (service.ContainerInput, error) {
	in, err := decode(c)
	if err != nil {
		return service.ContainerInput{}, err
	}
	return service.ContainerInput{
		Title: in.requiredText("title"), Description: in.nullableText("description"), Repository: in.requiredText("repository"),
		Tag: in.text("tag"), Port: in.integer("container_port"), Path: in.text("container_path"), KeepPrefix: in.boolean("keep_prefix"),
		HeartbeatURL: in.nullableText("heartbeat_url"), Timeout: in.integer("timeout"),
		Environment: in.raw["environment"], SecretKeys: in.nullableText("environment_secret_keys"),
		Command: in.nullableText("command"), MaxRetries: in.integer("max_retries"),
		InactivityDays: in.integer("inactivity_threshold"), Constraints: in.texts("constraints"),
		CPUReservation: number[float64](in, "cpu_reservation"), CPULimit: number[float64](in, "cpu_limit"),
		MemoryReservation: number[int64](in, "memory_reservation"), MemoryLimit: number[int64](in, "memory_limit"),
	}, in.err()
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
