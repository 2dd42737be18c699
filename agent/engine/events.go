package engine

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/events"
)

// Event is a change of a Docker container of this cluster and node.
type Event struct {
	Container, DockerID, Action string
}

// eventActions are the changes of interest; Docker reports many others, such as each exec.
var eventActions = []string{"start", "die", "pause", "unpause", "stop", "destroy", "oom", "restart"}

// Events calls f for each event until the subscription breaks, f fails or ctx ends; it always returns an error. ready is
// called when no event can be missed any more: everything from then on will be told.
// Docker may tell an event twice that happens just as the subscription begins.
func (e *Engine) Events(ctx context.Context, ready func(), f func(Event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	args := e.mine()
	args.Add("type", string(events.ContainerEventType))
	for _, action := range eventActions {
		args.Add("event", action)
	}
	// Docker tells what happened since then first, however long it takes until the subscription stands.
	since := fmt.Sprintf("%d.%09d", now.Unix(), now.Nanosecond())
	messages, failed := e.docker.Events(ctx, events.ListOptions{Since: since, Filters: args})
	e.addresses.forgetAll() // what has changed without a subscription went unseen
	ready()
	for {
		select {
		case m := <-messages:
			if m.Action == events.ActionDestroy {
				e.owned.Delete(m.Actor.ID)
			}
			e.addresses.forget(m.Actor.ID)
			event := Event{Container: m.Actor.Attributes[labelContainer], DockerID: m.Actor.ID, Action: string(m.Action)}
			if err := f(event); err != nil {
				return err
			}
		case err := <-failed:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("watching Docker's events: %w (%w)", ErrUnavailable, err)
		}
	}
}

// now is Docker's clock, which may not be ours.
func (e *Engine) now(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := e.docker.Info(ctx)
	if err != nil {
		return time.Time{}, explain(err, "asking Docker for its time")
	}
	at, err := time.Parse(time.RFC3339Nano, info.SystemTime)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading Docker's time %s: %w", strconv.Quote(info.SystemTime), err)
	}
	return at, nil
}
