package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"kiosc/agent/engine"
	"kiosc/cluster/wire"
)

const (
	dialTimeout  = 10 * time.Second
	helloTimeout = 10 * time.Second
	writeTimeout = 30 * time.Second
	// proxyDialTimeout bounds the connection to a container's port.
	proxyDialTimeout = 10 * time.Second
	// maxProxied bounds the proxied connections of one session; more are refused.
	maxProxied = 16384
)

// session is one round: connect, say hello, tell everything, then work until something fails. Whatever fails ends all
// of it, and Run begins the next.
func (a *Agent) session(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)
	// part runs f beside the others; when it ends, the session does.
	part := func(f func(context.Context) error) {
		running.Add(1)
		go func() {
			defer running.Done()
			cancel(f(ctx))
		}()
	}

	// The subscription must stand before the inventory is taken, or a change between the two would be missed.
	subscribed := make(chan struct{})
	part(func(ctx context.Context) error {
		return a.engine.Events(ctx, func() { close(subscribed) }, a.event(ctx))
	})
	select {
	case <-subscribed:
	case <-ctx.Done():
		return context.Cause(ctx)
	}

	link, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	stop := context.AfterFunc(ctx, func() { link.Close() })
	defer stop()
	control, err := a.hello(ctx, link)
	if err != nil {
		return err
	}
	seen, err := a.engine.List(ctx)
	if err != nil {
		return err
	}
	if err := wire.Write(control, &wire.Inventory{Containers: seen}); err != nil {
		return fmt.Errorf("sending the inventory: %w", err)
	}
	a.followers.attach(link)
	defer a.followers.detach(link)
	for _, o := range seen {
		a.followers.follow(o.Container, o.DockerID)
	}
	a.reports.rewind()
	part(func(ctx context.Context) error { return a.send(ctx, control) })
	part(func(ctx context.Context) error { return a.receive(ctx, control) })
	part(func(ctx context.Context) error { return a.serveStreams(ctx, link) })
	<-ctx.Done()
	return context.Cause(ctx)
}

func (a *Agent) connect(ctx context.Context) (*wire.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	dialer := &tls.Dialer{Config: a.cfg.Identity.ClientConfig(wire.ALPNAgent)}
	conn, err := dialer.DialContext(ctx, "tcp", a.cfg.Manager)
	if err != nil {
		return nil, fmt.Errorf("connecting to the manager %s: %w", a.cfg.Manager, err)
	}
	link, err := wire.NewClientSession(conn.(*tls.Conn))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("beginning a session: %w", err)
	}
	return link, nil
}

func (a *Agent) hello(ctx context.Context, link *wire.Session) (*wire.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	info, err := a.engine.Info(ctx)
	if err != nil {
		return nil, err
	}
	control, err := link.Open(ctx, wire.Control, nil)
	if err != nil {
		return nil, fmt.Errorf("opening the control stream: %w", err)
	}
	control.SetDeadline(time.Now().Add(helloTimeout))
	err = wire.Write(control, &wire.Hello{Versions: []uint16{wire.Version}, Name: a.cfg.Name, Engine: info, Labels: a.cfg.Labels})
	if err != nil {
		return nil, fmt.Errorf("saying hello: %w", err)
	}
	answer, err := wire.Read(control)
	if err != nil {
		return nil, fmt.Errorf("waiting for the manager's welcome: %w", err)
	}
	switch m := answer.(type) {
	case *wire.Welcome:
		if m.ClusterID != a.cfg.Identity.ClusterID {
			return nil, fmt.Errorf("the manager belongs to cluster %s, this agent to %s", m.ClusterID, a.cfg.Identity.ClusterID)
		}
	case *wire.Refusal:
		return nil, fmt.Errorf("the manager refuses this agent: %s", m.Reason)
	default:
		return nil, fmt.Errorf("the manager answered hello with %T", answer)
	}
	control.SetDeadline(time.Time{})
	return control, nil
}

// send writes what the outbox has, as it comes.
func (a *Agent) send(ctx context.Context, control *wire.Stream) error {
	for {
		for _, msg := range a.reports.next() {
			control.SetWriteDeadline(time.Now().Add(writeTimeout))
			if err := wire.Write(control, msg); err != nil {
				return fmt.Errorf("sending a report: %w", err)
			}
		}
		select {
		case <-a.reports.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// receive takes orders as they come. It never waits for one to be carried out.
func (a *Agent) receive(ctx context.Context, control *wire.Stream) error {
	for {
		msg, err := wire.Read(control)
		if err != nil {
			return fmt.Errorf("reading orders: %w", err)
		}
		switch m := msg.(type) {
		case *wire.Ack:
			a.reports.ack(m.Seq)
		case *wire.Order:
			if a.accepts(m.Term) {
				a.workers.take(m)
			}
		case *wire.Remove:
			if a.accepts(m.Term) {
				a.workers.removeOrphans(m.DockerIDs)
			}
		default:
			return fmt.Errorf("a manager may not send %T", msg)
		}
	}
}

// event turns Docker's events into observations, and follows the logs of what was started.
func (a *Agent) event(ctx context.Context) func(engine.Event) error {
	return func(e engine.Event) error {
		if e.Action == "start" {
			a.followers.follow(e.Container, e.DockerID)
		}
		return a.observe(ctx, e.Container, e.DockerID)
	}
}

// observe tells the manager what Docker says of a Docker container now.
func (a *Agent) observe(ctx context.Context, container, dockerID string) error {
	o, err := a.engine.Inspect(ctx, dockerID)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		o = wire.Observed{Container: container, DockerID: dockerID}
	case err != nil:
		return err
	}
	return a.reports.add(ctx, &wire.Report{Container: container, State: o.State, Observed: o})
}

// serveStreams takes the connections that the manager opens to containers.
func (a *Agent) serveStreams(ctx context.Context, link *wire.Session) error {
	var open sync.WaitGroup
	defer open.Wait()
	room := make(chan struct{}, maxProxied)
	for {
		kind, raw, stream, err := link.Accept(ctx)
		if err != nil {
			return fmt.Errorf("waiting for streams: %w", err)
		}
		var to wire.ProxyHeader
		if kind != wire.Proxy || wire.DecodeHeader(raw, &to) != nil {
			stream.Kill()
			continue
		}
		select {
		case room <- struct{}{}:
		default:
			stream.Kill()
			continue
		}
		open.Add(1)
		go func() {
			defer open.Done()
			defer func() { <-room }()
			a.serveProxy(ctx, stream, to)
		}()
	}
}

func (a *Agent) serveProxy(ctx context.Context, stream *wire.Stream, to wire.ProxyHeader) {
	conn, answer := a.dialContainer(ctx, to)
	stream.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err := wire.Write(stream, answer); err != nil || conn == nil {
		if conn != nil {
			conn.Close()
		}
		stream.Close()
		return
	}
	stream.SetWriteDeadline(time.Time{})
	wire.Splice(ctx, stream, conn)
}

func (a *Agent) dialContainer(ctx context.Context, to wire.ProxyHeader) (net.Conn, *wire.ProxyAnswer) {
	ctx, cancel := context.WithTimeout(ctx, proxyDialTimeout)
	defer cancel()
	conn, err := a.engine.Dial(ctx, to.DockerID, to.Port)
	if err != nil {
		return nil, &wire.ProxyAnswer{Error: err.Error(), Refused: errors.Is(err, engine.ErrRefused)}
	}
	return conn, &wire.ProxyAnswer{}
}
