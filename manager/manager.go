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
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"kiosc/cluster/consensus"
	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/cluster/wire"
	"kiosc/manager/access"
	"kiosc/manager/dispatch"
	"kiosc/manager/figures"
	"kiosc/manager/metrics"
	"kiosc/manager/nodes"
	"kiosc/manager/oidc"
	"kiosc/manager/peers"
	"kiosc/manager/service"
	"kiosc/manager/tasks"
	"kiosc/proxy"
)

const (
	// firstLeader bounds the first start of a cluster. A cluster of one elects itself within two seconds.
	firstLeader = 30 * time.Second
	// handOverTimeout bounds the attempt of a leader that stops to make another manager lead at once.
	handOverTimeout = 3 * time.Second
	// limitsRetry is the wait before limits that could not be set are tried again.
	limitsRetry = 2 * time.Second
	// maxBody bounds the body of a request to Kiosc's own pages and API, in bytes. Apps have no such limit.
	maxBody = 16 << 20

	// GCPercent is what a process with a manager sets Go's garbage collector to, unless the environment says otherwise: the
	// heap is small beside a machine's memory, and collecting less often gives a fifth more of everything.
	GCPercent = 300
)

// Manager is one running manager.
type Manager struct {
	cfg         Config
	lock        *os.File
	key         pki.Key
	credentials *pki.Credentials
	cluster     *wire.Listener
	web         net.Listener
	certificate *proxy.Certificate // nil for plain HTTP
	admin       net.Listener
	metrics     net.Listener // nil for none
	store       *state.Store
	node        *consensus.Node
	peers       *peers.Peers
	hub         *dispatch.Hub
	nodes       *nodes.Nodes
	service     *service.Service
	tasks       *tasks.Runner
	accesses    *access.Book
	figures     *figures.Book
	openID      *oidc.Client           // nil for none
	waiting     []interface{ Close() } // have requests that last, which end with Close
	directories []service.DirectoryWithRules
	closers     []func() // of the directories

	// FirstPassword is the generated password of the first admin; empty after the first start.
	FirstPassword string
}

// New opens the data directory and the listeners and brings the state up, so that every mistake in the settings shows
// here. The caller must call Run, which also closes everything.
func New(ctx context.Context, cfg Config) (_ *Manager, err error) {
	m := &Manager{cfg: cfg}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.lock, err = lockDir(cfg.DataDir); err != nil {
		return nil, err
	}
	if err := m.openDirectories(); err != nil {
		return nil, err
	}
	if err := m.openOpenID(); err != nil {
		return nil, err
	}
	if err := m.listenWeb(); err != nil {
		return nil, err
	}
	first, err := m.identify(ctx)
	if err != nil {
		return nil, err
	}
	if m.cluster, err = wire.Listen(cfg.ClusterListen, m.credentials, cfg.Logger); err != nil {
		return nil, listenError(cfg.ClusterListen, err)
	}
	if err := m.openState(first != nil); err != nil {
		return nil, err
	}
	if err := m.assemble(); err != nil {
		return nil, err
	}
	if first != nil {
		wait, cancel := context.WithTimeout(ctx, firstLeader)
		defer cancel()
		if err := m.node.WaitLeader(wait); err != nil {
			return nil, err
		}
		if err := m.initialize(wait, first); err != nil {
			return nil, err
		}
	}
	if m.admin, err = listenAdmin(m.path(socketFile)); err != nil {
		return nil, err
	}
	if cfg.MetricsListen != "" {
		if m.metrics, err = net.Listen("tcp", cfg.MetricsListen); err != nil {
			return nil, listenError(cfg.MetricsListen, err)
		}
	}
	return m, nil
}

// assemble puts together what works on the state.
func (m *Manager) assemble() error {
	cfg := m.cfg
	m.hub = dispatch.New(dispatch.Config{Node: m.node, Mesh: m.peers, Key: m.key, Managers: m.managers,
		Renew: func(peer pki.Peer, csr []byte) ([]byte, error) { return m.nodes.Renew(peer, csr) }, Grace: cfg.NodeGrace,
		AppsAtRoot: cfg.Web.Apps != nil, FileHost: cfg.Site.Files.OrDefaults().WebServer, Limits: cfg.Limits, Logger: cfg.Logger})
	m.nodes = nodes.New(nodes.Config{Node: m.node, Peers: m.peers, Hub: m.hub, Credentials: m.credentials, Sealer: m.key,
		Key: m.key, CA: m.ca, CertLife: cfg.CertLife, Logger: cfg.Logger,
		Self: state.Node{Name: cfg.Name, Version: cfg.Version, Address: m.advertised()}})
	m.figures = figures.New(figures.Config{Store: m.store, Reach: m.hub.Reach, Leader: m.node.Leader, Self: m.node.ID(),
		Call: m.peers.Call, Every: cfg.FiguresEvery, Logger: cfg.Logger})
	m.peers.Handle(peers.Handlers{Take: m.node.Take, Call: m.called, Open: m.hub.Open,
		Told: func(from string, msg any) {
			m.nodes.Told(from, msg)
			m.hub.Told(from, msg)
		}, Left: m.hub.Left})
	m.cluster.Refuse(m.nodes.Refuse)
	m.service = service.New(m.node, m.key, m.hub, cfg.Site, cfg.Logger)
	m.service.UseFigures(m.figures)
	m.service.UseDirectories(m.directories)
	if m.openID != nil {
		m.service.UseOpenID(m.openID, cfg.OpenID.Rules)
	}
	m.accesses = access.NewBook(m.node, cfg.Logger)
	return m.assembleTasks()
}

