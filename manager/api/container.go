package api

import (
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

// pageSize is how many containers one answer has.
const pageSize = 100

func (a *API) registerContainers(app *fiber.App) {
	api := app.Group("/containers/api")
	api.Post("/create/:project", a.with(containerMedia, a.createContainer))
	api.Delete("/delete/:container", a.with(containerMedia, a.deleteContainer))
	api.Get("/detail/:container", a.with(containerMedia, a.showContainer))
	api.Get("/logs/:container", a.with(containerMedia, a.showLog))
	api.Get("/start/:container", a.with(containerMedia, tokenOnly(a.startContainer)))
	api.Post("/start/:container", a.with(containerMedia, a.startContainer))
	api.Get("/stop/:container", a.with(containerMedia, tokenOnly(a.stopContainer)))
	api.Post("/stop/:container", a.with(containerMedia, a.stopContainer))
	api.Get("/:project", a.with(containerMedia, a.listContainers))
	api.Use(func(c *fiber.Ctx) error { return detail(c, fiber.StatusNotFound, "Not found.") })
}

// containerJSON is a container in the original's form.
type containerJSON struct {
	UUID             string          `json:"sodar_uuid"`
	DateCreated      string          `json:"date_created"`
	DateModified     string          `json:"date_modified"`
	DateStatusUpdate *string         `json:"date_last_status_update"`
	Project          string          `json:"project"`
	Title            string          `json:"title"`
	Description      *string         `json:"description"`
	Repository       string          `json:"repository"`
	Tag              string          `json:"tag"`
	ImageID          *string         `json:"image_id"`
	ContainerID      *string         `json:"container_id"`
	ContainerIP      *string         `json:"container_ip"`
	ContainerPort    int             `json:"container_port"`
	ContainerPath    string          `json:"container_path"`
	HeartbeatURL     *string         `json:"heartbeat_url"`
	HostPort         *int            `json:"host_port"`
	Timeout          int             `json:"timeout"`
	State            string          `json:"state"`
	Environment      json.RawMessage `json:"environment"`
	SecretKeys       *string         `json:"environment_secret_keys"`
	Command          *string         `json:"command"`
	TemplateSite     *int            `json:"containertemplatesite"`
	TemplateProject  *int            `json:"containertemplateproject"`
	MaxRetries       int             `json:"max_retries"`
	InactivityDays   int             `json:"inactivity_threshold"`
}

func render(c state.Container) containerJSON {
	out := containerJSON{
		UUID: c.ID, DateCreated: dateText(c.CreatedAt), DateModified: dateText(c.ModifiedAt), Project: c.Project,
		Title: c.Title, Description: orNull(c.Description), Repository: c.Repository, Tag: c.Tag, ImageID: orNull(c.ImageID),
		ContainerID: orNull(c.DockerID), ContainerIP: orNull(c.IP), ContainerPort: c.Port, ContainerPath: c.Path,
		HeartbeatURL: orNull(c.HeartbeatURL), Timeout: c.Timeout, State: string(c.State), Environment: c.Environment,
		SecretKeys: orNull(strings.Join(c.SecretKeys, ",")), Command: orNull(c.Command), MaxRetries: c.MaxRetries,
		InactivityDays: c.InactivityDays,
	}
	if !c.StatusAt.IsZero() {
		out.DateStatusUpdate = orNull(dateText(c.StatusAt))
	}
	if c.HostPort != 0 {
		out.HostPort = &c.HostPort
	}
	return out
}

func dateText(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000000Z") }

type page struct {
	Count    int             `json:"count"`
	Next     *string         `json:"next"`
	Previous *string         `json:"previous"`
	Results  []containerJSON `json:"results"`
}

func (a *API) listContainers(c *fiber.Ctx, actor service.Actor) error {
	views, err := a.service.Containers(actor, c.Params("project"))
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(c.Query("page", "1"))
	pages := max(1, (len(views)+pageSize-1)/pageSize)
	if err != nil || number < 1 || number > pages {
		return state.Errorf(state.NotFound, "Invalid page.")
	}
	link := func(n int) *string {
		if n < 1 || n > pages {
			return nil
		}
		return orNull(fmt.Sprintf("%s%s?page=%d", c.BaseURL(), c.Path(), n))
	}
	out := page{Count: len(views), Next: link(number + 1), Previous: link(number - 1), Results: []containerJSON{}}
	for _, v := range views[(number-1)*pageSize : min(number*pageSize, len(views))] {
		out.Results = append(out.Results, render(v.Container))
	}
	return c.JSON(out)
}

func (a *API) showContainer(c *fiber.Ctx, actor service.Actor) error {
	view, err := a.service.Container(actor, c.Params("container"))
	if err != nil {
		return err
	}
	return c.JSON(render(view.Container))
}

// logPage is a part of a container's log, oldest first.
type logPage struct {
	Next  uint64   `json:"next"` // where the next part begins
	Lines []string `json:"lines"`
}

// showLog returns what was stored after the place in the query, from the beginning without one.
func (a *API) showLog(c *fiber.Ctx, actor service.Actor) error {
	place, err := strconv.ParseUint(c.Query("after", "0"), 10, 64)
	if err != nil {
		return &state.Error{Code: state.Invalid, Message: "Please correct the marked fields.",
			Fields: map[string][]string{"after": {"A valid integer is required."}}}
	}
	entries, next, err := a.service.LogsSince(actor, c.Params("container"), place)
	if err != nil {
		return err
	}
	out := logPage{Next: next, Lines: make([]string, len(entries))}
	for i, e := range entries {
		out.Lines[i] = e.Format(time.Local)
	}
	return c.JSON(out)
}

// containerInput is what a client may say of a new container. Everything else, such as state or container_id, is
// Kiosc's to say and is ignored.
type containerInput struct {
	Title          string          `json:"title"`
	Description    *string         `json:"description"`
	Repository     string          `json:"repository"`
	Tag            string          `json:"tag"`
	ContainerPort  *int            `json:"container_port"`
	ContainerPath  string          `json:"container_path"`
	HeartbeatURL   *string         `json:"heartbeat_url"`
	Timeout        *int            `json:"timeout"`
	Environment    json.RawMessage `json:"environment"`
	SecretKeys     *string         `json:"environment_secret_keys"`
	Command        *string         `json:"command"`
	MaxRetries     *int            `json:"max_retries"`
	InactivityDays *int            `json:"inactivity_threshold"`
}

func (a *API) createContainer(c *fiber.Ctx, actor service.Actor) error {
	var in containerInput
	if err := decode(c.Body(), &in); err != nil {
		return err
	}
	made, err := a.service.CreateContainer(c.UserContext(), actor, c.Params("project"), service.ContainerInput{
		Title: in.Title, Description: orEmpty(in.Description), Repository: in.Repository, Tag: in.Tag, Port: in.ContainerPort,
		Path: in.ContainerPath, HeartbeatURL: orEmpty(in.HeartbeatURL), Timeout: in.Timeout, Environment: in.Environment,
		SecretKeys: orEmpty(in.SecretKeys), Command: orEmpty(in.Command), MaxRetries: in.MaxRetries, InactivityDays: in.InactivityDays,
	})
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(render(made))
}

// decode reads JSON and says by field where a value has the wrong type.
func decode(body []byte, into any) error {
	err := json.Unmarshal(body, into)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong) && wrong.Field != "":
		return &state.Error{Code: state.Invalid, Message: "Please correct the marked fields.",
			Fields: map[string][]string{wrong.Field: {"A valid " + wanted(wrong) + " is required."}}}
	case errors.As(err, &wrong):
		return state.Errorf(state.Invalid, "Invalid data. Expected a dictionary.")
	}
	return state.Errorf(state.Invalid, "JSON parse error: the body is not valid JSON.")
}

