package api

import (
	"strconv"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

var timelineMedia = media{"application/vnd.bihealth.sodar-core.timeline+json", []string{"2.0"}}

var eventQueries = []query{{"before", "integer", "the number of the event before which to go on"}, {"limit", "integer", "how many, 100 otherwise"},
	{"user", "string", "a user name"}, {"app", "string", "what it is of, such as containers"}, {"event_name", "string", "its name"},
	{"object", "string", "UUID of something that it is about"}, {"status", "string", "its status"}}

func (a *API) registerTimeline(app *fiber.App) {
	api := app.Group("/timeline/api")
	a.route(api, "/list/site", timelineMedia, reading(a.listSiteEvents)).
		get(about{summary: "List events of the whole site, the newest first", right: auth.Administer, query: eventQueries, out: eventPage{}})
	a.route(api, "/list/:project<guid>", timelineMedia, reading(a.listEvents)).
		get(about{summary: "List events of a project, the newest first", right: auth.ViewTimeline, query: eventQueries, out: eventPage{}})
	a.route(api, "/retrieve/:event<guid>", timelineMedia, reading(a.showEvent)).
		get(about{summary: "Show an event", right: auth.ViewTimeline, out: eventJSON{}})
	api.All("/*", notFound)
}

// eventJSON is an event of the timeline in SODAR's form.
type eventJSON struct {
	Project     *string           `json:"project"`
	App         string            `json:"app"`
	User        *string           `json:"user"` // name
	Via         *string           `json:"via"`  // how, where not on a page
	Name        string            `json:"event_name"`
	Description string            `json:"description"`
	Extra       map[string]string `json:"extra_data"` // for owners, delegates and superusers
	Classified  bool              `json:"classified"`
	Status      []eventStatusJSON `json:"status_changes"`
	Objects     []eventObjectJSON `json:"event_objects"`
	Of          *string           `json:"ends,omitempty"` // the event that this one tells the end of
	Number      uint64            `json:"number"`
	UUID        string            `json:"sodar_uuid"`
}

type eventStatusJSON struct {
	Timestamp   string `json:"timestamp"`
	Type        string `json:"status_type"`
	Description string `json:"description"`
}

type eventObjectJSON struct {
	Label string `json:"label"`
	Name  string `json:"name"`
	Model string `json:"object_model"`
	UUID  string `json:"object_uuid"`
}

func eventOf(e state.Event) (eventJSON, error) {
	out := eventJSON{Project: orNull(e.Project), App: e.App, User: orNull(e.User), Via: orNull(e.Via), Name: e.Name, Description: e.Description,
		Extra: e.Extra, Classified: e.Classified, Status: []eventStatusJSON{{dateText(e.Time), string(e.Status), ""}},
		Objects: []eventObjectJSON{}, Of: orNull(e.Of), Number: e.Number, UUID: e.ID}
	for _, o := range e.Objects {
		out.Objects = append(out.Objects, eventObjectJSON{o.Label, o.Name, o.Model, o.ID})
	}
	return out, nil
}

// eventPage is a part of the timeline, the newest first.
type eventPage struct {
	// Before is where the next, older part begins: the value of the query's before; null at the end.
	Before  *uint64     `json:"before"`
	Results []eventJSON `json:"results"`
}

func (a *API) listSiteEvents(c *fiber.Ctx, actor service.Actor) error { return a.events(c, actor, "") }

func (a *API) listEvents(c *fiber.Ctx, actor service.Actor) error {
	return a.events(c, actor, id(c, "project"))
}

func (a *API) events(c *fiber.Ctx, actor service.Actor, project string) error {
	before, err := strconv.ParseUint(c.Query("before", "0"), 10, 64)
	if err != nil {
		return invalid("before", "A valid integer is required.")
	}
	limit, err := strconv.Atoi(c.Query("limit", strconv.Itoa(pageSize)))
	if err != nil || limit < 1 || limit > service.MaxEvents {
		return invalid("limit", "Ensure this value is between 1 and "+strconv.Itoa(service.MaxEvents)+".")
	}
	events, err := a.service.Timeline(actor, project, service.EventFilter{User: c.Query("user"), App: c.Query("app"), Name: c.Query("event_name"),
		Object: c.Query("object"), Status: state.EventStatus(c.Query("status")), Before: before, Limit: limit})
	if err != nil {
		return err
	}
	out := eventPage{Results: []eventJSON{}}
	for _, e := range events {
		shown, _ := eventOf(e)
		out.Results = append(out.Results, shown)
	}
	if len(events) == limit {
		out.Before = &events[limit-1].Number
	}
	return render(c, fiber.StatusOK, out)
}

func (a *API) showEvent(c *fiber.Ctx, actor service.Actor) error {
	e, err := a.service.Event(actor, id(c, "event"))
	if err != nil {
		return err
	}
	out, _ := eventOf(e)
	return render(c, fiber.StatusOK, out)
}