// managers lists where all managers are.
func (m *Manager) managers() []wire.ManagerAddress { return nodes.Addresses(m.node) }

func (m *Manager) path(name string) string { return filepath.Join(m.cfg.DataDir, name) }

func listenError(addr string, err error) error {
	return fmt.Errorf("cannot listen on %s: %w; choose another address or stop the program that uses it", addr, err)
}

// identify finds out who this manager is: from its data directory, or by making a cluster, or by entering one. The CA is
// returned when a cluster was made, for the state.
func (m *Manager) identify(ctx context.Context) (first *pki.CA, err error) {
	if err := m.clearCutOffStart(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(m.path(removedFile)); err == nil {
		return nil, nodes.ErrRemoved
	}
	identity, err := pki.LoadIdentity(m.path(nodeDir))
	key, keyErr := pki.LoadKey(m.path(keyFile))
	switch {
	case err == nil && keyErr == nil:
		m.credentials, m.key = pki.NewCredentials(identity), key
		if identity.Expired(time.Now()) {
			return nil, m.renew()
		}
		return nil, nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return nil, err
	case keyErr != nil && !errors.Is(keyErr, os.ErrNotExist):
		return nil, keyErr
	}
	if _, err := os.Stat(m.path(raftDir)); err == nil {
		return nil, fmt.Errorf("the data directory %s has a Raft log but not both of %s and %s; restore them, or empty the directory and join again", m.cfg.DataDir, nodeDir, keyFile)
	}
	switch {
	case len(m.cfg.Join) > 0:
		if err := m.enter(ctx); err != nil {
			return nil, err
		}
		key, err := pki.LoadKey(m.path(keyFile))
		m.key = key
		return nil, err
	case m.cfg.Bootstrap:
		return m.found()
	}
	return nil, errors.New("this data directory holds no cluster yet; start the first manager with --bootstrap, or enter a cluster with --join and --token")
}

// found makes what a new cluster begins with: its id, its key and its CA.
func (m *Manager) found() (*pki.CA, error) {
	if err := os.WriteFile(m.path(firstStartFile), nil, 0o600); err != nil {
		return nil, fmt.Errorf("marking the first start: %w", err)
	}
	key, err := pki.LoadOrCreateKey(m.path(keyFile))
	if err != nil {
		return nil, err
	}
	m.key = key
	clusterID := uuid.NewString()
	ca, err := pki.NewCA(clusterID, time.Now())
	if err != nil {
		return nil, err
	}
	identity, err := pki.NewIdentity(ca, pki.RoleManager, uuid.NewString(), clusterID, time.Now(), m.cfg.CertLife)
	if err != nil {
		return nil, err
	}
	m.credentials = pki.NewCredentials(identity)
	return ca, nil
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

// openState begins Raft with an empty state, which it fills from its snapshot and log. Only the first manager of a new
// cluster makes a Raft cluster; any other without a log waits for the leader to send it one.
func (m *Manager) openState(first bool) (err error) {
	if err := os.Remove(m.path(stateFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("clearing the state's file: %w", err)
	}
	if m.store, err = state.Open(m.path(stateFile)); err != nil {
		return err
	}
	m.peers = peers.New(peers.Config{Credentials: m.credentials, Build: m.cfg.Version, Managers: m.managers,
		First: func() []any { return []any{m.nodes.Status(), m.hub.Agents()} }, Logger: m.cfg.Logger})
	m.node, err = consensus.Open(consensus.Config{
		Dir: m.path(raftDir), NodeID: m.credentials.Peer().NodeID, Store: m.store,
		Layer:  wire.NewRaftLayer(m.cluster, m.credentials, m.advertised()),
		Logger: m.cfg.Logger, Bootstrap: first, Join: !first, Log: m.cfg.RaftLog, Forward: m.peers,
	})
	return err
}

// advertised is where other nodes reach this manager.
func (m *Manager) advertised() string {
	if m.cfg.Advertise != "" {
		return m.cfg.Advertise
	}
	address := m.cfg.ClusterListen
	if m.cluster != nil {
		address = m.cluster.Addr().String()
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = outwardAddress()
	}
	return net.JoinHostPort(host, port)
}

// outwardAddress is this machine's first address that isn't only its own, for a port that listens on all of them.
func outwardAddress() string {
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() && !prefix.Addr().IsLinkLocalUnicast() {
			return prefix.Addr().String()
		}
	}
	return "127.0.0.1"
}

// Service is this manager's use cases.
func (m *Manager) Service() *service.Service { return m.service }

// Addr is where browsers reach this manager; ClusterAddr where agents do.
func (m *Manager) Addr() string        { return m.web.Addr().String() }
func (m *Manager) ClusterAddr() string { return m.cluster.Addr().String() }

// AgentToken is the token with which agents join.
func (m *Manager) AgentToken(ctx context.Context) (string, error) {
	return m.nodes.JoinToken(ctx, string(pki.RoleAgent), false)
}

// Connected tells whether the node has a session with this manager.
func (m *Manager) Connected(node string) bool { return m.hub.Connected(node) }

// MetricsAddr is where Prometheus reads; empty for nowhere.
func (m *Manager) MetricsAddr() string {
	if m.metrics == nil {
		return ""
	}
	return m.metrics.Addr().String()
}

// Run serves until ctx ends or something can't go on, then stops everything and closes the data directory.
func (m *Manager) Run(ctx context.Context) error {
	defer m.close()
	// telling ends first: its last words go to the leader, by parts that end with ctx.
	telling, stop := context.WithCancel(ctx)
	defer stop()
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	app, front, err := m.front()
	if err != nil {
		return err
	}
	m.cluster.Handle(wire.ALPNAgent, m.hub.Serve)
	m.cluster.Handle(wire.ALPNJoin, m.nodes.ServeJoin)
	m.cluster.Handle(wire.ALPNPeer, m.peers.Serve)
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
	if m.certificate != nil {
		part(func(ctx context.Context) error { m.certificate.Watch(ctx); return nil })
	}
	part(func(ctx context.Context) error { return m.serveAdmin(ctx, m.admin) })
	part(func(ctx context.Context) error { return m.cluster.Serve(ctx) })
	if m.metrics != nil {
		all := metrics.New(m.store, m.cfg.Version, m.cfg.Logger, m.node, m.hub, m.service, front)
		part(func(ctx context.Context) error { return all.Serve(ctx, m.metrics) })
	}
	part(m.peers.Run)
	part(m.nodes.Run)
	part(m.nodes.Removed)
	part(m.certificates)
	part(func(ctx context.Context) error { return m.hub.Keep(ctx) })
	var told sync.WaitGroup
	for _, tell := range []func(context.Context) error{m.accesses.Run, m.service.TellUses} {
		told.Go(func() {
			if err := tell(telling); err != nil && telling.Err() == nil {
				cancel(err)
			}
		})
	}
	if m.openID != nil {
		part(m.openID.Run)
	}
	part(m.node.CatchUp)
	part(func(ctx context.Context) error { m.node.Lead(ctx, m.lead); return nil })
	select {
	case <-telling.Done():
		told.Wait()
		cancel(context.Cause(telling))
	case <-ctx.Done():
		stop()
		told.Wait()
	}
	m.handOver()
	for _, w := range m.waiting {
		w.Close()
	}
	running.Wait()
	if err := app.Shutdown(); err != nil {
		m.cfg.Logger.Warn("the web server did not stop cleanly", "error", err)
	}
	cause := context.Cause(ctx)
	if errors.Is(cause, nodes.ErrRemoved) {
		if err := os.WriteFile(m.path(removedFile), nil, 0o600); err != nil {
			m.cfg.Logger.Error("the removal of this manager could not be noted", "error", err)
		}
	}
	if !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// lead is what this manager does while it leads. It returns when ctx has ended and everything it started has.
func (m *Manager) lead(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for _, part := range []func(context.Context){m.nodes.Supervise, m.tasks.Lead, m.figures.Run, m.keepLogLimits} {
		running.Add(1)
		go func() {
			defer running.Done()
			part(ctx)
		}()
	}
	m.hub.Run(ctx)
}

// keepLogLimits makes this manager's limits of logs those of the cluster.
func (m *Manager) keepLogLimits(ctx context.Context) {
	want := m.cfg.LogLimits
	if want == (state.LogLimits{}) {
		return
	}
	for ctx.Err() == nil {
		var now state.LogLimits
		err := m.store.View(func(tx *state.Tx) (err error) {
			now, err = tx.LogLimits()
			return err
		})
		if err == nil && now != want {
			_, err = m.node.Propose(ctx, &state.LogLimitsSet{Limits: want})
		}
		if err == nil {
			return
		}
		m.cfg.Logger.Warn("the limits of logs could not be set; trying again", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(limitsRetry):
		}
	}
}

// handOver makes another manager lead at once, where this one leads and there is another: without it, nothing could be
// written until the others have noticed.
func (m *Manager) handOver() {
	ctx, cancel := context.WithTimeout(context.Background(), handOverTimeout)
	defer cancel()
	if len(m.managers()) < 2 {
		return
	}
	if err := m.node.HandOver(ctx); err != nil {
		m.cfg.Logger.Debug("no other manager could take over", "error", err)
	}
}

func (m *Manager) close() {
	var errs []error
	for _, c := range m.closers {
		c()
	}
	if m.admin != nil {
		errs = append(errs, m.admin.Close())
	}
	if m.metrics != nil {
		errs = append(errs, m.metrics.Close())
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
