package consensus

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"kiosc/cluster/state"
)

const (
	// heartbeat is also the election timeout. A dead leader is replaced in one to three of these.
	heartbeat   = 500 * time.Millisecond
	leaderLease = 250 * time.Millisecond

	// commitTimeout is how soon followers hear of a commit from Raft itself when nothing else is sent to them, and what
	// counts where the message of commits was lost. Each of them gets a small message so often.
	commitTimeout = 50 * time.Millisecond

	// A snapshot is taken after so many log entries, and so many are kept before it for followers that lag a little.
	// An entry may hold a batch of log lines, so the numbers are below Raft's defaults.
	snapshotThreshold = 4096
	trailingLogs      = 2048
	keptSnapshots     = 2

	// maxAppendEntries go to a follower in one message, and to the disk in one write.
	maxAppendEntries = 512

	// cachedEntries of the log stay in memory, so that they are not read back to be sent and applied. An entry has 256 KiB
	// at most.
	cachedEntries = 256

	// barrierTimeout bounds how long a new leader waits to have applied what its predecessor committed.
	barrierTimeout = 30 * time.Second
)

// Config tells where a node keeps its log and how it reaches the others.
type Config struct {
	Dir    string // the Raft log and the snapshots
	NodeID string
	Store  *state.Store // empty; the node fills it from its snapshot and log
	Layer  raft.StreamLayer
	Logger *slog.Logger
	// Bootstrap makes a cluster of this one node if Dir has none yet; Join waits for a leader to take this node in.
	Bootstrap, Join bool
	// Log is the kind of log store of a new Dir, LogBolt where empty.
	Log LogKind
	// Forward hands commands to the leader from other nodes; nil in a cluster of one.
	Forward Forwarder
}

// Node is this manager's part in the Raft cluster. Its methods may be called from any goroutine.
type Node struct {
	raft      *raft.Raft
	id        string
	log       logStore
	transport *raft.NetworkTransport
	store     *state.Store
	logger    *slog.Logger
	forward   Forwarder
	proposals chan struct{}
	caughtUp  atomic.Bool
	waiting   *waiting
	commits   *commits
	leaders   leaders
	proposed  *prometheus.HistogramVec

	shutdown sync.Once
}

// Open starts the node. It returns before there is a leader.
func Open(cfg Config) (*Node, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the Raft directory: %w", err)
	}
	logger := newLogger(cfg.Logger)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(cfg.Dir, keptSnapshots, logger)
	if err != nil {
		return nil, fmt.Errorf("opening the snapshots: %w", err)
	}
	log, err := openLog(cfg.Dir, cfg.Log)
	if err != nil {
		return nil, err
	}
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: cfg.Layer, MaxPool: 3, Timeout: 10 * time.Second, Logger: logger,
	})
	n := &Node{id: cfg.NodeID, log: log, transport: transport, store: cfg.Store, logger: cfg.Logger, forward: cfg.Forward,
		proposals: make(chan struct{}, maxProposals), waiting: newWaiting(), commits: newCommits(), proposed: newProposed()}
	if err := n.start(cfg, raftConfig(cfg.NodeID, logger), snapshots); err != nil {
		return nil, errors.Join(err, transport.Close(), log.Close())
	}
	return n, nil
}

func (n *Node) start(cfg Config, rc *raft.Config, snapshots raft.SnapshotStore) error {
	known, err := raft.HasExistingState(n.log, n.log, snapshots)
	if err != nil {
		return fmt.Errorf("reading the Raft log: %w", err)
	}
	if !known && !cfg.Bootstrap && !cfg.Join {
		return errors.New("this data directory holds no cluster yet; start the first manager with --bootstrap")
	}
	if !known && cfg.Bootstrap {
		servers := raft.Configuration{Servers: []raft.Server{{ID: rc.LocalID, Address: n.transport.LocalAddr()}}}
		if err := raft.BootstrapCluster(rc, n.log, n.log, snapshots, n.transport, servers); err != nil {
			return fmt.Errorf("making a cluster of one: %w", err)
		}
	}
	cached, err := raft.NewLogCache(cachedEntries, n.log)
	if err != nil {
		return fmt.Errorf("caching the Raft log: %w", err)
	}
	n.raft, err = raft.NewRaft(rc, &fsm{store: cfg.Store, waiting: n.waiting, commits: n.commits}, cached, n.log, snapshots, n.transport)
	if err != nil {
		return fmt.Errorf("starting Raft: %w", err)
	}
	n.leaders.observe(n.raft)
	go n.commits.run(n.raft, n.transport, n.id)
	return nil
}

func raftConfig(id string, logger *hclogLogger) *raft.Config {
	rc := raft.DefaultConfig()
	rc.LocalID = raft.ServerID(id)
	rc.HeartbeatTimeout, rc.ElectionTimeout, rc.LeaderLeaseTimeout = heartbeat, heartbeat, leaderLease
	rc.CommitTimeout = commitTimeout
	rc.SnapshotThreshold, rc.TrailingLogs = snapshotThreshold, trailingLogs
	rc.MaxAppendEntries = maxAppendEntries
	// Commands of other managers come one after the other from one stream; here they gather for the next write.
	rc.BatchApplyCh = true
	rc.Logger = logger
	return rc
}

// Store is the state as this node has applied it.
func (n *Node) Store() *state.Store { return n.store }

// Snapshot takes a snapshot now.
func (n *Node) Snapshot() error {
	if err := n.raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return fmt.Errorf("taking a snapshot: %w", err)
	}
	return nil
}

// Close stops the node. The store is the caller's to close afterwards.
func (n *Node) Close() (err error) {
	n.shutdown.Do(func() {
		n.leaders.stop(n.raft)
		n.commits.stop()
		err = errors.Join(n.raft.Shutdown().Error(), n.transport.Close())
		<-n.commits.done
		err = errors.Join(err, n.log.Close())
	})
	return err
}
