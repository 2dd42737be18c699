package agent

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"kiosc/cluster/wire"
)

const (
	// An app that answers is asked every beatEvery, one that doesn't every silentEvery, or while it is young every youngEvery,
	// because people wait for it.
	beatEvery   = 15 * time.Second
	silentEvery = 5 * time.Second
	youngEvery  = time.Second
	youngFor    = 2 * time.Minute
	// beatTimeout bounds one question.
	beatTimeout = 5 * time.Second
	// missedBeats is how many questions in a row an app must have failed to answer to count as not answering.
	missedBeats = 2
	// beatsAtOnce bounds the questions that are under way.
	beatsAtOnce = 16
)

// heartbeats asks the apps that have a heartbeat URL, each at its own Docker container and nowhere else, whether they
// answer.
type heartbeats struct {
	agent *Agent
	every time.Duration // beatEvery, but in tests
	slots chan struct{}
	all   sync.WaitGroup

	mu sync.Mutex
	of map[string]*heartbeat // Docker id → what is known
}

// heartbeat is one app.
type heartbeat struct {
	container, path string
	port            int
	silent, asking  bool
	missed          int
	since, due      time.Time
}

func newHeartbeats(a *Agent) *heartbeats {
	return &heartbeats{agent: a, every: beatEvery, slots: make(chan struct{}, beatsAtOnce), of: make(map[string]*heartbeat)}
}

// tell completes what Docker says of a Docker container: whether its app answers. One that was started a while ago, by an
// agent before this, is taken to answer until it is found not to.
func (h *heartbeats) tell(o *wire.Observed) {
	port, path, ok := cutBeat(o.Heartbeat)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !ok || o.State != "running" {
		delete(h.of, o.DockerID)
		o.Silent = false
		return
	}
	one := h.of[o.DockerID]
	if one == nil {
		one = &heartbeat{container: o.Container, path: path, port: port, since: time.Now(), silent: time.Since(o.StartedAt) < youngFor}
		h.of[o.DockerID] = one
	}
	o.Silent = one.silent
}

// cutBeat reads the label: port and path.
func cutBeat(text string) (port int, path string, ok bool) {
	number, _, found := strings.Cut(text, "/")
	port, err := strconv.Atoi(number)
	return port, text[len(number):], found && err == nil
}

// run asks until ctx ends.
func (h *heartbeats) run(ctx context.Context) {
	defer h.all.Wait()
	tick := time.NewTicker(youngEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			h.askDue(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (h *heartbeats) askDue(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, one := range h.of {
		if one.asking || time.Now().Before(one.due) {
			continue
		}
		select {
		case h.slots <- struct{}{}:
		default:
			return // the next tick
		}
		one.asking = true
		h.all.Add(1)
		go func() {
			defer h.all.Done()
			defer func() { <-h.slots }()
			h.settle(ctx, id, one, h.answers(ctx, id, one))
		}()
	}
}

// answers asks once. Any answer is one that isn't a fault of the server.
func (h *heartbeats) answers(ctx context.Context, dockerID string, one *heartbeat) bool {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	client := http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return h.agent.engine.Dial(ctx, dockerID, one.port)
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	address := "http://" + net.JoinHostPort("localhost", strconv.Itoa(one.port)) + one.path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false
	}
	request.Header.Set("User-Agent", "kiosc-heartbeat")
	answer, err := client.Do(request)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode < http.StatusInternalServerError
}

// settle takes an answer, and tells the leader where it changes something.
func (h *heartbeats) settle(ctx context.Context, dockerID string, one *heartbeat, answered bool) {
	h.mu.Lock()
	before := one.silent
	one.asking = false
	if answered {
		one.missed, one.silent = 0, false
	} else if one.missed++; one.missed >= missedBeats {
		one.silent = true
	}
	wait := h.every
	switch {
	case one.silent && time.Since(one.since) < youngFor, !one.silent && one.missed > 0:
		wait = youngEvery
	case one.silent:
		wait = silentEvery
	}
	one.due = time.Now().Add(wait)
	changed := one.silent != before && h.of[dockerID] == one
	h.mu.Unlock()
	if !changed || ctx.Err() != nil {
		return
	}
	if err := h.agent.observe(ctx, one.container, dockerID); err != nil && ctx.Err() == nil {
		h.agent.logger.Debug("whether an app answers could not be told", "container", one.container, "error", err)
	}
}
