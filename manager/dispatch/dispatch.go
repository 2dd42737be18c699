package dispatch

import (
	"context"
	"errors"
	"time"

	"kiosc/cluster/state"
	"kiosc/manager/schedule"
)

// reconcileEvery is how often the leader looks at everything without being woken, so that a lost wake-up can only delay.
const reconcileEvery = 5 * time.Second

// Run gives every pending action to its node, placing containers that have none, until ctx ends. It is for the leader
// alone: consensus.Node.Lead calls it.
func (h *Hub) Run(ctx context.Context) {
	pending, stop := h.store.Watch(state.TopicPending)
	defer stop()
	tick := time.NewTicker(reconcileEvery)
	defer tick.Stop()
	for {
		if err := h.reconcile(ctx); err != nil && ctx.Err() == nil {
			h.logger.Error("orders could not be given", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-pending:
		case <-h.changed:
		case <-tick.C:
		}
	}
}

func (h *Hub) reconcile(ctx context.Context) error {
	var waiting []state.Container
	var nodes []state.Node
	var load map[string]int
	err := h.store.View(func(tx *state.Tx) (err error) {
		if waiting, err = tx.Pending(); err != nil || len(waiting) == 0 {
			return err
		}
		if nodes, err = tx.Nodes(); err != nil {
			return err
		}
		load, err = tx.Load()
		return err
	})
	if err != nil {
		return err
	}
	pending := make(map[string]bool, len(waiting))
	names := make(map[string]string, len(nodes))
	for _, n := range nodes {
		names[n.ID] = n.Name
	}
	for _, c := range waiting {
		pending[c.ID] = true
		if c.Node == "" {
			if err := h.place(ctx, &c, nodes, load); err != nil {
				return err
			}
		}
		if c.Node != "" {
			h.give(ctx, &c, names[c.Node])
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.sessions {
		s.forget(pending)
	}
	return nil
}

// place decides on a node for c. Where there is none, c stays without one and people are told why.
func (h *Hub) place(ctx context.Context, c *state.Container, nodes []state.Node, load map[string]int) error {
	id, reason := schedule.Pick(nodes, h.Connected, load)
	if id == "" {
		h.steps.set(c.ID, step{generation: c.Generation, text: reason, percent: -1})
		return nil
	}
	_, err := h.node.Propose(ctx, &state.ContainerPlaced{Container: c.ID, Generation: c.Generation, Node: id})
	if err != nil {
		return err
	}
	load[id]++
	c.Node = id
	return nil
}

// give sends c's order to its node, if that is connected. An order that can't be sent is tried again; one that can't be
// made has failed.
func (h *Hub) give(ctx context.Context, c *state.Container, name string) {
	s := h.session(c.Node)
	if s == nil {
		h.steps.set(c.ID, step{generation: c.Generation, percent: -1,
			text: "Waiting for the Docker host " + name + ", which is not connected."})
		return
	}
	err := s.order(c)
	if errors.Is(err, errSpec) {
		err = h.fail(ctx, c, err)
	}
	if err != nil {
		h.logger.Error("an order could not be given", "container", c.ID, "node", c.Node, "error", err)
	}
}

// fail ends c's action with the reason in its log.
func (h *Hub) fail(ctx context.Context, c *state.Container, reason error) error {
	at := time.Now().UTC()
	_, err := h.node.Propose(ctx, &state.ContainerReported{Container: c.ID, Node: c.Node, Generation: c.Generation,
		Seq: c.ReportSeq + 1, Done: true, State: state.Failed, DockerID: c.DockerID, Time: at, Lines: []state.LogEntry{
			{Time: at, Level: state.Severe, Process: state.ProcessTask, Text: "Action failed: " + string(c.Action) + " (" + reason.Error() + ")"},
		}})
	return err
}
