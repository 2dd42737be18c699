package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"kiosc/cluster/consensus"
	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/manager/backup"
)

// minPassphrase is the shortest passphrase of a backup, in bytes.
const minPassphrase = 12

// BackupRequest asks for a backup.
type BackupRequest struct {
	// Passphrase wraps the cluster key, without which the backup's secrets can't be opened.
	Passphrase string `json:"passphrase"`
}

// serveBackup streams a backup. A failure on the way ends the connection before the checksum, so that what has come is
// no backup.
func (m *Manager) serveBackup(w http.ResponseWriter, r *http.Request) {
	var in BackupRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&in); err != nil {
		m.answer(w, http.StatusBadRequest, Failed{"The request is not the JSON that this command takes."})
		return
	}
	if len(in.Passphrase) < minPassphrase {
		m.answer(w, http.StatusBadRequest, Failed{fmt.Sprintf("Give a passphrase of at least %d characters. The backup holds the key that opens all secrets, wrapped by it.", minPassphrase)})
		return
	}
	wrapped, err := pki.WrapKey(m.key, in.Passphrase)
	if err != nil {
		m.cfg.Logger.Error("a backup could not begin", "error", err)
		m.answer(w, http.StatusInternalServerError, Failed{"Kiosc could not do this. The manager's log says why."})
		return
	}
	// With a leader the backup has all that was confirmed before it. Without one it has what this manager knows, which
	// is what operators want in an emergency.
	sync, cancel := context.WithTimeout(r.Context(), adminTimeout)
	defer cancel()
	if err := m.node.Sync(sync); err != nil {
		m.cfg.Logger.Warn("a backup is made without a leader; the latest changes may be missing", "error", err)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	err = backup.Write(w, m.store, backup.Header{ClusterID: m.credentials.Peer().ClusterID, CreatedAt: time.Now().UTC(),
		Term: m.node.Term(), Kiosc: m.cfg.Version, WrappedKey: wrapped})
	if err != nil {
		m.cfg.Logger.Error("a backup failed", "error", err)
		panic(http.ErrAbortHandler)
	}
}

// VerifyBackup tells whether a file is a whole backup.
func VerifyBackup(path string) error {
	b, err := backup.Open(path)
	if err != nil {
		return err
	}
	return b.Close()
}

// RestoreOptions say where a backup goes.
type RestoreOptions struct {
	File, DataDir, Passphrase string
	// Name and ClusterAddress are those of the manager that goes on with the cluster.
	Name, ClusterAddress string
}

// Restore makes an empty data directory that of the only manager of the cluster in a backup. The cluster's former
// managers are removed, their certificates no longer count; its agents come back as soon as they reach the new manager.
// The returned header says what was restored.
func Restore(ctx context.Context, o RestoreOptions) (backup.Header, error) {
	b, err := backup.Open(o.File)
	if err != nil {
		return backup.Header{}, err
	}
	defer b.Close()
	key, err := b.Key(o.Passphrase)
	if err != nil {
		return b.Header, err
	}
	if entries, err := os.ReadDir(o.DataDir); err == nil && len(entries) > 0 {
		return b.Header, fmt.Errorf("the data directory %s is not empty; give another one", o.DataDir)
	}
	lock, err := lockDir(o.DataDir)
	if err != nil {
		return b.Header, err
	}
	defer lock.Close()
	if err := restore(ctx, b, key, o); err != nil {
		return b.Header, errors.Join(err, clearDir(o.DataDir))
	}
	return b.Header, nil
}

// clearDir leaves nothing of a restoration that failed, so that it can be tried again.
func clearDir(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// termGap is how far the restored cluster's Raft term is ahead of the backup's. The old cluster may have had elections
// since, and its agents follow only a leader of no older term.
const termGap = 1 << 20

func restore(ctx context.Context, b *backup.Backup, key []byte, o RestoreOptions) error {
	path := filepath.Join(o.DataDir, stateFile)
	store, err := state.Open(path)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := b.State(store); err != nil {
		return err
	}
	var cluster state.Cluster
	if err := store.View(func(tx *state.Tx) (err error) {
		cluster, _, err = tx.Cluster()
		return err
	}); err != nil {
		return err
	}
	caKey, err := pki.Open(key, cluster.SealedCAKey, caContext)
	if err != nil {
		return err
	}
	ca, err := pki.ParseCA(cluster.CACertificate, caKey)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	identity, err := pki.NewIdentity(ca, pki.RoleManager, uuid.NewString(), cluster.ID, now, 0)
	if err != nil {
		return err
	}
	index := store.AppliedIndex() + 1
	results, err := store.Apply([]state.Entry{{Index: index, Command: &state.ClusterRestored{At: now, Manager: state.Node{
		ID: identity.NodeID, Name: o.Name, Role: state.ManagerNode, JoinedAt: now, Address: o.ClusterAddress}}}})
	if err := errors.Join(err, firstErr(results)); err != nil {
		return fmt.Errorf("preparing the restored state: %w", err)
	}
	err = consensus.Seed(filepath.Join(o.DataDir, raftDir), store, consensus.Member{ID: identity.NodeID, Address: o.ClusterAddress}, index, b.Term+termGap)
	if err != nil {
		return err
	}
	return errors.Join(pki.SaveCA(o.DataDir, cluster.CACertificate, cluster.SealedCAKey),
		pki.SaveKey(filepath.Join(o.DataDir, keyFile), key), identity.Save(filepath.Join(o.DataDir, nodeDir)), ctx.Err())
}

func firstErr(results []state.Result) error {
	for _, r := range results {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// Recover makes the manager of a data directory the only member of its cluster, with all that its log has. It is for a
// cluster whose majority is lost for good; the other managers must never be started again with their old data. The
// manager must not run.
func Recover(dataDir, clusterAddress string, logger consensus.Logger) error {
	lock, err := lockDir(dataDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	identity, err := pki.LoadIdentity(filepath.Join(dataDir, nodeDir))
	if err != nil {
		return fmt.Errorf("the directory is not that of a manager: %w", err)
	}
	path := filepath.Join(dataDir, stateFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("clearing the state's file: %w", err)
	}
	store, err := state.Open(path)
	if err != nil {
		return err
	}
	defer store.Close()
	return consensus.Recover(filepath.Join(dataDir, raftDir), store, consensus.Member{ID: identity.NodeID, Address: clusterAddress}, logger)
}
