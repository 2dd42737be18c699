package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
)

const (
	// MinGrace keeps the grace period well above the times in which a lost connection is noticed.
	MinGrace = 5 * time.Second
	// openTimeout bounds the opening of a stream of orders by one way.
	openTimeout = 5 * time.Second
	// inventoryTimeout bounds how long a host may take to list what it has.
	inventoryTimeout = 60 * time.Second
	// The wait before another try to reach an agent doubles from the first to the last; a new way ends it.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 2 * time.Second
	// maxReports bounds the reports of one agent that wait to be stored.
	maxReports = 256
	// maxRemovals is how often a host is told to remove the same Docker containers before it gets orders all the same.
	maxRemovals = 5
)

// leaseEvery is the time between the leases of one host.
func leaseEvery(grace time.Duration) time.Duration { return min(grace/6, 5*time.Second) }

// leaseOf is how long a lease lasts. It is less than the grace period, so that it has run out when the host counts as
// down, also where its clock is a little slower than the leader's.
func leaseOf(grace time.Duration) time.Duration { return grace * 9 / 10 }

// line is the leader's conversation with one agent.
type line struct {
	hub    *Hub
	term   uint64
	node   string
	cancel context.CancelFunc

	mu         sync.Mutex
	stream     *wire.Stream
	writeMu    sync.Mutex           // one writer at a time
	sent       map[string]sentOrder // container → the last order sent on this stream
	ready      bool                 // the inventory is in; orders may go out
	seen       time.Time            // when the host was last heard
	dockerAway bool
	removals   int // how often in a row the inventory had what doesn't belong
	checked    checked
}

// sentOrder is what tells one order for a container from another.
type sentOrder struct{ generation, placement uint64 }

// run talks with the agent until ctx ends, by whatever way there is.
func (l *line) run(ctx context.Context) {
	wait := firstRetry
	for attempt := 0; ctx.Err() == nil; attempt++ {
		ways, changed := l.hub.ways(l.node)
		began := time.Now()
		if len(ways) > 0 {
			way := ways[attempt%len(ways)]
			err := l.talk(ctx, way)
			l.hub.logger.Debug("a stream of orders ended", "node", l.node, "through", way, "reason", err)
		}
		if time.Since(began) > lastRetry {
			wait = firstRetry
		}
		select {
		case <-changed:
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-ctx.Done():
		}
		wait = min(2*wait, lastRetry)
	}
}

// talk has one stream of orders from its opening to its end.
func (l *line) talk(ctx context.Context, way string) error {
	opening, cancelOpening := context.WithTimeout(ctx, openTimeout)
	defer cancelOpening()
	stream, err := l.hub.open(opening, way, l.node, wire.Orders, wire.OrdersHeader{Term: l.term, Leader: l.hub.node.ID()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, stream.Kill)
	defer stop()
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	l.begin(stream)
	defer l.end()
	reports := make(chan *wire.Report, maxReports)
	leased := make(chan uint64, 16)
	running.Add(2)
	go func() {
		defer running.Done()
		defer stream.Kill()
		l.storeReports(ctx, reports)
	}()
	go func() {
		defer running.Done()
		defer stream.Kill()
		l.lend(ctx, leased)
	}()
	return l.listen(ctx, stream, reports, leased)
}

func (l *line) begin(stream *wire.Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stream, l.sent, l.ready, l.removals = stream, make(map[string]sentOrder), false, 0
}

func (l *line) end() {
	l.mu.Lock()
	l.stream, l.ready = nil, false
	l.mu.Unlock()
	l.hub.wake()
}

// listen handles what the agent says, in order. Storing reports is not waited for, so that signs of life aren't late.
func (l *line) listen(ctx context.Context, stream *wire.Stream, reports chan<- *wire.Report, leased chan<- uint64) error {
	patience := inventoryTimeout
	for {
		stream.SetReadDeadline(time.Now().Add(patience))
		msg, err := wire.Read(stream)
		if err != nil {
			return fmt.Errorf("reading from the agent: %w", err)
		}
		l.heard()
		switch m := msg.(type) {
		case *wire.Inventory:
			if err := l.takeInventory(ctx, m); err != nil {
				return err
			}
			patience = 3 * leaseEvery(l.hub.cfg.Grace)
			pass(leased, 0)
		case *wire.Report:
			select {
			case reports <- m:
			case <-ctx.Done():
				return ctx.Err()
			}
		case *wire.Progress:
			l.takeProgress(m)
		case *wire.LeaseAck:
			l.setAway(m.DockerAway)
			pass(leased, m.Seq)
		default:
			return fmt.Errorf("an agent may not send %T", msg)
		}
	}
}

// pass never waits: where the channel is full, its reader ends with the stream.
func pass(c chan<- uint64, v uint64) {
	select {
	case c <- v:
	default:
	}
}

func (l *line) heard() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = time.Now()
}

