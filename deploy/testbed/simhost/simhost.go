// Package simhost simulates Docker hosts: agents that speak the real protocol with real managers and have no Docker. What
// one is ordered to do is done at once. It is for measuring large clusters, and for what real hosts do rarely.
package simhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"kiosc/cluster/pki"
	"kiosc/cluster/wire"
)

// timeout bounds the beginning of a session; very many may begin at once.
const timeout = 2 * time.Minute

// Host is one simulated Docker host.
type Host struct {
	Name string
	// Ordered is called for each order, before it is done, from any goroutine.
	Ordered func(*wire.Order)
	// Figures is what the host says that its containers have used, from any goroutine; nil for a host that is too old to
	// say it.
	Figures func() []wire.Figure
	// Keeps tells whether the host doesn't remove what it is told to, from any goroutine; nil for never.
	Keeps func() bool
	// Stock is what the host says that its Docker Engine has, and Removed what becomes of what is to be removed of it; false
	// for a host that is lost there. They are called from any goroutine, and nil for a host that is too old for it.
	Stock   func(sizes bool) *wire.Stock
	Removed func(id string) (wire.StockRemoved, bool)

	mu         sync.Mutex
	containers map[string]wire.Observed
	seq        uint64
	orders     *wire.Stream             // the newest
	sessions   map[string]*wire.Session // by the manager's address

	writing sync.Mutex
}

