package agent

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"kiosc/agent/engine"
	"kiosc/cluster/wire"
)

const (
	// filePort is where containers ask for small files, at the gateway of their project's network; it is in the links.
	filePort = 8080
	// lookForNetworks is how often the projects' networks are looked at without being asked to.
	lookForNetworks = 30 * time.Second
	// maxFileConns bounds the connections from one project's network, maxAllFileConns those from all. More wait.
	maxFileConns    = 64
	maxAllFileConns = 1024

	fileHeadTimeout = 10 * time.Second
	fileIdleTimeout = 15 * time.Second
	// fileWriteTimeout is how long a container may take to read an answer; the largest file has 128 MiB.
	fileWriteTimeout = 10 * time.Minute
	maxFileHead      = 16 << 10
	filesStopGrace   = 2 * time.Second
)

// files answers the containers of this host that fetch small files of their project. It listens at the gateway of each
// project's network, and nowhere else. Who asks is told by the network that the connection came over and by Docker, which
// knows whose the address is.
type files struct {
	agent  *Agent
	logger *slog.Logger
	cache  *fileCache
	server *http.Server
	conns  chan struct{} // one taken for each connection

	mu        sync.Mutex // one look at the networks at a time
	closed    bool
	listening map[string]*fileListener // network id → where it is served
	failed    map[string]string        // network id → why it isn't, for people
	running   sync.WaitGroup
}

func newFiles(a *Agent) *files {
	f := &files{agent: a, logger: a.logger, cache: newFileCache(filepath.Join(a.cfg.Dir, "files"), maxCached),
		conns: make(chan struct{}, maxAllFileConns), listening: make(map[string]*fileListener), failed: make(map[string]string)}
	f.server = &http.Server{Handler: f, ReadTimeout: fileHeadTimeout, IdleTimeout: fileIdleTimeout, WriteTimeout: fileWriteTimeout,
		MaxHeaderBytes: maxFileHead, ErrorLog: log.New(noWriter{}, "", 0), // clients' faults
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, networkKey{}, c.(*fileConn).network)
		}}
	return f
}

type noWriter struct{}

func (noWriter) Write(p []byte) (int, error) { return len(p), nil }

// networkKey finds the network in the context of a request.
type networkKey struct{}

// run listens in the projects' networks until ctx ends, and returns after all requests have.
func (f *files) run(ctx context.Context) {
	if err := f.cache.clear(); err != nil {
		f.logger.Error("containers can't fetch small files", "error", err)
	}
	tick := time.NewTicker(lookForNetworks)
	defer tick.Stop()
	for {
		f.look(ctx)
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		break
	}
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	grace, cancel := context.WithTimeout(context.Background(), filesStopGrace)
	defer cancel()
	if f.server.Shutdown(grace) != nil {
		f.server.Close()
	}
	f.running.Wait()
}

// look begins to listen where a network is new, and ends it where one has gone.
func (f *files) look(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	networks, err := f.agent.engine.ProjectNetworks(ctx)
	if err != nil {
		if ctx.Err() == nil {
			f.logger.Debug("the projects' networks can't be looked at", "error", err)
		}
		return
	}
	there := make(map[string]bool)
	for _, n := range networks {
		there[n.ID] = true
	}
	// First: a new network may have the address of one that has gone.
	for id, l := range f.listening {
		if !there[id] {
			l.Close()
			delete(f.listening, id)
		}
	}
	for id := range f.failed {
		if !there[id] {
			delete(f.failed, id)
		}
	}
	for _, n := range networks {
		if f.listening[n.ID] == nil {
			f.listen(n)
		}
	}
}

// listen begins to serve a network. f.mu is held.
func (f *files) listen(n engine.ProjectNetwork) {
	why := ""
	var ln net.Listener
	if !engine.IsLocal(n.Gateway) {
		why = "The agent is not in the network namespace of this Docker Engine, as with rootless Docker."
	} else {
		var err error
		if ln, err = wire.ListenShared(net.JoinHostPort(n.Gateway.String(), strconv.Itoa(filePort))); err != nil {
			why = "The agent can't listen at the gateway of the project's network: " + err.Error() + "."
		}
	}
	if why != "" {
		if f.failed[n.ID] != why {
			f.logger.Warn("containers of a project can't fetch small files on this Docker host", "project", n.Project, "reason", why)
		}
		f.failed[n.ID] = why
		return
	}
	delete(f.failed, n.ID)
	l := &fileListener{Listener: ln, network: n, slots: make(chan struct{}, maxFileConns), all: f.conns, done: make(chan struct{})}
	f.listening[n.ID] = l
	f.running.Go(func() {
		if err := f.server.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			f.logger.Warn("the agent no longer answers in a project's network", "project", n.Project, "error", err)
			f.forget(n.ID, l)
		}
	})
}

// forget makes the next look listen anew.
func (f *files) forget(network string, l *fileListener) {
	l.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listening[network] == l {
		delete(f.listening, network)
	}
}

// unserved tells why the containers of a project can't fetch files on this host; empty where they can. It looks for new
// networks first, so that a container that is about to be started finds its own served.
func (f *files) unserved(ctx context.Context, project string) string {
	f.look(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.listening {
		if l.network.Project == project {
			return ""
		}
	}
	for _, why := range f.failed {
		return why // the same for all
	}
	return "Its project's network is not known to the agent."
}

// fileListener accepts connections from one project's network, as many at once as there are slots.
type fileListener struct {
	net.Listener
	network    engine.ProjectNetwork
	slots, all chan struct{}
	done       chan struct{}
	closing    sync.Once
}

// Accept waits for a slot before the next connection is taken.
func (l *fileListener) Accept() (net.Conn, error) {
	for _, slots := range []chan struct{}{l.slots, l.all} {
		select {
		case slots <- struct{}{}:
		case <-l.done:
			return nil, net.ErrClosed
		}
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		<-l.all
		return nil, err
	}
	return &fileConn{Conn: conn, network: l.network, release: sync.OnceFunc(func() { <-l.slots; <-l.all })}, nil
}

// Close also ends the wait for a slot.
func (l *fileListener) Close() error {
	l.closing.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// fileConn is a connection that came over a project's network.
type fileConn struct {
	net.Conn
	network engine.ProjectNetwork
	release func()
}

// Close gives the slot back.
func (c *fileConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// remoteAddr is where a request came from.
func remoteAddr(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr().Unmap()
}
