// Package manager is one manager node: it puts the parts together, starts them in order and stops them in reverse.
//
// It owns the data directory, the listeners and the first start of a cluster. It has no use cases of its own; those are
// in manager/service.
//
// What must always hold: everything that New or Run started has ended when Run returns, and the data directory belongs
// to one process only.
package manager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"kiosc/cluster/consensus"
	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/cluster/wire"
	"kiosc/manager/api"
	"kiosc/manager/dispatch"
	"kiosc/manager/service"
	"kiosc/proxy"
	"kiosc/webui"
)

const (
	// firstLeader bounds the wait for a leader at the start. A cluster of one elects itself within two seconds.
	firstLeader = 30 * time.Second
	// maxBody bounds the body of a request to Kiosc's own pages and API, in bytes. Apps have no such limit.
	maxBody = 16 << 20
)

// Config is what an operator decides.
type Config struct {
	DataDir string
	// Listen is for browsers and API clients, ClusterListen for agents and other managers; host:port each.
	Listen, ClusterListen string
	// Bootstrap makes a new cluster if the data directory has none.
	Bootstrap bool
	// AdminPassword is the first admin's, at the very first start only; empty for a generated one.
	AdminPassword string
	Version       string
	Logger        *slog.Logger
}

// Manager is one running manager.
type Manager struct {
	cfg      Config
	lock     *os.File
	key      clusterKey
	identity pki.Identity
	cluster  *wire.Listener
	web      net.Listener
	admin    net.Listener
	store    *state.Store
	node     *consensus.Node
	hub      *dispatch.Hub
	service  *service.Service
	joining  chan struct{}          // has a value for each node that is joining
	waiting  []interface{ Close() } // have requests that last, which end with Close

	// FirstPassword is the generated password of the first admin; empty after the first start.
	FirstPassword string
}

// New opens the data directory and the listeners and brings the state up, so that every mistake in the settings shows
// here. The caller must call Run, which also closes everything.
func New(ctx context.Context, cfg Config) (_ *Manager, err error) {
	m := &Manager{cfg: cfg, joining: make(chan struct{}, maxJoining)}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.lock, err = lockDir(cfg.DataDir); err != nil {
		return nil, err
	}
	if m.web, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, listenError(cfg.Listen, err)
	}
	key, err := pki.LoadOrCreateKey(m.path(keyFile))
	if err != nil {
		return nil, err
	}
	m.key = clusterKey(key)
	first, err := m.loadIdentity()
	if err != nil {
		return nil, err
	}
	if m.cluster, err = wire.Listen(cfg.ClusterListen, m.identity, cfg.Logger); err != nil {
		return nil, listenError(cfg.ClusterListen, err)
	}
	if err := m.openState(); err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, firstLeader)
	defer cancel()
	if err := m.node.WaitLeader(wait); err != nil {
		return nil, err
	}
	m.hub = dispatch.New(m.node, m.key, cfg.Logger)
	m.service = service.New(m.node, m.key, m.hub, cfg.Logger)
	if err := m.initialize(wait, first); err != nil {
		return nil, err
	}
	if m.admin, err = listenAdmin(m.path(socketFile)); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Manager) path(name string) string { return filepath.Join(m.cfg.DataDir, name) }

func listenError(addr string, err error) error {
	return fmt.Errorf("cannot listen on %s: %w; choose another address or stop the program that uses it", addr, err)
}

// clusterKey seals and opens secret values.
type clusterKey []byte

func (k clusterKey) Seal(plain []byte, context string) ([]byte, error) {
	return pki.Seal(k, plain, context)
}
func (k clusterKey) Open(sealed []byte, context string) ([]byte, error) {
	return pki.Open(k, sealed, context)
}