func wanted(wrong *json.UnmarshalTypeError) string {
	if strings.HasPrefix(wrong.Type.String(), "int") {
		return "integer"
	}
	return "string"
}

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

func (a *API) deleteContainer(c *fiber.Ctx, actor service.Actor) error {
	err := a.service.Delete(c.UserContext(), actor, c.Params("container"))
	var known *state.Error
	switch {
	case err == nil:
		return c.SendStatus(fiber.StatusNoContent)
	case errors.As(err, &known) && known.Code == state.Conflict:
		return c.Status(fiber.StatusBadRequest).JSON(fiber.Map{"message": known.Message})
	case errors.Is(err, service.ErrStillDeleting):
		return c.Status(fiber.StatusAccepted).JSON(fiber.Map{"message": service.ErrStillDeleting.Error()})
	}
	return err
}

// tokenOnly refuses a browser's session: a link on a foreign page must not change anything.
func tokenOnly(h handler) handler {
	return func(c *fiber.Ctx, actor service.Actor) error {
		if !actor.API {
			c.Set(fiber.HeaderAllow, fiber.MethodPost)
			return detail(c, fiber.StatusMethodNotAllowed, `Method "GET" not allowed with a browser session; use POST.`)
		}
		return h(c, actor)
	}
}

func (a *API) startContainer(c *fiber.Ctx, actor service.Actor) error {
	return a.act(c, actor, state.Start, "container starting job submitted")
}

func (a *API) stopContainer(c *fiber.Ctx, actor service.Actor) error {
	return a.act(c, actor, state.Stop, "container stopping job submitted")
}

func (a *API) act(c *fiber.Ctx, actor service.Actor, action state.Action, message string) error {
	if _, err := a.service.Act(c.UserContext(), actor, c.Params("container"), action); err != nil {
		return err
	}
	return c.JSON(fiber.Map{"message": message})
}
