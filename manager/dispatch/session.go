package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
)

const (
	// maxLogStreams bounds the Docker containers of one node whose logs come in at once.
	maxLogStreams = 4096
	// writeTimeout bounds each message to an agent.
	writeTimeout = 30 * time.Second
)

// session is one connection with one agent, from its Hello on.
type session struct {
	hub    *Hub
	link   *wire.Session
	node   string
	name   string
	logger *slog.Logger

	writing sync.Mutex // one writer on control at a time
	control *wire.Stream

	sentMu sync.Mutex
	sent   map[string]uint64 // container → generation of the last order sent
	ready  bool              // the inventory is in; orders may go out
}

// welcome takes the agent's Hello and registers the node.
func (s *session) welcome(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	kind, _, control, err := s.link.Accept(ctx)
	if err != nil {
		return fmt.Errorf("waiting for the control stream: %w", err)
	}
	if kind != wire.Control {
		return fmt.Errorf("the first stream has kind %d", kind)
	}
	s.control = control
	control.SetReadDeadline(time.Now().Add(helloTimeout))
	hello, err := read[*wire.Hello](control)
	if err != nil {
		return fmt.Errorf("reading the agent's hello: %w", err)
	}
	control.SetReadDeadline(time.Time{})
	version, ok := wire.Negotiate(hello.Versions)
	if !ok {
		reason := fmt.Sprintf("This manager speaks protocol version %d and the agent %v; bring both to neighbouring kiosc versions.", wire.Version, hello.Versions)
		s.write(&wire.Refusal{Reason: reason})
		return fmt.Errorf("refused: %s", reason)
	}
	var cluster state.Cluster
	err = s.hub.store.View(func(tx *state.Tx) (err error) {
		cluster, _, err = tx.Cluster()
		return err
	})
	if err != nil {
		return err
	}
	s.name = hello.Name
	_, err = s.hub.node.Propose(ctx, &state.NodeRegistered{Node: state.Node{
		ID: s.node, Name: hello.Name, JoinedAt: time.Now().UTC(), DockerVersion: hello.Engine.Version,
		CPUs: hello.Engine.CPUs, MemoryBytes: hello.Engine.MemoryBytes, NetworkMode: hello.Engine.NetworkMode,
		Labels: hello.Labels,
	}})
	if err != nil {
		return fmt.Errorf("registering the node: %w", err)
	}
	return s.write(&wire.Welcome{Version: version, ClusterID: cluster.ID, NodeID: s.node})
}

func (s *session) write(msg any) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	return wire.Write(s.control, msg)
}

// run serves the session until it ends. It returns after everything it started has.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.link.Close() })
	defer stop()
	var streams sync.WaitGroup
	defer streams.Wait()
	streams.Add(1)
	go func() {
		defer streams.Done()
		s.acceptLogs(ctx, &streams)
	}()
	err := s.listen(ctx)
	cancel()
	s.link.Close()
	return err
}

// listen handles what the agent says on the control stream, in order.
func (s *session) listen(ctx context.Context) error {
	for {
		msg, err := wire.Read(s.control)
		if err != nil {
			return fmt.Errorf("reading from the agent: %w", err)
		}
		switch m := msg.(type) {
		case *wire.Inventory:
			err = s.takeInventory(ctx, m)
		case *wire.Report:
			err = s.takeReport(ctx, m)
		case *wire.Progress:
			s.takeProgress(m)
		default:
			err = fmt.Errorf("an agent may not send %T", msg)
		}
		if err != nil {
			return err
		}
	}
}

// takeReport makes a report part of the state, then acknowledges it.
func (s *session) takeReport(ctx context.Context, r *wire.Report) error {
	if err := s.store(ctx, r); err != nil {
		return err
	}
	if r.Done {
		s.hub.steps.clear(r.Container)
	}
	return s.write(&wire.Ack{Seq: r.Seq})
}

