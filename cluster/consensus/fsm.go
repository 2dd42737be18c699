package consensus

import (
	"fmt"
	"io"
	"slices"

	"github.com/hashicorp/raft"

	"kiosc/cluster/state"
)

// fsm hands committed entries to the store. A node that can't apply an entry must not go on, because its state would
// differ from the others' from there: it panics.
type fsm struct {
	store   *state.Store
	waiting *waiting
	commits *commits
}

var _ raft.BatchingFSM = (*fsm)(nil)

func (f *fsm) Apply(log *raft.Log) any { return f.ApplyBatch([]*raft.Log{log})[0] }

func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	batch := make([]state.Entry, len(logs))
	origins := make([]origin, len(logs))
	for i, log := range logs {
		batch[i].Index = log.Index
		if log.Type != raft.LogCommand {
			continue // a change of the members, which Raft keeps itself
		}
		var marked bool
		if origins[i], marked = readOrigin(log.Extensions); marked && origins[i].term != log.Term {
			continue // it missed its term; see origin
		}
		c, err := state.Decode(log.Data)
		if err != nil {
			panic(fmt.Sprintf("kiosc: log entry %d: %v", log.Index, err))
		}
		batch[i].Command = c
	}
	results, err := f.store.Apply(batch)
	if err != nil {
		panic(fmt.Sprintf("kiosc: %v", err))
	}
	for i, log := range logs {
		f.waiting.applied(origins[i], results[i], origins[i].term == log.Term)
	}
	last := logs[len(logs)-1]
	f.waiting.reached(last.Term)
	f.commits.reached(last.Index, last.Term, slices.ContainsFunc(origins, f.waiting.foreign))
	return make([]any, len(logs)) // callers learn the results from waiting
}

func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	snap, err := f.store.Snapshot()
	if err != nil {
		return nil, err
	}
	return snapshot{snap}, nil
}

func (f *fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	defer f.waiting.skipped()
	return f.store.Restore(r)
}

type snapshot struct{ *state.Snapshot }

func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := s.WriteTo(sink); err != nil {
		sink.Cancel()
		return fmt.Errorf("writing the snapshot: %w", err)
	}
	return sink.Close()
}

func (s snapshot) Release() { s.Close() }