// loadIdentity loads this node's certificate, or at the first start of a cluster makes the CA and the certificate. The
// CA is returned then, for the state.
func (m *Manager) loadIdentity() (first *pki.CA, err error) {
	if err := m.clearCutOffStart(); err != nil {
		return nil, err
	}
	m.identity, err = pki.LoadIdentity(m.path(nodeDir))
	if err == nil {
		return nil, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if _, err := os.Stat(m.path(raftDir)); err == nil {
		return nil, fmt.Errorf("the data directory %s has a Raft log but no node certificate; restore the directory %s from a backup", m.cfg.DataDir, nodeDir)
	}
	if !m.cfg.Bootstrap {
		return nil, errors.New("this data directory holds no cluster yet; start the first manager with --bootstrap")
	}
	if err := os.WriteFile(m.path(firstStartFile), nil, 0o600); err != nil {
		return nil, fmt.Errorf("marking the first start: %w", err)
	}
	clusterID := uuid.NewString()
	ca, err := pki.NewCA(clusterID, time.Now())
	if err != nil {
		return nil, err
	}
	m.identity, err = pki.NewIdentity(ca, pki.RoleManager, uuid.NewString(), clusterID, time.Now())
	return ca, err
}

// clearCutOffStart removes what a first start has left that didn't come to its end. Nobody has had an answer from it.
func (m *Manager) clearCutOffStart() error {
	if _, err := os.Stat(m.path(firstStartFile)); err != nil {
		return nil
	}
	if err := errors.Join(os.RemoveAll(m.path(raftDir)), os.RemoveAll(m.path(nodeDir))); err != nil {
		return fmt.Errorf("clearing a first start that was cut off: %w", err)
	}
	return nil
}

// openState begins Raft with an empty state, which it fills from its snapshot and log.
func (m *Manager) openState() (err error) {
	if err := os.Remove(m.path(stateFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("clearing the state's file: %w", err)
	}
	if m.store, err = state.Open(m.path(stateFile)); err != nil {
		return err
	}
	m.node, err = consensus.Open(consensus.Config{
		Dir: m.path(raftDir), NodeID: m.identity.NodeID, Store: m.store, Layer: wire.NewRaftLayer(m.cluster, m.identity),
		Logger: m.cfg.Logger, Bootstrap: m.cfg.Bootstrap,
	})
	return err
}

// Service is this manager's use cases.
func (m *Manager) Service() *service.Service { return m.service }

// Addr is where browsers reach this manager; ClusterAddr where agents do.
func (m *Manager) Addr() string        { return m.web.Addr().String() }
func (m *Manager) ClusterAddr() string { return m.cluster.Addr().String() }

// Connected tells whether the node has a session with this manager.
func (m *Manager) Connected(node string) bool { return m.hub.Connected(node) }

// Run serves until ctx ends or something can't go on, then stops everything and closes the data directory.
func (m *Manager) Run(ctx context.Context) error {
	defer m.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	app, front, err := m.front()
	if err != nil {
		return err
	}
	m.cluster.Handle(wire.ALPNAgent, m.hub.Serve)
	m.cluster.Handle(wire.ALPNJoin, m.serveJoin)
	var running sync.WaitGroup
	part := func(f func(context.Context) error) {
		running.Add(1)
		go func() {
			defer running.Done()
			if err := f(ctx); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		}()
	}
	part(func(ctx context.Context) error { return front.Serve(ctx, m.web) })
	part(func(ctx context.Context) error { return m.serveAdmin(ctx, m.admin) })
	part(func(ctx context.Context) error { return m.cluster.Serve(ctx) })
	part(func(ctx context.Context) error { m.node.Lead(ctx, m.hub.Run); return nil })
	<-ctx.Done()
	for _, w := range m.waiting {
		w.Close()
	}
	running.Wait()
	if err := app.Shutdown(); err != nil {
		m.cfg.Logger.Warn("the web server did not stop cleanly", "error", err)
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// front is what browsers meet: the proxy, and behind it pages and API.
func (m *Manager) front() (*fiber.App, *proxy.Server, error) {
	ui, err := webui.New(m.service, webui.Options{Version: m.cfg.Version, Logger: m.cfg.Logger})
	if err != nil {
		return nil, nil, err
	}
	rest := api.New(m.service, api.Options{Version: m.cfg.Version, Logger: m.cfg.Logger, SessionCookie: webui.SessionCookie})
	app := fiber.New(fiber.Config{
		AppName: "Kiosc", DisableStartupMessage: true, BodyLimit: maxBody, ReadBufferSize: 64 << 10, Immutable: true,
		ErrorHandler: rest.ErrorHandler(ui.ErrorHandler),
	})
	rest.Register(app)
	m.registerAdmin(app)
	ui.Register(app)
	app.Handler() // builds the routes, which Server alone would not
	m.waiting = []interface{ Close() }{ui, rest}
	return app, proxy.New(proxy.Config{
		Gate: gate{m.service}, Dialer: dialer{m.hub}, App: app.Server(), SessionCookie: webui.SessionCookie, Logger: m.cfg.Logger,
	}), nil
}

func (m *Manager) close() {
	var errs []error
	if m.admin != nil {
		errs = append(errs, m.admin.Close())
	}
	if m.web != nil {
		errs = append(errs, m.web.Close())
	}
	if m.node != nil {
		errs = append(errs, m.node.Close())
	}
	if m.cluster != nil {
		errs = append(errs, m.cluster.Close())
	}
	if m.store != nil {
		errs = append(errs, m.store.Close())
	}
	if m.lock != nil {
		errs = append(errs, m.lock.Close())
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, net.ErrClosed) {
			m.cfg.Logger.Warn("closing", "error", err)
		}
	}
}
