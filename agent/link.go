package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kiosc/cluster/wire"
)

const (
	dialTimeout  = 10 * time.Second
	helloTimeout = 20 * time.Second
)

// refusal is what a manager has said to this agent's hello.
type refusal struct{ reason string }

func (r *refusal) Error() string { return "the manager refuses this agent: " + r.reason }

// errTwice says that there is a session with the manager already, by another address.
var errTwice = errors.New("there is a session with this manager already")

// link is one session with one manager.
type link struct {
	agent   *Agent
	address string // at which it was dialled
	session *wire.Session
	control *wire.Stream
	renewed chan *wire.RenewAnswer

	writing sync.Mutex
}

// session has one session with the manager at address, from the dialling to its end.
func (a *Agent) session(ctx context.Context, address string) error {
	session, err := a.connect(ctx, address)
	if err != nil {
		return err
	}
	defer session.Close()
	stop := context.AfterFunc(ctx, func() { session.Close() })
	defer stop()
	l := &link{agent: a, address: address, session: session, renewed: make(chan *wire.RenewAnswer, 1)}
	id := session.Peer().NodeID
	if !a.links.claim(id, l) {
		return errTwice
	}
	defer a.links.release(id, l)
	if err := l.hello(ctx); err != nil {
		return err
	}
	a.links.up(id, l)
	a.logger.Info("connected with a manager", "manager", address)
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer session.Close()
	defer cancel()
	running.Add(1)
	go func() {
		defer running.Done()
		l.serveStreams(ctx)
	}()
	return l.listen()
}

func (a *Agent) connect(ctx context.Context, address string) (*wire.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	session, err := wire.Dial(ctx, address, a.cfg.Credentials, wire.ALPNAgent)
	if err != nil {
		return nil, fmt.Errorf("beginning a session with the manager %s: %w", address, err)
	}
	return session, nil
}

// hello introduces the agent. Docker may be away: its description then comes with a later session.
func (l *link) hello(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	a := l.agent
	info, err := a.engine.Info(ctx)
	if err != nil {
		a.logger.Debug("Docker does not tell what it is", "error", err)
	}
	info.Exposed = a.fence.exposed(ctx)
	control, err := l.session.Open(ctx, wire.Control, nil)
	if err != nil {
		return fmt.Errorf("opening the control stream: %w", err)
	}
	l.control = control
	control.SetDeadline(time.Now().Add(helloTimeout))
	err = wire.Write(control, &wire.Hello{Versions: []uint16{wire.Version}, Name: a.cfg.Name, Build: a.cfg.Build, Engine: info, Labels: a.cfg.Labels})
	if err != nil {
		return fmt.Errorf("saying hello: %w", err)
	}
	answer, err := wire.Read(control)
	if err != nil {
		return fmt.Errorf("waiting for the manager's welcome: %w", err)
	}
	switch m := answer.(type) {
	case *wire.Welcome:
		if own := a.cfg.Credentials.Peer().ClusterID; m.ClusterID != own {
			return fmt.Errorf("the manager belongs to cluster %s, this agent to %s", m.ClusterID, own)
		}
		a.links.learn(l.session.Peer().NodeID, m.Managers)
	case *wire.Refusal:
		return &refusal{m.Reason}
	default:
		return fmt.Errorf("the manager answered hello with %T", answer)
	}
	control.SetDeadline(time.Time{})
	return nil
}

// listen takes what the manager says on the control stream.
func (l *link) listen() error {
	for {
		msg, err := wire.Read(l.control)
		if err != nil {
			return fmt.Errorf("reading from the manager: %w", err)
		}
		switch m := msg.(type) {
		case *wire.Managers:
			l.agent.links.learn(l.session.Peer().NodeID, m.Managers)
		case *wire.RenewAnswer:
			select {
			case l.renewed <- m:
			default: // nobody has asked
			}
		default:
			return fmt.Errorf("a manager may not send %T", msg)
		}
	}
}

func (l *link) write(msg any) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	return wire.Write(l.control, msg)
}

// serveStreams takes the streams that the manager opens: visitors' connections to containers, and a leader's orders
// and wish for figures.
func (l *link) serveStreams(ctx context.Context) {
	var open sync.WaitGroup
	defer open.Wait()
	room := make(chan struct{}, maxProxied)
	for {
		kind, raw, stream, err := l.session.Accept(ctx)
		if err != nil {
			return
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
			l.serve(ctx, kind, raw, stream)
		}()
	}
}

func (l *link) serve(ctx context.Context, kind wire.Kind, raw []byte, stream *wire.Stream) {
	var to wire.ProxyHeader
	var head wire.OrdersHeader
	var usage wire.UsageHeader
	var stock wire.StockHeader
	switch {
	case kind == wire.Proxy && wire.DecodeHeader(raw, &to) == nil:
		l.agent.serveProxy(ctx, stream, to)
	case kind == wire.Orders && wire.DecodeHeader(raw, &head) == nil:
		l.agent.serveOrders(ctx, l.session, stream, head)
	case kind == wire.Usage && wire.DecodeHeader(raw, &usage) == nil:
		l.agent.serveFigures(ctx, stream, usage)
	case kind == wire.DockerStock && wire.DecodeHeader(raw, &stock) == nil:
		l.agent.serveStock(ctx, stream, stock)
	case kind == wire.StockRemoval:
		l.agent.serveRemoval(ctx, stream)
	default:
		stream.Kill()
	}
}
