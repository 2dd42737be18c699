package dispatch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
)

// noteOrphans makes part of the state what the host is told to remove, and tells the timeline of what it has removed. That is in the
// state and not in this leader's memory, so that the next one tells of what this one has begun, and neither tells twice.
func (l *line) noteOrphans(ctx context.Context, inv *wire.Inventory, d *difference) error {
	for _, o := range d.orphans {
		if slices.Contains(d.noted, o) {
			continue
		}
		if _, err := l.hub.node.Propose(ctx, &state.OrphanNoted{Orphan: o}); err != nil {
			return fmt.Errorf("noting a Docker container that doesn't belong on its host: %w", err)
		}
	}
	for _, o := range d.noted {
		if slices.Contains(d.orphans, o) {
			continue
		}
		if err := l.orphanGone(ctx, o, inv); err != nil {
			return fmt.Errorf("noting that a Docker container is removed: %w", err)
		}
	}
	return nil
}

// orphanGone drops the note of an orphan. One that is still there belongs there again, which is no news for people.
func (l *line) orphanGone(ctx context.Context, o state.Orphan, inv *wire.Inventory) (err error) {
	var command state.Command = &state.OrphanNoted{Orphan: o, Gone: true}
	if !slices.ContainsFunc(inv.Containers, func(at wire.Observed) bool { return at.DockerID == o.DockerID }) {
		if command, err = l.removed(o, command); err != nil {
			return err
		}
	}
	_, err = l.hub.node.Propose(ctx, command)
	return err
}

// removed has the timeline tell that an orphan was removed: that of its container's project, or of the site where there is no such
// container any more.
func (l *line) removed(o state.Orphan, command state.Command) (state.Command, error) {
	var e state.Event
	err := l.hub.store.View(func(tx *state.Tx) error {
		c, known, err := tx.Container(o.Container)
		if err != nil {
			return err
		}
		if !known {
			c.ID, c.Title = o.Container, o.Container
		}
		e = c.Event(uuid.NewString(), "orphan_removed",
			"remove the Docker container {docker} of container {container}, which did not belong on the Docker host {node}", time.Now().UTC())
		n, _, err := tx.Node(l.node)
		e.Objects = append(e.Objects, state.EventObject{Label: "docker", Name: o.DockerID[:min(len(o.DockerID), 12)], Model: "DockerContainer", ID: o.DockerID},
			state.EventObject{Label: "node", Name: n.Name, Model: "Node", ID: n.ID})
		return err
	})
	if err != nil {
		return nil, err
	}
	return state.Record(e, command)
}
