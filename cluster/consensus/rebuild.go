package consensus

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"kiosc/cluster/state"
)

// Logger is where Raft's messages go.
type Logger = *slog.Logger

// Raft's own name for the term in its stable store.
var currentTerm = []byte("CurrentTerm")

func onlyMember(m Member) raft.Configuration {
	return raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(m.ID), Address: raft.ServerAddress(m.Address)}}}
}

// Seed makes dir, which must have no log yet, that of a cluster of one member with the state, as of index and term.
func Seed(dir string, store *state.Store, member Member, index, term uint64) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the Raft directory: %w", err)
	}
	log, err := openLog(dir, LogBolt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, keptSnapshots, newLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("opening the snapshots: %w", err)
	}
	if known, err := raft.HasExistingState(log, log, snapshots); err != nil || known {
		return errors.Join(err, errors.New("the directory has a Raft log already"))
	}
	_, transport := raft.NewInmemTransport(raft.ServerAddress(member.Address))
	defer transport.Close()
	sink, err := snapshots.Create(raft.SnapshotVersionMax, index, term, onlyMember(member), index, transport)
	if err != nil {
		return fmt.Errorf("making the first snapshot: %w", err)
	}
	snap, err := store.Snapshot()
	if err != nil {
		return errors.Join(err, sink.Cancel())
	}
	defer snap.Close()
	if err := (snapshot{snap}).Persist(sink); err != nil {
		return err
	}
	if err := log.SetUint64(currentTerm, term); err != nil {
		return fmt.Errorf("setting the Raft term: %w", err)
	}
	return nil
}

// Recover makes member the only one of the cluster in dir, with everything that its log has, also what was not yet
// confirmed. store must be empty. No node may run on dir.
func Recover(dir string, store *state.Store, member Member, logger Logger) (err error) {
	if !exists(filepath.Join(dir, boltFile)) && !exists(filepath.Join(dir, walDir)) {
		return errors.New("the directory has no Raft log")
	}
	log, err := openLog(dir, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	to := newLogger(logger)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, keptSnapshots, to)
	if err != nil {
		return fmt.Errorf("opening the snapshots: %w", err)
	}
	_, transport := raft.NewInmemTransport(raft.ServerAddress(member.Address))
	defer transport.Close()
	rc := raftConfig(member.ID, to)
	err = raft.RecoverCluster(rc, &recovering{fsm{store: store, waiting: newWaiting(), commits: newCommits()}}, log, log, snapshots, transport, onlyMember(member))
	if err != nil {
		return fmt.Errorf("making the manager the only member: %w", err)
	}
	return nil
}

// recovering is an fsm whose snapshots end once they are written. Raft forgets that when it recovers.
type recovering struct{ fsm }

func (r *recovering) Snapshot() (raft.FSMSnapshot, error) {
	snap, err := r.store.Snapshot()
	if err != nil {
		return nil, err
	}
	return passing{snapshot{snap}}, nil
}

type passing struct{ snapshot }

func (p passing) Persist(sink raft.SnapshotSink) error {
	defer p.Close()
	return p.snapshot.Persist(sink)
}
