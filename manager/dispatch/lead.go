package dispatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
	"kiosc/manager/schedule"
)

// lookEvery is how often the leader looks at everything without being woken. Grace periods and deadlines are noticed by
// it, and a lost wake-up can only delay.
const lookEvery = time.Second

// firstVisits is how long the leader waits, from when it sees that a host drains, for the other managers to tell of its
// visitors: they do so every second.
const firstVisits = 3 * time.Second

// lead is what a manager does while it leads.
type lead struct {
	hub   *Hub
	term  uint64
	began time.Time

	draining map[string]time.Time // node id → since when this leader has seen it drain

	running sync.WaitGroup // lines
	mu      sync.Mutex
	lines   map[string]*line // by node id
}

// Run leads until ctx ends: it talks with every agent and brings every container to where and what it should be. It is
// for the leader alone: consensus.Node.Lead calls it.
func (h *Hub) Run(ctx context.Context) {
	l := &lead{hub: h, term: h.node.Term(), began: time.Now(), draining: make(map[string]time.Time), lines: make(map[string]*line)}
	defer l.running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.setLead(l)
	defer h.setLead(nil)
	pending, stop := h.store.Watch(state.TopicPending)
	defer stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := l.look(ctx); err != nil && ctx.Err() == nil {
			h.logger.Error("the leader could not do its work; it tries again", "error", err)
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

func (h *Hub) setLead(l *lead) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leading = l
}

// Seen tells when the leader last heard of a host; zero for never in its time, or where this manager doesn't lead.
func (h *Hub) Seen(node string) time.Time {
	h.mu.Lock()
	l := h.leading
	h.mu.Unlock()
	if l == nil {
		return time.Time{}
	}
	if one := l.line(node); one != nil {
		seen, _, _ := one.look()
		return seen
	}
	return time.Time{}
}

func (l *lead) line(node string) *line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[node]
}

// view is the part of the state that decisions are made from.
type view struct {
	pending []state.Container
	agents  []state.Node
	usage   map[string]state.Usage
	// leaving are the containers without an action on hosts that are down, drain or are removed, by node.
	leaving map[string][]state.Container
	// homes are the nodes that the volumes of these containers are on, by container.
	homes map[string][]string
}

