package dispatch

import (
	"maps"
	"sync"
	"time"

	"kiosc/cluster/wire"
)

// visitLinger is how long a visit counts after its connection has ended, because a visitor who reads a page has none.
const visitLinger = 10 * time.Second

// visits counts the connections of visitors to each container, here and as other managers tell.
type visits struct {
	mu     *sync.Mutex
	open   map[string]int            // container → connections through this manager
	ended  map[string]time.Time      // container → when its last connection ended
	others map[string]map[string]int // manager → container → connections
	said   bool                      // the others were told of visits last time
}

func newVisits() visits {
	return visits{mu: new(sync.Mutex), open: make(map[string]int), ended: make(map[string]time.Time),
		others: make(map[string]map[string]int)}
}

// enter counts a connection until it is closed or killed.
func (v *visits) enter(container string, stream *wire.Stream) *visit {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.open[container]++
	return &visit{Stream: stream, of: v, container: container, counted: true}
}

// visit is one connection of a visitor. It counts while it is in use, not while the proxy keeps it for the next one.
type visit struct {
	*wire.Stream
	of        *visits
	container string
	counted   bool // guarded by of.mu
}

// Rest says that the connection waits to be used again.
func (v *visit) Rest() { v.count(false) }

// Resume says that it is used again. It returns false when the stream can't be.
func (v *visit) Resume() bool {
	if !v.Quiet() {
		return false
	}
	v.count(true)
	return true
}

// Close ends the connection, see wire.Stream.
func (v *visit) Close() error {
	v.count(false)
	return v.Stream.Close()
}

// Kill ends the connection, see wire.Stream.
func (v *visit) Kill() {
	v.count(false)
	v.Stream.Kill()
}

func (v *visit) count(use bool) {
	v.of.mu.Lock()
	defer v.of.mu.Unlock()
	if v.counted == use {
		return
	}
	v.counted = use
	if use {
		v.of.open[v.container]++
		return
	}
	if v.of.open[v.container]--; v.of.open[v.container] == 0 {
		delete(v.of.open, v.container)
		v.of.ended[v.container] = time.Now()
	}
}

// here counts the visits through this manager, those included that have just ended.
func (v *visits) here(now time.Time) map[string]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	count := maps.Clone(v.open)
	for container, at := range v.ended {
		if now.Sub(at) > visitLinger {
			delete(v.ended, container)
		} else if count[container] == 0 {
			count[container] = 1
		}
	}
	return count
}

func (v *visits) told(by string, open map[string]int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(open) == 0 {
		delete(v.others, by)
		return
	}
	v.others[by] = open
}

// Visits counts a container's visits through all managers.
func (h *Hub) Visits(container string) int {
	n := h.visits.here(time.Now())[container]
	h.visits.mu.Lock()
	defer h.visits.mu.Unlock()
	for _, open := range h.visits.others {
		n += open[container]
	}
	return n
}

// TellVisits tells the other managers who visits what through this one. Only the leader needs it, for hosts that drain.
func (h *Hub) TellVisits() {
	if h.cfg.Mesh == nil {
		return
	}
	open := h.visits.here(time.Now())
	h.visits.mu.Lock()
	silent := len(open) == 0 && !h.visits.said
	h.visits.said = len(open) > 0
	h.visits.mu.Unlock()
	if !silent {
		h.cfg.Mesh.Tell(&wire.Visits{Open: open})
	}
}
