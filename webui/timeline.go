package webui

import (
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

func (ui *UI) registerTimeline(app *fiber.App) {
	app.Get("/timeline/site", ui.page(ui.siteTimeline))
	app.Get("/timeline/:project", ui.page(ui.timeline))
}

// eventRow is an event as the list shows it.
type eventRow struct {
	Time, User, Via, Name string
	Parts                 []eventPart
	Status, Color         string
	Extra                 []string
	Classified            bool
}

// eventPart is a piece of an event's description; Href is empty for plain text.
type eventPart struct{ Text, Href string }

type timelinePage struct {
	frame
	Project *projectHead // nil for the whole site
	Tabs    []adminTab   // of the whole site
	Rows    []eventRow
	Filter  []field
	Action  string
	Older   string // address of the next part; empty at the end
}

var timelineTemplate = parse("timeline.html")

// Render writes the page.
func (p timelinePage) Render(w io.Writer) error { return timelineTemplate.Execute(w, p) }

// objectPages are where the objects of events can be seen.
var objectPages = map[string]string{"Container": "/containers/detail/", "Project": "/project/"}

// statusColors are those of an event's status.
var statusColors = map[state.EventStatus]string{state.EventOK: "success", state.EventFailed: "danger", state.EventSubmit: "primary",
	state.EventCancel: "secondary", state.EventInfo: "secondary"}

func (ui *UI) timeline(v *visit) error {
	view, err := ui.viewedFor(v, auth.ViewTimeline)
	if err != nil {
		return err
	}
	head := headOf(view, "Timeline")
	return ui.showTimeline(v, view.ID, timelinePage{frame: ui.frame(v, "Timeline of "+view.Title), Project: &head, Action: "/timeline/" + view.ID})
}

func (ui *UI) siteTimeline(v *visit) error {
	return ui.showTimeline(v, "", timelinePage{frame: ui.frame(v, "Kiosc Administrator"), Tabs: ui.adminFrame(v, "timeline").Tabs, Action: "/timeline/site"})
}

func (ui *UI) showTimeline(v *visit, project string, p timelinePage) error {
	p.Filter = []field{{Name: "user", Label: "User", Value: v.Query("user")}, {Name: "event_name", Label: "Event", Value: v.Query("event_name")},
		{Name: "status", Label: "Status", Value: v.Query("status"), Kind: "select", Options: []option{{"", "any"}, {"OK", "OK"}, {"FAILED", "FAILED"},
			{"SUBMIT", "SUBMIT"}, {"CANCEL", "CANCEL"}, {"INFO", "INFO"}}}}
	before, _ := strconv.ParseUint(v.Query("before"), 10, 64)
	events, err := ui.svc.Timeline(v.Actor, project, service.EventFilter{User: p.Filter[0].Value, Name: p.Filter[1].Value,
		Status: state.EventStatus(p.Filter[2].Value), Before: before})
	if err != nil {
		return err
	}
	for _, e := range events {
		p.Rows = append(p.Rows, ui.eventRow(e))
	}
	if len(events) == service.DefaultEvents {
		query := fiber.AcquireArgs()
		defer fiber.ReleaseArgs(query)
		for _, f := range p.Filter {
			query.Set(f.Name, f.Value)
		}
		query.Set("before", strconv.FormatUint(events[len(events)-1].Number, 10))
		p.Older = p.Action + "?" + query.String()
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) eventRow(e state.Event) eventRow {
	row := eventRow{Time: ui.moment(e.Time), User: e.User, Via: e.Via, Name: e.Name, Status: string(e.Status), Color: statusColors[e.Status],
		Classified: e.Classified}
	text := e.Description
	for text != "" {
		open := strings.IndexByte(text, '{')
		end := strings.IndexByte(text, '}')
		if open < 0 || end < open {
			break
		}
		row.Parts = append(row.Parts, eventPart{Text: text[:open]}, partOf(e, text[open+1:end]))
		text = text[end+1:]
	}
	row.Parts = append(row.Parts, eventPart{Text: text})
	for _, k := range slices.Sorted(maps.Keys(e.Extra)) {
		if e.Extra[k] != "" {
			row.Extra = append(row.Extra, k+": "+e.Extra[k])
		}
	}
	return row
}

func partOf(e state.Event, label string) eventPart {
	for _, o := range e.Objects {
		if o.Label == label {
			part := eventPart{Text: o.Name}
			if page, ok := objectPages[o.Model]; ok {
				part.Href = page + o.ID
			}
			return part
		}
	}
	return eventPart{Text: label}
}
