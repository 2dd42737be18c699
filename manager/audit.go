package manager

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"kiosc/cluster/state"
)

// ExportedEvent is a line of an export of the timeline.
type ExportedEvent struct {
	Number      uint64              `json:"number"`
	Previous    string              `json:"previous"` // hash of the event before, base64
	ID          string              `json:"sodar_uuid"`
	Time        time.Time           `json:"timestamp"`
	User        string              `json:"user,omitempty"`
	Via         string              `json:"via,omitempty"`
	Project     string              `json:"project,omitempty"`
	App         string              `json:"app"`
	Name        string              `json:"event_name"`
	Description string              `json:"description"`
	Objects     []state.EventObject `json:"event_objects,omitempty"`
	Extra       map[string]string   `json:"extra_data,omitempty"`
	Status      string              `json:"status"`
	Of          string              `json:"ends,omitempty"`
	Classified  bool                `json:"classified,omitempty"`
}

// serveExport streams the timeline as JSON lines. An export that breaks off has no last line {"end":true}.
func (m *Manager) serveExport(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	err := m.service.ExportTimeline(actorOf(r.Context()), func(e state.Event) error {
		if err := r.Context().Err(); err != nil {
			return err
		}
		return out.Encode(ExportedEvent{Number: e.Number, Previous: base64.StdEncoding.EncodeToString(e.Previous), ID: e.ID, Time: e.Time, User: e.User,
			Via: e.Via, Project: e.Project, App: e.App, Name: e.Name, Description: e.Description, Objects: e.Objects, Extra: e.Extra,
			Status: string(e.Status), Of: e.Of, Classified: e.Classified})
	})
	if err == nil {
		err = out.Encode(map[string]bool{"end": true})
	}
	if err != nil {
		m.cfg.Logger.Warn("an export of the timeline broke off", "error", err)
	}
}