func (s *session) store(ctx context.Context, r *wire.Report) error {
	o := r.Observed
	c := &state.ContainerReported{
		Container: r.Container, Node: s.node, Generation: r.Generation, Seq: r.Seq, Done: r.Done, State: state.State(r.State),
		DockerID: o.DockerID, ImageID: o.ImageID, IP: o.IP, HostPort: o.HostPort, ExitCode: o.ExitCode,
		StartedAt: o.StartedAt.UTC(), Time: time.Now().UTC(),
	}
	for _, line := range r.Lines {
		c.Lines = append(c.Lines, state.LogEntry{
			Time: line.Time.UTC(), Level: state.Level(line.Level), Process: state.Process(line.Process), Text: line.Text,
		})
	}
	if _, err := s.hub.node.Propose(ctx, c); err != nil {
		return fmt.Errorf("storing a report: %w", err)
	}
	return nil
}

// takeProgress keeps the step if the container is this node's and the step belongs to its current action.
func (s *session) takeProgress(p *wire.Progress) {
	s.hub.store.View(func(tx *state.Tx) error {
		c, ok, err := tx.Container(p.Container)
		if err == nil && ok && c.Node == s.node && c.Generation == p.Generation && c.Pending() {
			s.hub.steps.set(p.Container, step{generation: p.Generation, text: p.Text, percent: p.Percent})
		}
		return err
	})
}

// takeInventory compares what the node has with what it should have: changes are stored, and Docker containers that
// belong to no container are removed. After it orders may be sent.
func (s *session) takeInventory(ctx context.Context, inv *wire.Inventory) error {
	there := make(map[string]bool, len(inv.Containers)) // Docker ids
	var reports []*wire.Report
	var orphans []string
	err := s.hub.store.View(func(tx *state.Tx) error {
		for _, o := range inv.Containers {
			there[o.DockerID] = true
			c, ok, err := tx.Container(o.Container)
			if err != nil {
				return err
			}
			switch {
			case !ok || c.Node != s.node || !c.Pending() && c.DockerID != "" && c.DockerID != o.DockerID:
				orphans = append(orphans, o.DockerID)
			case !c.Pending() && c.DockerID == o.DockerID:
				reports = append(reports, &wire.Report{Container: c.ID, State: o.State, Observed: o})
			}
		}
		mine, err := tx.ContainersOn(s.node)
		for _, c := range mine {
			if !c.Pending() && c.DockerID != "" && !there[c.DockerID] {
				reports = append(reports, &wire.Report{Container: c.ID, Observed: wire.Observed{DockerID: c.DockerID}})
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, r := range reports {
		if err := s.store(ctx, r); err != nil {
			return err
		}
	}
	if len(orphans) > 0 {
		s.logger.Info("removing Docker containers that belong to no container", "ids", orphans)
		if err := s.write(&wire.Remove{Term: s.hub.node.Term(), DockerIDs: orphans}); err != nil {
			return err
		}
	}
	s.sentMu.Lock()
	s.ready = true
	s.sentMu.Unlock()
	s.hub.wake()
	return nil
}

// errSpec says that no order can be made of the container as it is, now or later.
var errSpec = errors.New("the container's settings can't be used")

// order sends the container's current order unless this session has sent it before.
func (s *session) order(c *state.Container) error {
	s.sentMu.Lock()
	defer s.sentMu.Unlock()
	if !s.ready || s.sent[c.ID] >= c.Generation {
		return nil
	}
	spec, err := specOf(c, s.hub.key)
	if err != nil {
		return fmt.Errorf("%w: %w", errSpec, err)
	}
	s.hub.steps.set(c.ID, step{generation: c.Generation, text: "Waiting for the Docker host " + s.name + ".", percent: -1})
	err = s.write(&wire.Order{Term: s.hub.node.Term(), Container: c.ID, Generation: c.Generation,
		Action: string(c.Action), Spec: spec})
	if err != nil {
		return fmt.Errorf("sending an order: %w", err)
	}
	s.sent[c.ID] = c.Generation
	return nil
}

// forget drops what was sent for containers that have no action under way any more.
func (s *session) forget(pending map[string]bool) {
	s.sentMu.Lock()
	defer s.sentMu.Unlock()
	for id := range s.sent {
		if !pending[id] {
			delete(s.sent, id)
		}
	}
}