func (l *line) setAway(away bool) {
	l.mu.Lock()
	changed := l.dockerAway != away
	l.dockerAway = away
	l.mu.Unlock()
	if changed {
		l.hub.wake()
	}
}

// lend gives the host leases: the first after its inventory, each next one some time after the one before was answered.
func (l *line) lend(ctx context.Context, answered <-chan uint64) {
	var seq, last uint64
	every := leaseEvery(l.hub.cfg.Grace)
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	for {
		select {
		case got := <-answered:
			switch {
			case got == 0 && seq == 0 && l.isReady():
				due.Reset(0)
			case got == seq && got != last:
				last = got
				due.Reset(every)
			}
		case <-due.C:
			seq++
			if l.write(&wire.Lease{Seq: seq, Duration: leaseOf(l.hub.cfg.Grace)}) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

var errNoStream = errors.New("there is no stream of orders with the host")

func (l *line) write(msg any) error {
	l.mu.Lock()
	stream := l.stream
	l.mu.Unlock()
	if stream == nil {
		return errNoStream
	}
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	stream.SetWriteDeadline(time.Now().Add(writeTimeout))
	return wire.Write(stream, msg)
}

// storeReports makes reports part of the state, in order, and acknowledges each.
func (l *line) storeReports(ctx context.Context, reports <-chan *wire.Report) {
	for {
		select {
		case r := <-reports:
			if _, err := l.store(ctx, r); err != nil {
				l.hub.logger.Warn("a report could not be stored", "node", l.node, "error", err)
				return
			}
			if r.Done {
				l.hub.steps.clear(r.Container)
			}
			if l.write(&wire.Ack{Seq: r.Seq}) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// store makes a report part of the state, and tells whether an observation was news.
func (l *line) store(ctx context.Context, r *wire.Report) (news bool, err error) {
	o, now := r.Observed, time.Now().UTC()
	c := &state.ContainerReported{
		Container: r.Container, Node: l.node, Generation: r.Generation, Seq: r.Seq, Done: r.Done, State: state.State(r.State),
		DockerID: o.DockerID, ImageID: o.ImageID, IP: o.IP, HostPort: o.HostPort, ExitCode: o.ExitCode,
		StartedAt: o.StartedAt.UTC(), Interrupted: o.Interrupted, Time: now, Began: now, Silent: o.Silent,
	}
	if !o.StartedAt.IsZero() && o.StartedAt.Before(now) {
		c.Began = c.StartedAt
	}
	for _, line := range r.Lines {
		c.Lines = append(c.Lines, state.LogEntry{
			Time: line.Time.UTC(), Level: state.Level(line.Level), Process: state.Process(line.Process), Text: line.Text,
		})
	}
	if r.Generation == 0 {
		if news, err := l.news(c); err != nil || !news {
			return false, err
		}
	}
	if _, err := l.hub.node.Propose(ctx, c); err != nil {
		return false, fmt.Errorf("storing a report: %w", err)
	}
	return true, nil
}

// news tells whether an observation says something that the state doesn't.
func (l *line) news(r *state.ContainerReported) (news bool, err error) {
	err = l.hub.store.View(func(tx *state.Tx) error {
		c, ok, err := tx.Container(r.Container)
		news = ok && c.Node == l.node && c.News(r)
		return err
	})
	return news, err
}

// takeProgress keeps the step if the container is this node's and the step belongs to its current action.
func (l *line) takeProgress(p *wire.Progress) {
	l.hub.store.View(func(tx *state.Tx) error {
		c, ok, err := tx.Container(p.Container)
		if err == nil && ok && c.Node == l.node && c.Generation == p.Generation && c.Pending() {
			l.hub.setStep(&c, p.Text, p.Percent)
		}
		return err
	})
}

// difference is what an inventory says that the state doesn't.
type difference struct {
	orphans []state.Orphan // what doesn't belong on the node
	noted   []state.Orphan // what is known not to have
	reports []*wire.Report
}

// compare finds out what of an inventory is news. A Docker container belongs to the node if the container is placed
// there, by the same placement, and no other Docker container is known to be it. While an action is under way its own
// reports tell, and its order removes what is too much.
func (l *line) compare(tx *state.Tx, inv *wire.Inventory) (d difference, err error) {
	there := make(map[string]bool, len(inv.Containers)) // Docker ids
	for _, o := range inv.Containers {
		there[o.DockerID] = true
		c, ok, err := tx.Container(o.Container)
		if err != nil {
			return d, err
		}
		switch {
		case !ok || c.Node != l.node || o.Placement != 0 && o.Placement < c.Placement,
			!c.Pending() && c.DockerID != "" && c.DockerID != o.DockerID,
			!c.Pending() && c.DockerID == "" && o.State == "created": // made after nobody waited for it any more
			d.orphans = append(d.orphans, state.Orphan{Node: l.node, DockerID: o.DockerID, Container: o.Container})
		case !c.Pending() && c.DockerID == o.DockerID:
			d.reports = append(d.reports, &wire.Report{Container: c.ID, State: o.State, Observed: o})
		}
	}
	if d.noted, err = tx.Orphans(l.node); err != nil {
		return d, err
	}
	mine, err := tx.ContainersOn(l.node)
	for _, c := range mine {
		if !c.Pending() && c.DockerID != "" && !there[c.DockerID] {
			d.reports = append(d.reports, &wire.Report{Container: c.ID, Observed: wire.Observed{DockerID: c.DockerID}})
		}
	}
	return d, err
}

// takeInventory stores what the host has that the state doesn't know, and tells it to remove what isn't its own. Until
// that is gone the host gets no orders and no lease.
func (l *line) takeInventory(ctx context.Context, inv *wire.Inventory) error {
	if inv.Away {
		l.setAway(true)
		l.setReady()
		l.checked.add(0, 0, 0)
		return nil
	}
	l.setAway(false)
	var d difference
	err := l.hub.store.View(func(tx *state.Tx) (err error) {
		d, err = l.compare(tx, inv)
		return err
	})
	if err != nil {
		return err
	}
	if err := l.noteOrphans(ctx, inv, &d); err != nil {
		return err
	}
	corrected := 0
	for _, r := range d.reports {
		news, err := l.store(ctx, r)
		if err != nil {
			return err
		}
		if news {
			corrected++
		}
	}
	defer l.checked.add(len(inv.Containers), corrected, len(d.orphans))
	if len(d.orphans) == 0 {
		l.mu.Lock()
		l.removals = 0
		l.mu.Unlock()
		l.setReady()
		return nil
	}
	var ids []string
	for _, o := range d.orphans {
		ids = append(ids, o.DockerID)
	}
	l.hub.logger.Info("removing Docker containers that don't belong on the host", "node", l.node, "ids", ids)
	if l.tired() {
		l.hub.logger.Error("the host does not remove Docker containers that don't belong there; remove them by hand", "node", l.node, "ids", ids)
		l.setReady()
	}
	return l.write(&wire.Remove{Term: l.term, DockerIDs: ids})
}

// tired tells whether the host has been told often enough to remove something.
func (l *line) tired() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removals++
	return l.removals > maxRemovals
}

func (l *line) setReady() {
	l.mu.Lock()
	changed := !l.ready
	l.ready = true
	l.mu.Unlock()
	if changed {
		l.hub.wake()
	}
}

func (l *line) isReady() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ready
}

// look returns what the leader knows of the host now.
func (l *line) look() (seen time.Time, ready, dockerAway bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen, l.ready, l.dockerAway
}

// errSpec says that no order can be made of the container as it is, now or later.
var errSpec = errors.New("the container's settings can't be used")

// order sends the container's current order unless this stream has carried it before.
func (l *line) order(c *state.Container, name string) error {
	l.mu.Lock()
	due := l.ready && l.sent[c.ID] != sentOrder{c.Generation, c.Placement}
	l.mu.Unlock()
	if !due {
		return nil
	}
	spec, err := l.hub.spec(c)
	if err != nil {
		return err
	}
	l.hub.setStep(c, "Waiting for the Docker host "+name+".", -1)
	err = l.write(&wire.Order{Term: l.term, Container: c.ID, Generation: c.Generation, Placement: c.Placement,
		Action: string(c.Action), Spec: spec})
	if err != nil {
		return fmt.Errorf("sending an order: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[c.ID] = sentOrder{c.Generation, c.Placement}
	return nil
}

// forget drops what was sent for containers that have no action under way any more.
func (l *line) forget(pending map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.sent {
		if !pending[id] {
			delete(l.sent, id)
		}
	}
}