// Run joins the cluster and keeps a session with each manager until ctx ends. ready is called once all sessions stand.
func (h *Host) Run(ctx context.Context, address string, token pki.JoinToken, ready func()) error {
	key, csr, err := pki.NewKey()
	if err != nil {
		return err
	}
	request := &wire.JoinRequest{Versions: []uint16{wire.Version}, Secret: token.Secret, Role: string(pki.RoleAgent), Name: h.Name, CSR: csr}
	var answer *wire.JoinAnswer
	for answer == nil {
		if answer, err = wire.AskToJoin(ctx, []string{address}, token, request); err != nil && ctx.Err() != nil {
			return err
		}
	}
	identity, err := pki.JoinIdentity(key, answer.Certificate, answer.CA)
	if err != nil {
		return err
	}
	credentials := pki.NewCredentials(identity)
	var open, sessions sync.WaitGroup
	failed := make(chan error, len(answer.Managers))
	for _, m := range answer.Managers {
		open.Add(1)
		sessions.Add(1)
		go func() {
			defer sessions.Done()
			up := sync.OnceFunc(open.Done)
			defer up()
			if err := h.session(ctx, m.Address, credentials, up); err != nil && ctx.Err() == nil {
				failed <- fmt.Errorf("%s with %s: %w", h.Name, m.Address, err)
			}
		}()
	}
	open.Wait()
	ready()
	sessions.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func (h *Host) session(ctx context.Context, address string, credentials *pki.Credentials, up func()) error {
	dialing, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	link, err := wire.Dial(dialing, address, credentials, wire.ALPNAgent)
	if err != nil {
		return err
	}
	defer link.Close()
	defer context.AfterFunc(ctx, func() { link.Close() })()
	control, err := link.Open(dialing, wire.Control, nil)
	if err != nil {
		return err
	}
	engine := wire.EngineInfo{Version: "simulated", CPUs: 16, MemoryBytes: 64 << 30, NetworkMode: "docker-shared"}
	if err := wire.Write(control, &wire.Hello{Versions: []uint16{wire.Version}, Name: h.Name, Build: "bench", Engine: engine}); err != nil {
		return err
	}
	msg, err := wire.Read(control)
	if err != nil {
		return err
	}
	if refused, is := msg.(*wire.Refusal); is {
		return fmt.Errorf("refused: %s", refused.Reason)
	}
	h.mu.Lock()
	if h.sessions == nil {
		h.sessions = make(map[string]*wire.Session)
	}
	h.sessions[address] = link
	h.mu.Unlock()
	up()
	go func() { // ends with the session
		for {
			if _, err := wire.Read(control); err != nil {
				link.Close()
				return
			}
		}
	}()
	for {
		kind, raw, stream, err := link.Accept(ctx)
		if err != nil {
			return err
		}
		var usage wire.UsageHeader
		var stock wire.StockHeader
		switch {
		case kind == wire.DockerStock && h.Stock != nil && wire.DecodeHeader(raw, &stock) == nil:
			go h.tell(stream, h.Stock(stock.Sizes))
		case kind == wire.StockRemoval && h.Removed != nil:
			go h.removeStock(stream)
		case kind == wire.Orders:
			go h.obey(stream)
		case kind == wire.Usage && h.Figures != nil && wire.DecodeHeader(raw, &usage) == nil:
			go h.sendFigures(stream, usage.Every)
		default:
			stream.Kill()
		}
	}
}

// File asks the manager at an address for a small file, as for one of the host's containers.
func (h *Host) File(ctx context.Context, manager string, head wire.FileHeader) (*wire.FileAnswer, []byte, error) {
	h.mu.Lock()
	link := h.sessions[manager]
	h.mu.Unlock()
	if link == nil {
		return nil, nil, errors.New("there is no session with " + manager)
	}
	stream, err := link.Open(ctx, wire.File, head)
	if err != nil {
		return nil, nil, err
	}
	defer stream.Kill()
	stream.SetDeadline(time.Now().Add(timeout))
	msg, err := wire.Read(stream)
	answer, ok := msg.(*wire.FileAnswer)
	if err != nil || !ok || answer.Error != "" {
		return answer, nil, err
	}
	if err := wire.Write(stream, &wire.FileWanted{}); err != nil {
		return answer, nil, err
	}
	content, err := io.ReadAll(stream)
	return answer, content, err
}

// sendFigures ends with the stream.
func (h *Host) sendFigures(stream *wire.Stream, every time.Duration) {
	defer stream.Kill()
	for wire.Write(stream, &wire.Figures{Containers: h.Figures()}) == nil {
		time.Sleep(every)
	}
}

// tell ends with what it tells.
func (h *Host) tell(stream *wire.Stream, stock *wire.Stock) {
	defer stream.Close()
	if err := wire.Write(stream, stock); err != nil {
		stream.Kill()
	}
}

// removeStock ends with the last outcome, or where the host is lost. What it has told by then arrives.
func (h *Host) removeStock(stream *wire.Stream) {
	defer stream.Close()
	msg, err := wire.Read(stream)
	wish, ok := msg.(*wire.RemoveStock)
	if err != nil || !ok {
		stream.Kill()
		return
	}
	var ids []string
	for _, one := range wish.Images {
		ids = append(ids, one.ID)
	}
	for _, id := range append(ids, wish.Volumes...) {
		out, there := h.Removed(id)
		if !there || wire.Write(stream, &out) != nil {
			return
		}
	}
}

// obey follows one stream of orders. It ends with the stream.
func (h *Host) obey(stream *wire.Stream) {
	defer stream.Kill()
	h.mu.Lock()
	h.orders = stream
	h.mu.Unlock()
	err := h.write(stream, h.inventory())
	for err == nil {
		var msg any
		if msg, err = wire.Read(stream); err != nil {
			return
		}
		switch m := msg.(type) {
		case *wire.Order:
			h.Ordered(m)
			err = h.write(stream, h.do(m))
		case *wire.Lease:
			err = h.write(stream, &wire.LeaseAck{Seq: m.Seq})
		case *wire.Remove:
			h.remove(m.DockerIDs)
			err = h.write(stream, h.inventory())
		case *wire.InventoryRequest:
			err = h.write(stream, h.inventory())
		}
	}
}

// write writes one message at a time, to whichever stream.
func (h *Host) write(stream *wire.Stream, msg any) error {
	h.writing.Lock()
	defer h.writing.Unlock()
	return wire.Write(stream, msg)
}

// TakeInventory tells the leader what the host has, as hosts do after they lost touch with Docker.
func (h *Host) TakeInventory() error {
	h.mu.Lock()
	stream := h.orders
	h.mu.Unlock()
	if stream == nil {
		return errors.New("no leader follows the host yet")
	}
	return h.write(stream, h.inventory())
}

func (h *Host) inventory() *wire.Inventory {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := &wire.Inventory{}
	for _, o := range h.containers {
		all.Containers = append(all.Containers, o)
	}
	return all
}

// Have gives the host a Docker container that nobody has ordered.
func (h *Host) Have(o wire.Observed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.containers == nil {
		h.containers = make(map[string]wire.Observed)
	}
	h.containers[o.Container] = o
}

// Lose takes a container's Docker container from the host, as nobody has ordered.
func (h *Host) Lose(container string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.containers, container)
}

// Has tells whether the host has a Docker container of a container.
func (h *Host) Has(container string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, has := h.containers[container]
	return has
}

func (h *Host) remove(dockerIDs []string) {
	if h.Keeps != nil && h.Keeps() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.containers, func(_ string, o wire.Observed) bool { return slices.Contains(dockerIDs, o.DockerID) })
}

func (h *Host) do(m *wire.Order) *wire.Report {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := wire.Observed{Container: m.Container, Generation: m.Generation, Placement: m.Placement,
		DockerID: fmt.Sprint(m.Container, "-", m.Generation), ImageID: "sha256:simulated", State: "running", IP: "10.0.0.2", StartedAt: time.Now()}
	if m.Action != "start" && m.Action != "restart" {
		o = h.containers[m.Container]
		o.State = "exited"
	}
	if h.containers == nil {
		h.containers = make(map[string]wire.Observed)
	}
	h.containers[m.Container] = o
	h.seq++
	return &wire.Report{Seq: h.seq, Container: m.Container, Generation: m.Generation, Done: true, State: o.State, Observed: o}
}