func (l *lead) look(ctx context.Context) error {
	v := view{usage: make(map[string]state.Usage), leaving: make(map[string][]state.Container), homes: make(map[string][]string)}
	if err := l.hub.store.View(v.read); err != nil {
		return err
	}
	l.keepLines(ctx, v.agents)
	l.noteDraining(v.agents)
	if err := l.judge(ctx, v.agents); err != nil {
		return err
	}
	p := l.placing(&v)
	for _, c := range v.pending {
		if err := p.pending(ctx, &c); err != nil {
			return err
		}
	}
	for _, list := range v.leaving {
		for _, c := range list {
			if err := p.leaving(ctx, &c); err != nil {
				return err
			}
		}
	}
	pending := make(map[string]bool, len(v.pending))
	for _, c := range v.pending {
		pending[c.ID] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.lines {
		one.forget(pending)
	}
	return nil
}

func (v *view) read(tx *state.Tx) (err error) {
	if v.pending, err = tx.Pending(); err != nil {
		return err
	}
	for _, c := range v.pending {
		if v.homes[c.ID], err = tx.HomesOf(&c); err != nil {
			return err
		}
	}
	if v.agents, err = tx.Agents(); err != nil {
		return err
	}
	for _, n := range v.agents {
		if v.usage[n.ID], err = tx.Usage(n.ID); err != nil {
			return err
		}
	}
	used, err := tx.UsedNodes()
	if err != nil {
		return err
	}
	for _, id := range used {
		n, known, err := tx.Node(id)
		if err != nil {
			return err
		}
		if known && n.Health != state.Down && n.Availability != state.Draining {
			continue
		}
		on, err := tx.ContainersOn(id)
		if err != nil {
			return err
		}
		for _, c := range on {
			if !c.Pending() && (c.State == state.Running || c.State == state.Restarting) {
				v.leaving[id] = append(v.leaving[id], c)
				if v.homes[c.ID], err = tx.HomesOf(&c); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// keepLines has a line with every agent of the state.
func (l *lead) keepLines(ctx context.Context, agents []state.Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	there := make(map[string]bool, len(agents))
	for _, n := range agents {
		there[n.ID] = true
		if l.lines[n.ID] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		one := &line{hub: l.hub, term: l.term, node: n.ID, cancel: cancel, seen: l.began}
		l.lines[n.ID] = one
		l.running.Add(1)
		go func() {
			defer l.running.Done()
			defer cancel()
			one.run(ctx)
		}()
	}
	for id, one := range l.lines {
		if !there[id] {
			one.cancel()
			delete(l.lines, id)
		}
	}
}

func (l *lead) noteDraining(agents []state.Node) {
	for _, n := range agents {
		if n.Availability != state.Draining {
			delete(l.draining, n.ID)
		} else if _, known := l.draining[n.ID]; !known {
			l.draining[n.ID] = time.Now()
		}
	}
}

// visited tells whether a container of a draining host is to stay for its visitors, as far as is known.
func (l *lead) visited(c *state.Container, host *state.Node) bool {
	if !time.Now().Before(host.DrainBy) {
		return false
	}
	return time.Since(l.draining[host.ID]) < firstVisits || l.hub.Visits(c.ID) > 0
}

// judge makes part of the state which hosts are down and which are back. A host is down when it was unseen for the grace
// period by every way, in this leader's time: a new leader gives each the whole period anew.
func (l *lead) judge(ctx context.Context, agents []state.Node) error {
	for i := range agents {
		n := &agents[i]
		seen, ready, _ := l.line(n.ID).look()
		health := n.Health
		switch {
		case n.Health != state.Down && time.Since(seen) > l.hub.cfg.Grace:
			health = state.Down
		case n.Health == state.Down && ready:
			health = state.Ready
		}
		if health == n.Health {
			continue
		}
		l.hub.logger.Warn("a Docker host is "+string(health), "name", n.Name, "node", n.ID, "unseen", time.Since(seen).Round(time.Second))
		_, err := l.hub.node.Propose(ctx, &state.NodeHealthChanged{Node: n.ID, Health: health, At: time.Now().UTC()})
		if err != nil {
			return err
		}
		n.Health = health
	}
	return nil
}

// placing decides on the places of containers, one after the other, and counts what each decision takes.
type placing struct {
	*lead
	hosts map[string]*schedule.Host
	homes map[string][]string // of volumes, by container
	order []string            // of hosts, to go through them always alike
}

func (l *lead) placing(v *view) *placing {
	p := &placing{lead: l, hosts: make(map[string]*schedule.Host, len(v.agents)), homes: v.homes}
	for _, n := range v.agents {
		h := &schedule.Host{Node: n, Usage: v.usage[n.ID]}
		switch _, ready, away := l.line(n.ID).look(); {
		case !ready:
			h.Away = "is not connected"
		case away:
			h.Away = "its Docker Engine does not answer"
		}
		p.hosts[n.ID] = h
		p.order = append(p.order, n.ID)
	}
	return p
}

// pick finds a host for c, other than the one that it is on.
func (p *placing) pick(c *state.Container) (id, reason string) {
	var hosts []schedule.Host
	for _, id := range p.order {
		if id != c.Node {
			hosts = append(hosts, *p.hosts[id])
		}
	}
	return schedule.Pick(p.want(c), hosts)
}

func (p *placing) want(c *state.Container) schedule.Want {
	return schedule.Want{Container: c, Homes: p.homes[c.ID]}
}

// unfit says why the host that c is on can't have it any more; empty where it can. A restart, which may bring a new
// definition, leaves a host for that alone, and not because it is being drained.
func (p *placing) unfit(c *state.Container, host schedule.Host) string {
	if c.Action == state.Restart {
		host.Node.Availability = state.Active
	}
	want := p.want(c)
	return schedule.Against(want, schedule.Without(want, host))
}

// take counts a decision.
func (p *placing) take(c *state.Container, id string) {
	h := p.hosts[id]
	h.Usage.Active++
	h.Usage.MilliCPUs += c.ReservedMilliCPUs
	h.Usage.MemoryBytes += c.ReservedMemory
}

// pending deals with a container that has an action under way.
func (p *placing) pending(ctx context.Context, c *state.Container) error {
	host := p.hosts[c.Node]
	switch {
	case c.Node == "":
		return p.place(ctx, c, "")
	case host == nil || host.Node.Health == state.Down:
		return p.lost(ctx, c)
	case (c.Action == state.Start || c.Action == state.Restart) && host.Away == "":
		// Sticky, because the image is there, as long as the host will have it.
		if why := p.unfit(c, *host); why != "" {
			return p.place(ctx, c, host.Node.Name+": "+why)
		}
	}
	return p.give(ctx, c, host)
}

// place gives c to another host. Where there is none, c stays as it is and people are told why.
func (p *placing) place(ctx context.Context, c *state.Container, against string) error {
	id, reason := p.pick(c)
	if id == "" {
		if against != "" {
			reason += " " + against + "."
		}
		p.hub.setStep(c, reason, -1)
		return nil
	}
	_, err := p.hub.node.Propose(ctx, &state.ContainerPlaced{Container: c.ID, Generation: c.Generation, Node: id})
	if err != nil {
		return err
	}
	p.take(c, id)
	c.Node, c.Placement = id, c.Placement+1
	return p.give(ctx, c, p.hosts[id])
}

// lost deals with a container whose host is down or removed.
func (p *placing) lost(ctx context.Context, c *state.Container) error {
	command := &state.ContainerLost{Container: c.ID, Generation: c.Generation, From: c.Node, At: time.Now().UTC()}
	if !c.Pending() || c.Action != state.Delete && c.Action != state.Stop {
		id, reason := p.pick(c)
		if id == "" {
			p.hub.setStep(c, reason, -1)
			return nil
		}
		command.To = id
	}
	if _, err := p.hub.node.Propose(ctx, command); err != nil {
		return err
	}
	if command.To != "" {
		p.take(c, command.To)
	}
	return nil
}

// leaving moves a running container away from a host that is down, removed or drains. From a draining one it goes when
// nobody visits it or the deadline is over, and only where another host will have it.
func (p *placing) leaving(ctx context.Context, c *state.Container) error {
	host := p.hosts[c.Node]
	if host == nil || host.Node.Health == state.Down {
		return p.lost(ctx, c)
	}
	if host.Away != "" || p.visited(c, &host.Node) {
		return nil
	}
	id, reason := p.pick(c)
	if id == "" {
		p.hub.setStep(c, reason, -1)
		return nil
	}
	p.take(c, id)
	_, err := p.hub.node.Propose(ctx, &state.ContainerMoveRequested{Container: c.ID, Generation: c.Generation, At: time.Now().UTC()})
	return err
}

// give sends c's order to its host, if that is connected. An order that can't be sent is tried again; one that can't be
// made has failed.
func (p *placing) give(ctx context.Context, c *state.Container, host *schedule.Host) error {
	if host.Away != "" {
		p.hub.setStep(c, "Waiting for the Docker host "+host.Node.Name+": it "+host.Away+".", -1)
		return nil
	}
	err := p.line(c.Node).order(c, host.Node.Name)
	if errors.Is(err, errSpec) {
		return p.fail(ctx, c, err)
	}
	if err != nil {
		p.hub.logger.Warn("an order could not be given", "container", c.ID, "node", c.Node, "error", err)
	}
	return nil
}

// fail ends c's action with the reason in its log.
func (p *placing) fail(ctx context.Context, c *state.Container, reason error) error {
	at := time.Now().UTC()
	_, err := p.hub.node.Propose(ctx, &state.ContainerReported{Container: c.ID, Node: c.Node, Generation: c.Generation,
		Seq: c.ReportSeq + 1, Done: true, State: state.Failed, DockerID: c.DockerID, Time: at, Lines: []state.LogEntry{
			{Time: at, Level: state.Severe, Process: state.ProcessTask, Text: "Action failed: " + string(c.Action) + " (" + reason.Error() + ")"},
		}})
	return err
}

// setStep makes the momentary step of c's action known here and to the other managers.
func (h *Hub) setStep(c *state.Container, text string, percent int) {
	if h.steps.set(c.ID, step{generation: c.Generation, text: text, percent: percent}) && h.cfg.Mesh != nil {
		h.cfg.Mesh.Tell(&wire.Progress{Container: c.ID, Generation: c.Generation, Text: text, Percent: percent})
	}
}
