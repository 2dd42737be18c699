package agent

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"kiosc/agent/engine"
	"kiosc/agent/guard"
	"kiosc/cluster/pki"
	"kiosc/cluster/wire"
)

const (
	// The wait before something is tried again doubles from the first to the last of these, with jitter, so that the
	// agents of a large cluster don't come back all at once.
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = 10 * time.Second
	// goodSession is how long a session must have lasted for the next wait to begin from firstBackoff again.
	goodSession = 10 * time.Second
)

// Config says who the agent is and what it works with.
type Config struct {
	Credentials *pki.Credentials
	// Dir has the certificate, the list of managers, and small files for as long as the agent runs.
	Dir string
	// Managers are the cluster ports, host:port, that are tried beside those that the agent remembers.
	Managers []string
	Name     string // what people call this node
	Labels   map[string]string
	Build    string // kiosc's version
	Engine   *engine.Engine
	// Guard keeps containers from the host and the managers; nil to leave the packet filter alone. Allowed they may reach.
	Guard   *guard.Guard
	Allowed []guard.Place
	// DemoImage is the reference of the image that is made of Binary, this program's file, when it is first wanted.
	// Empty for none.
	DemoImage, Binary string
	Logger            *slog.Logger
}

// Agent connects one Docker host with a cluster.
type Agent struct {
	cfg    Config
	engine *engine.Engine
	logger *slog.Logger

	reports   *outbox
	workers   *workers
	followers *followers
	watch     *watch
	links     *links
	lease     *lease
	hearts    *heartbeats
	figures   figures
	files     *files
	fence     *fence

	mu         sync.Mutex
	term       uint64            // highest Raft term seen
	orders     *orders           // the stream that orders come on; nil for none
	placements map[string]uint64 // container → highest number of a placement seen
}

// New makes an agent that does nothing until Run.
func New(cfg Config) *Agent {
	a := &Agent{cfg: cfg, engine: cfg.Engine, logger: cfg.Logger, reports: newOutbox(), placements: make(map[string]uint64)}
	a.followers = newFollowers(cfg.Engine, cfg.Logger)
	a.workers = newWorkers(a)
	a.watch = newWatch(a)
	a.links = newLinks(a)
	a.lease = newLease()
	a.hearts = newHeartbeats(a)
	a.figures.engine = cfg.Engine
	a.files = newFiles(a)
	a.fence = newFence(a)
	return a
}

// Run keeps a session with every manager until ctx ends. It returns after everything it started has. Docker containers
// are left as they are.
func (a *Agent) Run(ctx context.Context) {
	defer a.workers.stop()
	defer a.followers.stop()
	var running sync.WaitGroup
	defer running.Wait()
	for _, part := range []func(context.Context){a.watch.run, a.renew, a.links.run, a.mindLease, a.hearts.run, a.files.run, a.fence.run} {
		running.Add(1)
		go func() {
			defer running.Done()
			part(ctx)
		}()
	}
	<-ctx.Done()
}

// accepts tells whether a leader of this term may be followed, and remembers the term.
func (a *Agent) accepts(term uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if term < a.term {
		return false
	}
	a.term = term
	return true
}

// current tells whether an order is of no older placement than others seen for the container, and remembers it.
func (a *Agent) current(o *wire.Order) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o.Placement < a.placements[o.Container] {
		return false
	}
	a.placements[o.Container] = o.Placement
	return true
}

// progress tells people who wait what happens now. It is dropped when nobody gives orders.
func (a *Agent) progress(p *wire.Progress) { a.reports.setProgress(p) }
