package consensus

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	raftwal "github.com/hashicorp/raft-wal"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// LogKind is how a node keeps its Raft log.
type LogKind string

const (
	// LogBolt keeps the log in one bbolt file, which is never smaller than it once was.
	LogBolt LogKind = "boltdb"
	// LogWAL keeps it in append-only segments of 64 MiB, which is faster for many writes.
	LogWAL LogKind = "wal"
)

// Where each kind of log lies in the Raft directory.
const (
	boltFile = "raft.db"
	walDir   = "wal"
)

// logStore is Raft's log with what must survive beside it: term and vote.
type logStore interface {
	raft.LogStore
	raft.StableStore
	io.Closer
}

// ErrLocked says that another process uses the log.
var ErrLocked = errors.New("the Raft log is in use by another process")

// openLog opens the log of a Raft directory. A directory keeps the kind that it began with.
func openLog(dir string, kind LogKind) (logStore, error) {
	switch bolt, wal := exists(filepath.Join(dir, boltFile)), exists(filepath.Join(dir, walDir)); {
	case bolt && kind == LogWAL, wal && kind == LogBolt:
		return nil, errors.New("this data directory has a Raft log of the other kind; KIOSC_RAFT_LOG counts for new data directories only")
	case wal:
		kind = LogWAL
	}
	switch kind {
	case LogWAL:
		return openWAL(filepath.Join(dir, walDir))
	case LogBolt, "":
		return openBolt(filepath.Join(dir, boltFile))
	}
	return nil, fmt.Errorf("the Raft log %q is neither %s nor %s", kind, LogBolt, LogWAL)
}

func openBolt(path string) (logStore, error) {
	log, err := raftboltdb.New(raftboltdb.Options{
		Path:        path,
		BoltOptions: &bolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bolt.FreelistMapType},
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, fmt.Errorf("opening the Raft log: %w", err)
	}
	return log, nil
}

func openWAL(dir string) (logStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the Raft log: %w", err)
	}
	log, err := raftwal.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the Raft log: %w", err)
	}
	return log, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
