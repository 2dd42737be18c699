package service

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// Parts of Kiosc, as the timeline names them.
const (
	appProjects   = "projectroles"
	appContainers = "containers"
	appUsers      = "userprofile"
	appTokens     = "tokens"
	appTemplates  = "containertemplates"
	appFiles      = "filesfolders"
	appAdmin      = "kioscadmin"
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

// containerEvent is an event of a container, which its description names {container}.
func containerEvent(a Actor, c *state.Container, name, description string) state.Event {
	return event(a, appContainers, c.Project, name, description, state.EventObject{Label: "container", Name: c.Title, Model: "Container", ID: c.ID})
}

// fileEvent is an event of a file or folder, which its description names by its kind.
func fileEvent(a Actor, kind, project, id, title, name, description string) state.Event {
	return event(a, appFiles, project, name, description, state.EventObject{Label: kind, Name: title, Model: strings.ToUpper(kind[:1]) + kind[1:], ID: id})
}

func tokenObject(t state.Token) state.EventObject {
	return state.EventObject{Label: "token", Name: t.Name, Model: "Token", ID: t.ID}
}

func registryObject(host string) state.EventObject {
	return state.EventObject{Label: "registry", Name: host, Model: "Registry", ID: host}
}

func quotaOf(project string) string {
	if project == "" {
		return "site"
	}
	return "project"
}

// act makes a command part of the state together with an event that tells of it, and returns its value as a T.
func act[T any](ctx context.Context, s *Service, c state.Command, e state.Event) (v T, err error) {
	recorded, err := state.Record(e, c)
	if err != nil {
		return v, err
	}
	return propose[T](ctx, s, recorded)
}

// EventFilter says which events of the timeline are wanted; empty fields let all through.
type EventFilter struct {
	User, App, Name, Object string // Object is the id of something that the event is about
	Status                  state.EventStatus
	// Before is the number of the event that the wanted ones are older than; 0 for the newest.
	Before uint64
	Limit  int
}

// MaxEvents is the most events that one page or request gets, DefaultEvents what it gets unless told otherwise; SODAR's.
const (
	DefaultEvents = 15
	MaxEvents     = 1000
	// maxScanned bounds how many events one request looks at.
	maxScanned = 200_000
)

func (f *EventFilter) fits(e *state.Event) bool {
	return (f.User == "" || f.User == e.User) && (f.App == "" || f.App == e.App) && (f.Name == "" || f.Name == e.Name) &&
		(f.Status == "" || f.Status == e.Status) &&
		(f.Object == "" || slices.ContainsFunc(e.Objects, func(o state.EventObject) bool { return o.ID == f.Object }))
}

// Timeline returns events of a project, the newest first, or of the whole site for "", which superusers may see. Classified
// events are left out for who may not see them, and more about an event is for those who may.
func (s *Service) Timeline(a Actor, project string, f EventFilter) (events []state.Event, err error) {
	f.Limit = min(max(cmp.Or(f.Limit, DefaultEvents), 1), MaxEvents)
	err = s.store.View(func(tx *state.Tx) error {
		all, classified, err := mayTimeline(tx, a, project)
		if err != nil {
			return err
		}
		scanned := 0
		events, err = tx.EventPage(project, all, f.Before, f.Limit, func(e *state.Event) bool {
			scanned++
			return scanned <= maxScanned && (classified || !e.Classified) && f.fits(e)
		})
		if !classified {
			for i := range events {
				events[i].Extra = nil
			}
		}
		return err
	})
	return events, err
}

// mayTimeline tells whether the actor sees the whole site's timeline, and what is classified in it.
func mayTimeline(tx *state.Tx, a Actor, project string) (site, classified bool, err error) {
	if project == "" {
		return true, true, administer(a)
	}
	if err := may(tx, a, project, auth.ViewTimeline); err != nil {
		return false, false, err
	}
	return false, may(tx, a, project, auth.ViewClassified) == nil, nil
}

// Event returns one event of the timeline.
func (s *Service) Event(a Actor, id string) (e state.Event, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		found, err := tx.EventPage("", true, 0, 1, func(e *state.Event) bool { return e.ID == id })
		if err != nil {
			return err
		}
		none := state.Errorf(state.NotFound, "There is no such event, or you have no access to it.")
		if len(found) == 0 {
			return none
		}
		e = found[0]
		_, classified, err := mayTimeline(tx, a, e.Project)
		if err != nil || e.Classified && !classified {
			return none
		}
		if !classified {
			e.Extra = nil
		}
		return nil
	})
	return e, err
}

// exportBatch is how many events are read in one view of the state.
const exportBatch = 1000

// ExportTimeline calls f with all events, in order, for superusers. It holds no view of the state while f works.
func (s *Service) ExportTimeline(a Actor, f func(e state.Event) error) error {
	if err := administer(a); err != nil {
		return err
	}
	for next := uint64(0); ; {
		var batch []state.Event
		err := s.store.View(func(tx *state.Tx) error {
			return tx.EventsFrom(next, func(e *state.Event) bool {
				batch = append(batch, *e)
				return len(batch) < exportBatch
			})
		})
		if err != nil || len(batch) == 0 {
			return err
		}
		for _, e := range batch {
			if err := f(e); err != nil {
				return err
			}
		}
		next = batch[len(batch)-1].Number + 1
	}
}

// TimelineCheck is what a check of the timeline has found.
type TimelineCheck struct {
	Events uint64 `json:"events"`
	// Fault names the first event that isn't as it was stored; empty for none.
	Fault string `json:"fault,omitempty"`
}

// VerifyTimeline reads this manager's whole timeline and compares each event with the hash that the next one has of it.
func (s *Service) VerifyTimeline(a Actor) (c TimelineCheck, err error) {
	if err := administer(a); err != nil {
		return c, err
	}
	err = s.store.View(func(tx *state.Tx) error {
		events, fault := tx.VerifyEvents()
		c.Events = events
		if fault != nil {
			c.Fault = fault.Error()
		}
		return nil
	})
	return c, err
}

// PruneTimeline removes the events from before a time, and tells how many.
func (s *Service) PruneTimeline(ctx context.Context, before time.Time) (removed int, err error) {
	for {
		n, err := propose[int](ctx, s, &state.EventsPruned{Before: before.UTC().Round(0)})
		removed += n
		if err != nil || n == 0 {
			return removed, err
		}
	}
}
