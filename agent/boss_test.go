package agent

import (
	"context"
	"crypto/tls"
	"io"
	"kiosc/cluster/pki"
	"kiosc/cluster/wire"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// boss is one manager.
type boss struct {
	w        *world
	id, addr string
	listener *wire.Listener
	stop     func()
	sessions chan *talk // each one when it begins

	mu        sync.Mutex
	managers  []*boss
	refusal   string
	noRenewal string // why certificates are not renewed
	open      int    // sessions
	lines     *store
	shelf     *shelf
}

// talk is a session from a manager's side.
type talk struct {
	*boss
	link    *wire.Session
	hello   *wire.Hello
	control *wire.Stream
	done    chan struct{}
}

// newBoss starts a manager on a port of its own. It tells agents of itself until told otherwise.
func (w *world) newBoss(id string) *boss {
	w.Helper()
	b := &boss{w: w, id: id, sessions: make(chan *talk, 100), lines: newStore(), shelf: newShelf()}
	b.managers = []*boss{b}
	b.listen("127.0.0.1:0")
	w.Cleanup(func() { b.stop() })
	return b
}

func (b *boss) listen(addr string) {
	b.w.Helper()
	credentials := pki.NewCredentials(b.w.identity(pki.RoleManager, b.id, time.Now()))
	var err error
	b.listener, err = wire.Listen(addr, credentials, b.w.logger())
	require.NoError(b.w, err)
	if b.addr == "" { // others may read it already where it begins again
		b.addr = b.listener.Addr().String()
	}
	b.listener.Handle(wire.ALPNAgent, b.serve)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.listener.Serve(ctx)
	}()
	b.stop = func() {
		cancel()
		<-done
	}
}

// restart ends all sessions and begins again at the same port.
func (b *boss) restart() {
	b.stop()
	b.listen(b.addr)
}

func (b *boss) serve(ctx context.Context, conn *tls.Conn, peer pki.Peer) {
	link, err := wire.NewServerSession(conn)
	if err != nil {
		return
	}
	defer link.Close()
	stop := context.AfterFunc(ctx, func() { link.Close() })
	defer stop()
	kind, _, control, err := link.Accept(ctx)
	if err != nil || kind != wire.Control {
		return
	}
	hello, err := wire.ReadAs[*wire.Hello](control)
	if err != nil {
		return
	}
	b.mu.Lock()
	refusal := b.refusal
	b.mu.Unlock()
	if refusal != "" {
		wire.Write(control, &wire.Refusal{Reason: refusal})
		return
	}
	if wire.Write(control, &wire.Welcome{Version: wire.Version, ClusterID: clusterID, NodeID: peer.NodeID, Managers: b.list()}) != nil {
		return
	}
	b.count(+1)
	defer b.count(-1)
	s := &talk{boss: b, link: link, hello: hello, control: control, done: make(chan struct{})}
	defer close(s.done)
	b.sessions <- s
	var running sync.WaitGroup
	defer running.Wait()
	defer link.Close()
	running.Go(func() { s.takeLogs(ctx, &running) })
	for {
		request, err := wire.ReadAs[*wire.RenewRequest](control)
		if err != nil {
			return
		}
		wire.Write(control, b.renew(peer, request))
	}
}

func (b *boss) renew(peer pki.Peer, request *wire.RenewRequest) *wire.RenewAnswer {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.noRenewal != "" {
		return &wire.RenewAnswer{Refused: b.noRenewal}
	}
	certificate, err := b.w.ca.Issue(request.CSR, peer.Role, peer.NodeID, peer.ClusterID, time.Now(), 0)
	if err != nil {
		return &wire.RenewAnswer{Refused: err.Error()}
	}
	return &wire.RenewAnswer{Certificate: certificate}
}

func (b *boss) count(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open += n
}

// connected is the number of sessions.
func (b *boss) connected() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

func (b *boss) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// list is what the manager tells agents.
func (b *boss) list() (list []wire.ManagerAddress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, one := range b.managers {
		list = append(list, wire.ManagerAddress{ID: one.id, Address: one.addr})
	}
	return list
}

// know makes all the same cluster.
func know(all ...*boss) {
	for _, b := range all {
		b.set(func() { b.managers = all })
	}
}

