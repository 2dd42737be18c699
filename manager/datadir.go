package manager

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// The files of a manager's data directory.
const (
	lockFile    = "lock"
	keyFile     = "cluster.key" // seals secrets; never leaves the directory in plain
	stateFile   = "state.db"    // rebuilt at each start from raft/
	raftDir     = "raft"
	nodeDir     = "node"       // this manager's certificate
	socketFile  = "admin.sock" // for kiosc's admin commands
	removedFile = "removed"    // this manager was removed from its cluster
	// firstStartFile is there while the first start of a cluster is under way.
	firstStartFile = "first-start"
)

// ErrInUse says that another process works in the data directory.
var ErrInUse = errors.New("the data directory is in use by another kiosc process")

// lockDir makes dir and keeps every other process out of it until the returned file is closed. The lock is the
// kernel's, so that it never outlives its process.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the data directory's lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	return f, nil
}
