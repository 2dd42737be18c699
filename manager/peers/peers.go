package peers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"kiosc/cluster/pki"
	"kiosc/cluster/wire"
)

const (
	dialTimeout  = 5 * time.Second
	helloTimeout = 5 * time.Second
	writeTimeout = 10 * time.Second
	// The wait before dialling a peer again doubles from the first to the last, with jitter.
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 3 * time.Second
	// refreshEvery is how often the list of managers is looked at.
	refreshEvery = 500 * time.Millisecond
	// queued bounds the messages that wait to be told to one peer.
	queued = 1024
)

// ErrNotConnected says that there is no session with the manager at the moment.
var ErrNotConnected = errors.New("the manager is not connected")

// Handlers is what this manager does for the others. They are called from the peers' sessions and may run side by side.
type Handlers struct {
	// Take puts a command into the Raft log, see consensus.Node.Take.
	Take func(origin, command []byte) (wait func() error)
	// Call serves a method.
	Call func(ctx context.Context, from, method string, body []byte) ([]byte, error)
	// Open opens a stream on this manager's own session with an agent.
	Open func(ctx context.Context, node string, kind wire.Kind, header any) (*wire.Stream, error)
	// Told is a message that a peer tells of itself: PeerStatus, PeerAgents, Visits or Progress.
	Told func(from string, msg any)
	// Left says that a peer's session has ended.
	Left func(from string)
}

// Config says who this manager is.
type Config struct {
	Credentials *pki.Credentials
	Build       string
	// Managers lists where the managers are, this one included.
	Managers func() []wire.ManagerAddress
	// First are messages that a peer must hear first, such as the list of connected agents.
	First  func() []any
	Logger *slog.Logger
}

// Peers has this manager's sessions with the others. Its methods may be called from any goroutine.
type Peers struct {
	cfg      Config
	self     string
	handlers Handlers

	running sync.WaitGroup // sessions that this manager has dialled

	mu    sync.Mutex
	peers map[string]*peer        // by node id
	heard map[string]*wire.Stream // control streams of those that have dialled this one
}

// New makes Peers without sessions. Handle must be called before Run and Serve.
func New(cfg Config) *Peers {
	return &Peers{cfg: cfg, self: cfg.Credentials.Peer().NodeID, peers: make(map[string]*peer),
		heard: make(map[string]*wire.Stream)}
}

// Handle says what this manager does for the others.
func (p *Peers) Handle(h Handlers) { p.handlers = h }

// peer is another manager, with the session that this one has dialled, if any.
type peer struct {
	id      string
	address string
	cancel  context.CancelFunc
	tell    chan any // messages to be told

	mu        sync.Mutex
	link      *wire.Session
	forwarder *forwarder
}

// Run keeps a session with every other manager until ctx ends.
func (p *Peers) Run(ctx context.Context) error {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		p.refresh(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.running.Wait() // their context has ended with this one
			return nil
		}
	}
}