// session waits for the next session with the agent.
func (b *boss) session() *talk {
	b.w.Helper()
	return receive(b.w.T, "a session with "+b.id, b.sessions)
}

// tell sends the list of managers.
func (s *talk) tell() {
	s.w.Helper()
	require.NoError(s.w, wire.Write(s.control, &wire.Managers{Managers: s.list()}))
}

// stream is a stream of orders from the leader's side.
type stream struct {
	*wire.Stream
	w           *world
	term        uint64
	inventories chan *wire.Inventory
	reports     []*wire.Report // that nobody has waited for yet
	steps       []string
	mu          sync.Mutex // guards reports and steps
	acks        chan *wire.LeaseAck
	ended       chan error
	noAcks      atomic.Bool
}

// lead opens a stream of orders.
func (s *talk) lead(term uint64) *stream {
	s.w.Helper()
	o := &stream{w: s.w, term: term, inventories: make(chan *wire.Inventory, 1000), acks: make(chan *wire.LeaseAck, 1000), ended: make(chan error, 1)}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	o.Stream, err = s.link.Open(ctx, wire.Orders, wire.OrdersHeader{Term: term, Leader: s.id})
	require.NoError(s.w, err)
	go o.listen()
	s.w.Cleanup(func() {
		o.Kill()
		<-o.ended
	})
	return o
}

func (o *stream) listen() {
	first := true
	for {
		msg, err := wire.Read(o)
		if err != nil {
			o.ended <- err
			close(o.ended)
			return
		}
		switch m := msg.(type) {
		case *wire.Inventory:
			o.inventories <- m
		case *wire.Report:
			if first {
				o.w.Error("a report came before the inventory")
			}
			o.mu.Lock()
			o.reports = append(o.reports, m)
			o.mu.Unlock()
			if !o.noAcks.Load() {
				wire.Write(o, &wire.Ack{Seq: m.Seq})
			}
		case *wire.LeaseAck:
			o.acks <- m
		case *wire.Progress:
			o.mu.Lock()
			o.steps = append(o.steps, m.Text)
			o.mu.Unlock()
		default:
			o.w.Errorf("an agent sent %T", m)
		}
		first = false
	}
}

func (o *stream) send(msg any) {
	o.w.Helper()
	require.NoError(o.w, wire.Write(o, msg))
}

func (o *stream) inventory() *wire.Inventory {
	o.w.Helper()
	return receive(o.w.T, "an inventory", o.inventories)
}

// has waits for an inventory of these Docker containers.
func (o *stream) has(ids ...string) *wire.Inventory {
	o.w.Helper()
	for {
		inventory := o.inventory()
		var got []string
		for _, c := range inventory.Containers {
			got = append(got, c.DockerID)
		}
		if !inventory.Away && slices.Equal(got, ids) {
			return inventory
		}
	}
}

// lease sends one and waits for the answer.
func (o *stream) lease(seq uint64, d time.Duration) *wire.LeaseAck {
	o.w.Helper()
	o.send(&wire.Lease{Seq: seq, Duration: d})
	ack := receive(o.w.T, "an answer to the lease", o.acks)
	require.Equal(o.w, seq, ack.Seq)
	return ack
}

// order sends one for the test's app.
func (o *stream) order(id string, generation, placement uint64, action string, command ...string) {
	o.w.Helper()
	o.send(&wire.Order{Term: o.term, Container: id, Generation: generation, Placement: placement, Action: action,
		Spec: wire.Spec{Project: "p-" + id, Image: appImage, Command: command, Port: 8080, Timeout: time.Minute}})
}

// report waits for one that is as wanted.
func (o *stream) report(what string, ok func(*wire.Report) bool) (found *wire.Report) {
	o.w.Helper()
	eventually(o.w.T, what, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		i := slices.IndexFunc(o.reports, ok)
		if i < 0 {
			return false
		}
		found = o.reports[i]
		o.reports = slices.Delete(o.reports, i, i+1)
		return true
	})
	return found
}

// done waits for the report that ends an order.
func (o *stream) done(id string, generation uint64) *wire.Report {
	o.w.Helper()
	return o.report("the end of an order", func(r *wire.Report) bool { return r.Container == id && r.Generation == generation && r.Done })
}

