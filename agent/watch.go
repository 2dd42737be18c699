package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"kiosc/agent/engine"
	"kiosc/cluster/wire"
)

const (
	// lastWords is how long before the loss of Docker a process may have ended to count as ended by Docker's own stop.
	lastWords = 20 * time.Second
	// exitLost is the exit code that Docker gives to a container which it finds dead at its own start.
	exitLost = 255
)

// watch follows what Docker does, for as long as the agent lives. Docker may go away and come back; nothing else ends
// with it.
type watch struct {
	agent *Agent

	mu      sync.Mutex
	away    bool
	lost    time.Time            // when the subscription broke last
	running map[string]bool      // Docker ids seen running
	ended   map[string]time.Time // Docker id → when it was seen to have ended, not by an order
	wanted  map[string]bool      // Docker ids that an order is stopping
	fresh   bool                 // nothing was seen before the subscription: the agent was started anew
}

func newWatch(a *Agent) *watch {
	return &watch{agent: a, away: true, fresh: true, running: make(map[string]bool), ended: make(map[string]time.Time),
		wanted: make(map[string]bool)}
}

// run keeps a subscription to Docker's events until ctx ends.
func (w *watch) run(ctx context.Context) {
	logger := w.agent.logger
	wait := firstBackoff
	for ctx.Err() == nil {
		err := w.agent.engine.Events(ctx, func() {
			wait = firstBackoff
			w.back(ctx)
		}, w.event(ctx))
		if ctx.Err() != nil {
			return
		}
		if w.leave() {
			logger.Log(ctx, slog.LevelError, "Docker does not answer; what runs goes on, and orders wait", "error", err)
			w.agent.sendInventory()
		}
		select {
		case <-ctx.Done():
		case <-time.After(jitter(wait)):
		}
		wait = min(2*wait, lastBackoff)
	}
}

// leave notes that Docker is away, and tells whether that is news.
func (w *watch) leave() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away && !w.lost.IsZero() {
		return false
	}
	w.away, w.lost = true, time.Now()
	return true
}

func (w *watch) isAway() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.away
}

// back takes stock after the subscription stands: what has happened before can't be missed.
func (w *watch) back(ctx context.Context) {
	seen, err := w.agent.engine.List(ctx)
	if err != nil {
		w.agent.logger.Warn("Docker has come back but does not list its containers", "error", err)
		return
	}
	for i := range seen {
		o := &seen[i]
		w.agent.followers.follow(o.Container, o.DockerID)
		if o.Interrupted = w.interrupted(o); o.Interrupted {
			w.agent.reports.add(ctx, &wire.Report{Container: o.Container, State: o.State, Observed: *o})
		}
	}
	w.mu.Lock()
	w.away, w.fresh = false, false
	clear(w.running)
	clear(w.ended)
	for _, o := range seen {
		if o.State == "running" {
			w.running[o.DockerID] = true
		}
	}
	w.mu.Unlock()
	w.agent.sendInventory()
}

// interrupted tells whether a process was ended by a restart of Docker or of the host.
func (w *watch) interrupted(o *wire.Observed) bool {
	if o.State != "exited" {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wanted[o.DockerID] {
		return false
	}
	if w.fresh {
		boot := bootTime()
		return o.ExitCode == exitLost || !o.StartedAt.IsZero() && o.StartedAt.Before(boot)
	}
	at, ended := w.ended[o.DockerID]
	return w.running[o.DockerID] || ended && w.lost.Sub(at) < lastWords
}

// bootTime is when this machine was started; zero where that can't be told.
func bootTime() time.Time {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}
	}
	for line := range bytes.Lines(stat) {
		if rest, ok := bytes.CutPrefix(line, []byte("btime ")); ok {
			if seconds, err := strconv.ParseInt(string(bytes.TrimSpace(rest)), 10, 64); err == nil {
				return time.Unix(seconds, 0)
			}
		}
	}
	return time.Time{}
}

// want notes that an order ends the process of a Docker container.
func (w *watch) want(dockerID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wanted[dockerID] = true
}

// inventory lists what the host has.
func (w *watch) inventory(ctx context.Context) *wire.Inventory {
	if w.isAway() {
		return &wire.Inventory{Away: true}
	}
	seen, err := w.agent.engine.List(ctx)
	if err != nil {
		w.agent.logger.Warn("Docker does not list its containers", "error", err)
		return &wire.Inventory{Away: true}
	}
	for i := range seen {
		w.agent.hearts.tell(&seen[i])
	}
	return &wire.Inventory{Containers: seen}
}

// event turns Docker's events into observations, and follows the logs of what was started.
func (w *watch) event(ctx context.Context) func(engine.Event) error {
	return func(e engine.Event) error {
		if e.Action == "start" {
			w.agent.followers.follow(e.Container, e.DockerID)
		}
		return w.agent.observe(ctx, e.Container, e.DockerID)
	}
}

// note remembers whether a Docker container runs.
func (w *watch) note(o *wire.Observed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case o.State == "running":
		w.running[o.DockerID] = true
		delete(w.ended, o.DockerID)
		delete(w.wanted, o.DockerID)
	case o.State == "": // removed
		delete(w.running, o.DockerID)
		delete(w.ended, o.DockerID)
		delete(w.wanted, o.DockerID)
	case w.running[o.DockerID]:
		delete(w.running, o.DockerID)
		if !w.wanted[o.DockerID] {
			w.ended[o.DockerID] = time.Now()
		}
	}
}

// observe tells the leader what Docker says of a Docker container now.
func (a *Agent) observe(ctx context.Context, container, dockerID string) error {
	o, err := a.engine.Inspect(ctx, dockerID)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		o = wire.Observed{Container: container, DockerID: dockerID}
	case err != nil:
		return err
	}
	a.watch.note(&o)
	a.hearts.tell(&o)
	return a.reports.add(ctx, &wire.Report{Container: container, State: o.State, Observed: o})
}