// refresh begins sessions with new managers and ends those with removed or moved ones.
func (p *Peers) refresh(ctx context.Context) {
	want := make(map[string]string)
	for _, m := range p.cfg.Managers() {
		if m.ID != p.self {
			want[m.ID] = m.Address
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, one := range p.peers {
		if want[id] != one.address {
			one.cancel()
			delete(p.peers, id)
		}
	}
	for id, address := range want {
		if p.peers[id] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		one := &peer{id: id, address: address, cancel: cancel, tell: make(chan any, queued)}
		p.peers[id] = one
		p.running.Add(1)
		go func() {
			defer p.running.Done()
			defer cancel()
			p.keep(ctx, one)
		}()
	}
}

// keep has a session with one manager, again and again.
func (p *Peers) keep(ctx context.Context, one *peer) {
	wait := firstBackoff
	for ctx.Err() == nil {
		began := time.Now()
		err := p.session(ctx, one)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > lastBackoff {
			wait = firstBackoff
		}
		p.cfg.Logger.Debug("the session with another manager ended", "manager", one.id, "address", one.address, "reason", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, lastBackoff)
	}
}

// session is one session from the dialling to its end.
func (p *Peers) session(ctx context.Context, one *peer) error {
	link, control, err := p.connect(ctx, one)
	if err != nil {
		return err
	}
	defer link.Close()
	stop := context.AfterFunc(ctx, func() { link.Close() })
	defer stop()
	forwarder := newForwarder(link)
	var running sync.WaitGroup
	defer running.Wait()
	defer forwarder.close()
	running.Add(1)
	go func() {
		defer running.Done()
		forwarder.run(ctx)
	}()
	one.set(link, forwarder)
	defer one.set(nil, nil)
	p.cfg.Logger.Info("connected with another manager", "manager", one.id, "address", one.address)
	for _, msg := range p.cfg.First() {
		if err := write(control, msg); err != nil {
			return err
		}
	}
	for {
		select {
		case msg := <-one.tell:
			if err := write(control, msg); err != nil {
				return err
			}
		case <-link.Done():
			return link.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func write(stream *wire.Stream, msg any) error {
	stream.SetWriteDeadline(time.Now().Add(writeTimeout))
	return wire.Write(stream, msg)
}

func (p *Peers) connect(ctx context.Context, one *peer) (*wire.Session, *wire.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	link, err := Dial(ctx, p.cfg.Credentials, one.address)
	if err != nil {
		return nil, nil, err
	}
	if id := link.Peer().NodeID; id != one.id {
		link.Close()
		return nil, nil, fmt.Errorf("at %s is the manager %s", one.address, id)
	}
	control, err := Greet(ctx, link, p.cfg.Build)
	if err != nil {
		link.Close()
		return nil, nil, err
	}
	return link, control, nil
}

// Dial begins a session with the manager at an address. Greet must follow.
func Dial(ctx context.Context, credentials *pki.Credentials, address string) (*wire.Session, error) {
	link, err := wire.Dial(ctx, address, credentials, wire.ALPNPeer)
	if err != nil {
		return nil, fmt.Errorf("beginning a session with the manager at %s: %w", address, err)
	}
	return link, nil
}

// Greet introduces this manager on a new session and returns the control stream.
func Greet(ctx context.Context, link *wire.Session, build string) (*wire.Stream, error) {
	control, err := link.Open(ctx, wire.Control, nil)
	if err != nil {
		return nil, err
	}
	control.SetDeadline(time.Now().Add(helloTimeout))
	if err := wire.Write(control, &wire.PeerHello{Versions: []uint16{wire.Version}, Build: build}); err != nil {
		return nil, err
	}
	answer, err := wire.Read(control)
	if err != nil {
		return nil, fmt.Errorf("waiting for the other manager's welcome: %w", err)
	}
	switch m := answer.(type) {
	case *wire.Welcome:
		control.SetDeadline(time.Time{})
		return control, nil
	case *wire.Refusal:
		return nil, fmt.Errorf("the other manager refuses this one: %s", m.Reason)
	}
	return nil, fmt.Errorf("the other manager answered with %T", answer)
}

func (o *peer) set(link *wire.Session, f *forwarder) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.link, o.forwarder = link, f
}

func (o *peer) session() (*wire.Session, *forwarder) {
	if o == nil {
		return nil, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.link, o.forwarder
}

func (p *Peers) peer(id string) *peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.peers[id]
}

// Connected tells whether this manager has a session with the other.
func (p *Peers) Connected(id string) bool {
	link, _ := p.peer(id).session()
	return link != nil
}

// Open begins a stream to another manager.
func (p *Peers) Open(ctx context.Context, id string, kind wire.Kind, header any) (*wire.Stream, error) {
	link, _ := p.peer(id).session()
	if link == nil {
		return nil, ErrNotConnected
	}
	return link.Open(ctx, kind, header)
}

// Tell sends a message about this manager to all others. It never waits: a peer that takes too little misses the oldest.
func (p *Peers) Tell(msg any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.peers {
		if link, _ := one.session(); link == nil {
			continue // it hears what matters first when it comes back
		}
		select {
		case one.tell <- msg:
		default:
			select {
			case <-one.tell:
			default:
			}
			select {
			case one.tell <- msg:
			default:
			}
		}
	}
}