// told waits for the end of an order as well, and returns the lines for the log of all its reports.
func (o *stream) told(id string, generation uint64) (last *wire.Report, lines []string) {
	o.w.Helper()
	last = o.done(id, generation)
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range append(slices.Clone(o.reports), last) {
		for _, line := range r.Lines {
			if r.Container == id && r.Generation == generation {
				lines = append(lines, line.Level+" "+line.Text)
			}
		}
	}
	return last, lines
}

// step waits until an agent says that it has come to a step.
func (o *stream) step(text string) {
	o.w.Helper()
	eventually(o.w.T, text, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return slices.ContainsFunc(o.steps, func(s string) bool { return strings.Contains(s, text) })
	})
}

// observed waits for an observation that is as wanted.
func (o *stream) observed(what string, ok func(wire.Observed) bool) wire.Observed {
	o.w.Helper()
	return o.report(what, func(r *wire.Report) bool { return r.Generation == 0 && ok(r.Observed) }).Observed
}

// visit opens a connection to a container as a manager does for a visitor.
func (s *talk) visit(dockerID string) (*wire.Stream, *wire.ProxyAnswer) {
	s.w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream, err := s.link.Open(ctx, wire.Proxy, wire.ProxyHeader{DockerID: dockerID, Port: 8080})
	require.NoError(s.w, err)
	s.w.Cleanup(stream.Kill)
	stream.SetReadDeadline(time.Now().Add(patience))
	answer, err := wire.ReadAs[*wire.ProxyAnswer](stream)
	require.NoError(s.w, err)
	return stream, answer
}

// echo says something to the test's app and hears it back.
func echo(t *testing.T, stream *wire.Stream) error {
	t.Helper()
	if _, err := stream.Write([]byte("hello")); err != nil {
		return err
	}
	got := make([]byte, 5)
	stream.SetReadDeadline(time.Now().Add(patience))
	_, err := io.ReadFull(stream, got)
	return err
}

// store is where a manager keeps log lines.
type store struct {
	mu    sync.Mutex
	at    map[string]wire.Cursor
	lines map[string][]wire.LogLine
	// spoil decides what happens to a batch; nil for nothing bad.
	spoil func() (drop, silent bool)
}

func newStore() *store {
	return &store{at: make(map[string]wire.Cursor), lines: make(map[string][]wire.LogLine)}
}

func (s *store) of(dockerID string) []wire.LogLine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]wire.LogLine(nil), s.lines[dockerID]...)
}

func (s *talk) takeLogs(ctx context.Context, running *sync.WaitGroup) {
	for {
		kind, raw, stream, err := s.link.Accept(ctx)
		if err != nil {
			return
		}
		var head wire.LogsHeader
		var file wire.FileHeader
		if kind == wire.File && wire.DecodeHeader(raw, &file) == nil {
			running.Go(func() { s.shelf.send(stream, file) })
			continue
		}
		if kind != wire.Logs || wire.DecodeHeader(raw, &head) != nil {
			s.w.Errorf("an agent opened a stream of kind %d", kind)
			stream.Kill()
			continue
		}
		running.Go(func() {
			defer stream.Kill()
			s.lines.take(stream, head.DockerID)
		})
	}
}

// take stores batches as the state does: those that follow what is stored.
func (s *store) take(stream *wire.Stream, id string) {
	s.mu.Lock()
	at := s.at[id]
	s.mu.Unlock()
	if wire.Write(stream, &wire.LogsCursor{Cursor: at}) != nil {
		return
	}
	for {
		batch, err := wire.ReadAs[*wire.LogBatch](stream)
		if err != nil {
			return
		}
		s.mu.Lock()
		var drop, silent bool
		if s.spoil != nil {
			drop, silent = s.spoil()
		}
		ack := &wire.LogAck{Stored: batch.From == s.at[id] && !drop}
		if ack.Stored {
			s.at[id] = batch.To
			s.lines[id] = append(s.lines[id], batch.Lines...)
		}
		ack.Cursor = s.at[id]
		s.mu.Unlock()
		if drop || silent || wire.Write(stream, ack) != nil {
			return
		}
	}
}
