// Package figures knows what containers use of CPU, memory and network, and have used of late.
//
// On the leader it asks every agent for figures and keeps those of the last hour, in memory alone: they are worth neither a
// place in Raft nor a disk's. Another manager asks the leader. It decides nothing and authorises nobody; manager/service
// does.
//
// What must always hold:
//   - A figure counts only where the state says that the container is on the node that sent it.
//   - Memory is bounded: Kept samples for each of at most maxContainers containers.
//   - With a new leader the history begins anew. What isn't known is told as such and never as zero.
package figures

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
)

const (
	// DefaultEvery is the time between two figures of a container, and Kept how many are kept: those of an hour.
	DefaultEvery = 15 * time.Second
	Kept         = 240
	// maxContainers have figures; a sample takes 40 bytes, so that all of them take 50 MiB. Of further ones nothing is known.
	maxContainers = 5000
	// maxAge bounds what an agent may say of how old its figures are.
	maxAge = time.Minute
)

// Config is what a Book works with.
type Config struct {
	Store *state.Store
	// Reach opens a stream to an agent.
	Reach func(ctx context.Context, node string, kind wire.Kind, header any) (*wire.Stream, error)
	// Leader is the node id of the leader, empty where none is known; Self is this manager's.
	Leader func() string
	Self   string
	// Call asks another manager.
	Call   func(ctx context.Context, manager, method string, in, out any) error
	Logger *slog.Logger

	// Every is the time between two figures of a container, of which Kept are kept; 0 for DefaultEvery.
	Every time.Duration
}

// Book has the figures. Its methods may be called from any goroutine.
type Book struct {
	cfg Config

	mu    sync.Mutex
	since time.Time // when this manager began to lead; zero while it doesn't
	of    map[string]*series
}

// New makes an empty Book.
func New(cfg Config) *Book {
	if cfg.Every == 0 {
		cfg.Every = DefaultEvery
	}
	return &Book{cfg: cfg, of: make(map[string]*series)}
}

// sample is what one container had used at a time. The counters go on where a new Docker container began at 0.
type sample struct {
	at             int64 // milliseconds since 1970, by this manager's clock
	cpu            uint64
	memory         uint64
	received, sent uint64
}

// series is the history of one container.
type series struct {
	docker   string
	samples  []sample // a ring once it has Kept
	first    int      // index of the oldest
	raw      sample   // the last as Docker counts
	base     sample   // what earlier Docker containers had counted
	limit    uint64   // of memory
	restarts []int64  // when the Docker container was seen to be another, or started anew; within the history
}

func (s *series) len() int        { return len(s.samples) }
func (s *series) at(i int) sample { return s.samples[(s.first+i)%len(s.samples)] }
func (s *series) last() sample    { return s.at(len(s.samples) - 1) }

// add takes a figure that was read at a time. One that isn't younger than the last is left out.
func (s *series) add(f *wire.Figure, at time.Time) {
	now := sample{at: at.UnixMilli(), cpu: f.CPU, memory: f.Memory, received: f.Received, sent: f.Sent}
	if s.len() > 0 && now.at <= s.last().at {
		return
	}
	if s.len() > 0 && (f.DockerID != s.docker || now.cpu < s.raw.cpu) {
		last := s.last()
		s.base = sample{cpu: last.cpu, received: last.received, sent: last.sent}
		s.restarts = append(s.restarts, now.at)
	}
	s.docker, s.limit, s.raw = f.DockerID, f.MemoryLimit, now
	now.cpu += s.base.cpu
	now.received += s.base.received
	now.sent += s.base.sent
	if s.len() < Kept {
		s.samples = append(s.samples, now)
	} else {
		s.samples[s.first] = now
		s.first = (s.first + 1) % Kept
	}
	for len(s.restarts) > 0 && (len(s.restarts) > Kept || s.restarts[0] <= s.at(0).at) {
		s.restarts = s.restarts[1:]
	}
}

// take adds what an agent has sent.
func (b *Book) take(node string, msg *wire.Figures, now time.Time) error {
	mine := make([]bool, len(msg.Containers))
	err := b.cfg.Store.View(func(tx *state.Tx) error {
		for i := range msg.Containers {
			c, ok, err := tx.Container(msg.Containers[i].Container)
			if err != nil {
				return err
			}
			mine[i] = ok && c.Node == node
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.since.IsZero() {
		return nil
	}
	for i := range msg.Containers {
		f := &msg.Containers[i]
		if !mine[i] {
			continue
		}
		s := b.of[f.Container]
		if s == nil {
			if len(b.of) >= maxContainers {
				continue
			}
			s = &series{}
			b.of[f.Container] = s
		}
		s.add(f, now.Add(-min(max(f.Age, 0), maxAge)))
	}
	return nil
}

// forget drops containers without a figure for the length of the history.
func (b *Book) forget(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, s := range b.of {
		if now.UnixMilli()-s.last().at > (Kept * b.cfg.Every).Milliseconds() {
			delete(b.of, id)
		}
	}
}

// begin and end enclose the time in which this manager leads.
func (b *Book) begin(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.since = now
	clear(b.of)
}

func (b *Book) end() { b.begin(time.Time{}) }
