package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"kiosc/cluster/state"
)

const (
	// heartbeat is also the election timeout. A dead leader is replaced in one to three of these.
	heartbeat   = 500 * time.Millisecond
	leaderLease = 250 * time.Millisecond

	// A snapshot is taken after so many log entries, and so many are kept before it for followers that lag a little.
	// An entry may hold a batch of log lines, so the numbers are below Raft's defaults.
	snapshotThreshold = 4096
	trailingLogs      = 2048
	keptSnapshots     = 2

	// enqueueTimeout bounds how long a command waits for its place in Raft's queue.
	enqueueTimeout = 5 * time.Second
	// ProposeTimeout bounds the whole of Propose.
	ProposeTimeout = 15 * time.Second
	// maxProposals bounds the commands under way at once; more are refused with state.Unavailable.
	maxProposals = 4096
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
	// Bootstrap makes a cluster of this one node if Dir has none yet.
	Bootstrap bool
}

// Node is this manager's part in the Raft cluster. Its methods may be called from any goroutine.
type Node struct {
	raft      *raft.Raft
	log       *raftboltdb.BoltStore
	transport *raft.NetworkTransport
	store     *state.Store
	logger    *slog.Logger
	proposals chan struct{}

	shutdown sync.Once
}

// ErrLocked says that another process uses the log.
var ErrLocked = errors.New("the Raft log is in use by another process")

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
	log, err := raftboltdb.New(raftboltdb.Options{
		Path:        filepath.Join(cfg.Dir, "raft.db"),
		BoltOptions: &bolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bolt.FreelistMapType},
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, fmt.Errorf("opening the Raft log: %w", err)
	}
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: cfg.Layer, MaxPool: 3, Timeout: 10 * time.Second, Logger: logger,
	})
	n := &Node{log: log, transport: transport, store: cfg.Store, logger: cfg.Logger,
		proposals: make(chan struct{}, maxProposals)}
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
	if !known && !cfg.Bootstrap {
		return errors.New("this data directory holds no cluster yet; start the first manager with --bootstrap")
	}
	if !known {
		servers := raft.Configuration{Servers: []raft.Server{{ID: rc.LocalID, Address: n.transport.LocalAddr()}}}
		if err := raft.BootstrapCluster(rc, n.log, n.log, snapshots, n.transport, servers); err != nil {
			return fmt.Errorf("making a cluster of one: %w", err)
		}
	}
	n.raft, err = raft.NewRaft(rc, &fsm{store: cfg.Store}, n.log, n.log, snapshots, n.transport)
	if err != nil {
		return fmt.Errorf("starting Raft: %w", err)
	}
	return nil
}

func raftConfig(id string, logger *hclogLogger) *raft.Config {
	rc := raft.DefaultConfig()
	rc.LocalID = raft.ServerID(id)
	rc.HeartbeatTimeout, rc.ElectionTimeout, rc.LeaderLeaseTimeout = heartbeat, heartbeat, leaderLease
	rc.SnapshotThreshold, rc.TrailingLogs = snapshotThreshold, trailingLogs
	rc.MaxAppendEntries = 512
	rc.Logger = logger
	return rc
}

// Store is the state as this node has applied it.
func (n *Node) Store() *state.Store { return n.store }

// Propose makes a command part of the replicated state and returns what applying it here gave. The error is a
// *state.Error where a rule forbade the command; where it has code Unavailable the command may have been applied or
// not, unless its message says that it wasn't.
func (n *Node) Propose(ctx context.Context, c state.Command) (any, error) {
	raw, err := state.Encode(c)
	if err != nil {
		return nil, err
	}
	select {
	case n.proposals <- struct{}{}:
	default:
		return nil, state.Errorf(state.Unavailable, "Kiosc has too much to write at the moment; nothing was changed. Try again in a few seconds.")
	}
	future := n.raft.Apply(raw, enqueueTimeout)
	done := make(chan error, 1)
	go func() {
		done <- future.Error()
		<-n.proposals
	}()
	ctx, cancel := context.WithTimeout(ctx, ProposeTimeout)
	defer cancel()
	select {
	case err := <-done:
		return n.outcome(future, err)
	case <-ctx.Done():
		return nil, state.Errorf(state.Unavailable, "The change was not confirmed in time. Look whether it was made before you try again.")
	}
}

func (n *Node) outcome(future raft.ApplyFuture, err error) (any, error) {
	switch {
	case err == nil:
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return nil, state.Errorf(state.Unavailable, "No leader is elected at the moment; nothing was changed. Try again in a few seconds.")
	default:
		n.logger.Warn("a command was not confirmed", "error", err)
		return nil, state.Errorf(state.Unavailable, "The change was not confirmed. Look whether it was made before you try again.")
	}
	result, _ := future.Response().(state.Result)
	return result.Value, result.Err
}

// Term is the current Raft term, for the orders that a leader sends out.
func (n *Node) Term() uint64 { return n.raft.CurrentTerm() }

// Leading tells whether this node leads.
func (n *Node) Leading() bool { return n.raft.State() == raft.Leader }

// WaitLeader returns once there is a leader in the cluster.
func (n *Node) WaitLeader(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if addr, _ := n.raft.LeaderWithID(); addr != "" {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for a leader: %w", ctx.Err())
		}
	}
}

// Lead runs f each time this node becomes the leader, once it has applied everything committed before. f's context
// ends with the leadership; the next f starts only after it has returned. Lead returns when ctx is done.
func (n *Node) Lead(ctx context.Context, f func(ctx context.Context)) {
	leading := n.raft.LeaderCh()
	var stop func()
	defer func() {
		if stop != nil {
			stop()
		}
	}()
	if n.Leading() {
		stop = n.lead(ctx, f)
	}
	for {
		select {
		case is := <-leading:
			if stop != nil {
				stop()
				stop = nil
			}
			if is {
				stop = n.lead(ctx, f)
			}
		case <-ctx.Done():
			return
		}
	}
}

// lead starts f and returns what ends it and waits for it.
func (n *Node) lead(ctx context.Context, f func(ctx context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := n.raft.Barrier(barrierTimeout).Error(); err != nil {
			n.logger.Warn("leadership was lost before it began", "error", err)
			return
		}
		if ctx.Err() == nil {
			f(ctx)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

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
		err = errors.Join(n.raft.Shutdown().Error(), n.transport.Close(), n.log.Close())
	})
	return err
}
