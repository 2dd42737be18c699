package agent

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"kiosc/agent/engine"
	"kiosc/cluster/pki"
	"kiosc/cluster/wire"
)

const (
	// The wait before connecting again doubles from the first to the last of these, with jitter, so that the agents of
	// a large cluster don't come back all at once.
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = 10 * time.Second
	// goodSession is how long a session must have lasted for the next wait to begin from firstBackoff again.
	goodSession = 10 * time.Second
)

// Config says who the agent is and what it works with.
type Config struct {
	Identity pki.Identity
	Manager  string // host:port of the manager's cluster port
	Name     string // what people call this node
	Labels   map[string]string
	Engine   *engine.Engine
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

	mu   sync.Mutex
	term uint64 // highest Raft term seen in an order
}

// New makes an agent that does nothing until Run.
func New(cfg Config) *Agent {
	a := &Agent{cfg: cfg, engine: cfg.Engine, logger: cfg.Logger, reports: newOutbox()}
	a.followers = newFollowers(cfg.Engine, cfg.Logger)
	a.workers = newWorkers(a)
	return a
}

// Run keeps a session with the manager until ctx ends. It returns after everything it started has. Docker containers
// are left as they are.
func (a *Agent) Run(ctx context.Context) {
	defer a.workers.stop()
	defer a.followers.stop()
	wait := firstBackoff
	for ctx.Err() == nil {
		began := time.Now()
		err := a.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) >= goodSession {
			wait = firstBackoff
		}
		level := slog.LevelWarn
		if errors.Is(err, engine.ErrUnavailable) {
			level = slog.LevelError
		}
		a.logger.Log(ctx, level, "the session with the manager ended; trying again", "manager", a.cfg.Manager, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, lastBackoff)
	}
}

// accepts tells whether an order of this term may be followed, and remembers the term.
func (a *Agent) accepts(term uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if term < a.term {
		return false
	}
	a.term = term
	return true
}

// progress tells people who wait what happens now. It is dropped when no session is up.
func (a *Agent) progress(p *wire.Progress) { a.reports.setProgress(p) }
