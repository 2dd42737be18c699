package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"kiosc/agent/engine"
	"kiosc/cluster/wire"
)

// maxAtOnce bounds the orders that are worked on at the same time, to spare the Docker Engine.
const maxAtOnce = 8

// orphanTimeout bounds the removal of Docker containers that belong to no container.
const orphanTimeout = 2 * time.Minute

// workers carries out orders, one per container at a time.
type workers struct {
	agent  *Agent
	ctx    context.Context // ends with the agent, not with a session: an order goes on while managers are away
	cancel context.CancelFunc
	all    sync.WaitGroup
	slots  chan struct{}

	mu      sync.Mutex
	current map[string]*work // by container
}

// work is one order being carried out.
type work struct {
	generation, placement uint64
	cancel                context.CancelFunc
	done                  chan struct{}
}

func newWorkers(a *Agent) *workers {
	w := &workers{agent: a, slots: make(chan struct{}, maxAtOnce), current: make(map[string]*work)}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// stop ends all work and waits for it. Orders not done are carried out after the next start.
func (w *workers) stop() {
	w.cancel()
	w.all.Wait()
}

// take begins an order. The one being worked on, and older ones, are passed over; one of a newer generation or placement
// ends the one before and follows it.
func (w *workers) take(o *wire.Order) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.current[o.Container]
	if before != nil && before.generation >= o.Generation && before.placement >= o.Placement || w.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(w.ctx)
	mine := &work{generation: o.Generation, placement: o.Placement, cancel: cancel, done: make(chan struct{})}
	w.current[o.Container] = mine
	if before != nil {
		before.cancel()
	}
	w.all.Add(1)
	go func() {
		defer w.all.Done()
		defer close(mine.done)
		defer cancel()
		if before != nil {
			<-before.done
		}
		w.do(ctx, o)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.current[o.Container] == mine {
			delete(w.current, o.Container)
		}
	}()
}

func (w *workers) do(ctx context.Context, o *wire.Order) {
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
	case <-ctx.Done():
		return
	}
	j := &job{agent: w.agent, engine: w.agent.engine, order: o}
	for wait := firstBackoff; ; wait = min(2*wait, lastBackoff) {
		err := j.run(ctx)
		if ctx.Err() != nil {
			return // overtaken, or the agent stops: the order comes again
		}
		if !errors.Is(err, engine.ErrUnavailable) {
			return
		}
		// Docker is away. That says nothing about the container, so the action isn't failed but waits. The log tells of it
		// with the next report, once.
		if wait == firstBackoff {
			j.line("task", "warning", "Docker does not answer on the Docker host "+w.agent.cfg.Name+". The action waits for it.")
		}
		j.step("Docker does not answer on this Docker host; waiting for it.", -1)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// removeOrphans removes Docker containers that belong to no container of the cluster.
func (w *workers) removeOrphans(dockerIDs []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return
	}
	w.all.Add(1)
	go func() {
		defer w.all.Done()
		ctx, cancel := context.WithTimeout(w.ctx, orphanTimeout)
		defer cancel()
		for _, id := range dockerIDs {
			if err := w.agent.engine.Remove(ctx, id); err != nil {
				w.agent.logger.Warn("a Docker container that doesn't belong here could not be removed", "id", id, "error", err)
			}
		}
		w.agent.sendInventory()
	}()
}
