package state

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Format is the version of the store's layout. A store with a higher one is refused; a lower one is migrated at Open.
const Format = 3

// buckets are all buckets of the file, as bucket has named them.
var buckets [][]byte

// bucket names a bucket, which Open makes where it isn't there.
func bucket(name string) []byte {
	buckets = append(buckets, []byte(name))
	return []byte(name)
}

// The buckets. Keys of ids are their text form; composed keys are joined with a zero byte.
var (
	bucketMeta       = bucket("meta")        // name → value, see the meta keys
	bucketUsers      = bucket("users")       // user id → User
	bucketUserNames  = bucket("user_names")  // user name → user id
	bucketSubjects   = bucket("subjects")    // User.Subject → user id
	bucketSessions   = bucket("sessions")    // hash → Session
	bucketTokens     = bucket("tokens")      // hash → Token
	bucketSessionsOf = bucket("sessions_of") // user id, hash → nothing
	bucketTokensOf   = bucket("tokens_of")   // user id, hash → nothing
	bucketProjects   = bucket("projects")    // project id → Project
	bucketChildren   = bucket("children")    // project id of the category or "", title → project id
	bucketRoles      = bucket("roles")       // project id, user id → RoleAssignment
	bucketRoleIDs    = bucket("role_ids")    // id of a role assignment → its key in roles
	bucketGroupRoles = bucket("group_roles") // project id, user id → Role by groups of a directory
	bucketInvites    = bucket("invites")     // project id, invite id → Invite
	bucketContainers = bucket("containers")  // container id → Container
	bucketTitles     = bucket("titles")      // project id, title → container id
	bucketPending    = bucket("pending")     // container id of each container whose action isn't done → nothing
	bucketNodes      = bucket("nodes")       // node id → Node
	bucketNodeNames  = bucket("node_names")  // role, node name → node id
	bucketRevoked    = bucket("revoked")     // id of each removed node → when
	bucketPlaced     = bucket("placed")      // node id, container id → nothing
	bucketUsage      = bucket("usage")       // node id → Usage
	bucketLogs       = bucket("logs")        // container id, sequence (8 bytes) → LogChunk
	bucketLogMeta    = bucket("log_meta")    // container id → LogMeta
	bucketJoinTokens = bucket("join_tokens") // role → hash of the secret; role, "sealed" → the sealed secret
	bucketAppCodes   = bucket("app_codes")   // end (8 bytes of Unix time) and hash of each used code → nothing
	bucketAccesses   = bucket("accesses")    // container id, user name → when the user last used the app
	bucketFailures   = bucket("failures")    // container id, user name, reason → failing
	bucketTasks      = bucket("tasks")       // name of a periodic task → TaskRun
	bucketQuotas     = bucket("quotas")      // project id, or site → Quota
	bucketUsed       = bucket("used")        // project id, or site → Used
	bucketOrphans    = bucket("orphans")     // node id, Docker id → Orphan
	bucketBusy       = bucket("busy")        // container id → when it was last seen to be busy

	bucketFolders    = bucket("folders")     // folder id → Folder
	bucketFiles      = bucket("files")       // file id → File
	bucketFileNames  = bucket("file_names")  // project id, id of the folder or nothing, d or f, name → id
	bucketUploads    = bucket("uploads")     // upload id → Upload
	bucketFileChunks = bucket("file_chunks") // id of the upload that brought it, number (4 bytes) → bytes

	// A content's hash → storedContent; project id, or site → FileUsage.
	bucketFileContents = bucket("file_contents")
	bucketFileUsage    = bucket("file_usage")
	bucketGroupRolesOf = bucket("group_roles_of") // user id, project id → nothing
	bucketInviteHashes = bucket("invite_hashes")  // hash → key in invites
	bucketEvents       = bucket("events")         // number (8 bytes) → Event
	bucketEventsOf     = bucket("events_of")      // project id or "", number (8 bytes) → nothing

	metaFormat    = []byte("format")
	metaIndex     = []byte("index")
	metaCluster   = []byte("cluster")
	metaLogLimits = []byte("log_limits")
	metaImages    = []byte("image_allow_list")
)

// Store is the replicated state in one bbolt file. Reads may run at any time from any goroutine; Apply, Restore and
// Close are for one caller, the Raft FSM.
//
// The file isn't synced on each write: the Raft log is the durable copy, and Open tells by AppliedIndex how far the
// file has come.
type Store struct {
	path string

	mu sync.RWMutex // guards db against replacement by Restore and Close
	db *bolt.DB

	indexMu sync.Mutex
	index   uint64        // last applied Raft index
	indexCh chan struct{} // closed and replaced when index moves

	watches watches
}

// Open opens or makes the store in path. It fails with ErrLocked when another process has it open.
func Open(path string) (*Store, error) {
	db, err := openDB(path)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, db: db, indexCh: make(chan struct{})}
	s.watches.init()
	if s.index, err = readIndex(db); err != nil {
		db.Close()
		return nil, err
	}
	return s, nil
}

// ErrLocked says that another process has the store open.
var ErrLocked = errors.New("the state file is in use by another process")

// mapped is how much of the address space the file gets at once, far more than it needs: growing the mapping would wait
// for open views and snapshots, and keep all writers waiting meanwhile. It costs no memory.
const mapped = 16 << 30

func openDB(path string) (*bolt.DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the state's directory: %w", err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout: time.Second, NoSync: true, NoFreelistSync: true, FreelistType: bolt.FreelistMapType, InitialMmapSize: mapped,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, fmt.Errorf("opening the state file: %w", err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return migrate(tx)
	})
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("preparing the state file: %w", err)
	}
	return db, nil
}

// migrations bring a state from the format that is their key to the next.
var migrations = map[uint64]func(tx *Tx) error{
	// The indices of placement, of names of nodes, and of what users have opened are new.
	1: func(tx *Tx) error {
		return errors.Join(
			reindex(tx, bucketContainers, func(c Container) error { return index(tx, nil, &c) }),
			reindex(tx, bucketNodes, func(n Node) error { return tx.putRaw(bucketNodeNames, n.nameKey(), []byte(n.ID)) }),
			reindex(tx, bucketSessions, func(s Session) error { return tx.putRaw(bucketSessionsOf, owned(s.User, s.Hash), nil) }),
			reindex(tx, bucketTokens, func(t Token) error { return tx.putRaw(bucketTokensOf, owned(t.User, t.Hash), nil) }))
	},
	// Roles become assignments with an id, the tree has an index, and what counts against quotas is counted as it changes.
	2: func(tx *Tx) error {
		return errors.Join(assignRoles(tx),
			reindex(tx, bucketProjects, func(p Project) error { return tx.putRaw(bucketChildren, key(p.Parent, p.Title), []byte(p.ID)) }),
			reindex(tx, bucketContainers, func(c Container) error { return countUse(tx, nil, &c) }))
	},
}

// reindex calls f for every value of a bucket that f doesn't write to.
func reindex[T any](tx *Tx, bucket []byte, f func(v T) error) (err error) {
	return errors.Join(each(tx, bucket, nil, func(_ []byte, v T) bool {
		err = f(v)
		return err == nil
	}), err)
}

// assignRoles gives the roles of format 2, which were text alone, the form of today.
func assignRoles(tx *Tx) error {
	var all []RoleAssignment
	err := each(tx, bucketRoles, nil, func(k []byte, role Role) bool {
		project, user, _ := strings.Cut(string(k), "\x00")
		all = append(all, RoleAssignment{Project: project, User: user, Role: role})
		return true
	})
	if err != nil {
		return err
	}
	for _, r := range all {
		r.ID = defaultAssignment(r.Project, r.User)
		at := key(r.Project, r.User)
		if err := errors.Join(tx.put(bucketRoles, at, r), tx.putRaw(bucketRoleIDs, []byte(r.ID), at)); err != nil {
			return err
		}
	}
	return nil
}

// migrate brings the file to this kiosc's format.
func migrate(btx *bolt.Tx) error {
	meta := btx.Bucket(bucketMeta)
	at := uint64(Format)
	if v := meta.Get(metaFormat); v != nil {
		at = binary.BigEndian.Uint64(v)
	}
	if at > Format {
		return fmt.Errorf("the state has format %d and this kiosc knows %d only; use a newer kiosc", at, Format)
	}
	for ; at < Format; at++ {
		if err := migrations[at](&Tx{btx: btx}); err != nil {
			return fmt.Errorf("bringing the state from format %d to the next: %w", at, err)
		}
	}
	return meta.Put(metaFormat, be64(Format))
}

func readIndex(db *bolt.DB) (index uint64, err error) {
	err = db.View(func(tx *bolt.Tx) error {
		if v := tx.Bucket(bucketMeta).Get(metaIndex); v != nil {
			index = binary.BigEndian.Uint64(v)
		}
		return nil
	})
	return index, err
}

// Close writes everything to disk and closes the file.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.db.Sync(), s.db.Close())
}

// AppliedIndex is the Raft index of the last applied command.
func (s *Store) AppliedIndex() uint64 {
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	return s.index
}

// WaitIndex returns once the command at index has been applied here, or with ctx's error.
func (s *Store) WaitIndex(ctx context.Context, index uint64) error {
	for {
		s.indexMu.Lock()
		at, moved := s.index, s.indexCh
		s.indexMu.Unlock()
		if at >= index {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("waiting for index %d, at %d: %w", index, at, ctx.Err())
		}
	}
}

// View calls f with a consistent view of the state. f must not keep tx, and should be short: an open view keeps old
// pages of the file alive.
func (s *Store) View(f func(tx *Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db.View(func(btx *bolt.Tx) error { return f(&Tx{btx: btx}) })
}

// Snapshot is a consistent copy of the state at Index, taken in no time and written while the store goes on.
type Snapshot struct {
	Index uint64
	tx    *bolt.Tx
}

// Snapshot begins one. The caller must Close it.
func (s *Store) Snapshot() (*Snapshot, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	tx, err := s.db.Begin(false)
	if err != nil {
		return nil, fmt.Errorf("beginning a snapshot: %w", err)
	}
	snap := &Snapshot{tx: tx}
	if v := tx.Bucket(bucketMeta).Get(metaIndex); v != nil {
		snap.Index = binary.BigEndian.Uint64(v)
	}
	return snap, nil
}

// WriteTo streams the snapshot.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) { return s.tx.WriteTo(w) }

// Close ends the snapshot. It is safe to call twice.
func (s *Snapshot) Close() error {
	if s.tx == nil {
		return nil
	}
	err := s.tx.Rollback()
	s.tx = nil
	return err
}

// Restore replaces the whole state by a snapshot read from r. On an error the old state stays.
func (s *Store) Restore(r io.Reader) error {
	incoming := s.path + ".restore"
	if err := writeFile(incoming, r); err != nil {
		return err
	}
	defer os.Remove(incoming)
	check, err := openDB(incoming)
	if err != nil {
		return fmt.Errorf("reading the snapshot: %w", err)
	}
	index, err := readIndex(check)
	if err := errors.Join(err, check.Sync(), check.Close()); err != nil {
		return fmt.Errorf("reading the snapshot: %w", err)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("closing the old state: %w", err)
	}
	if err := os.Rename(incoming, s.path); err != nil {
		return fmt.Errorf("replacing the state: %w", err)
	}
	db, err := openDB(s.path)
	if err != nil {
		return err
	}
	s.db = db
	s.setIndex(index)
	s.watches.notifyAll()
	return nil
}

func writeFile(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("making a file for the snapshot: %w", err)
	}
	_, err = io.Copy(f, r)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(path)
		return fmt.Errorf("receiving the snapshot: %w", err)
	}
	return nil
}

func (s *Store) setIndex(index uint64) {
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	s.index = index
	close(s.indexCh)
	s.indexCh = make(chan struct{})
}

// Tx is one transaction: a view for queries, or the writing side within Apply.
type Tx struct {
	btx *bolt.Tx
	// dirty is set by the first write of the command being applied.
	dirty bool
	// touched are the topics of the watches to wake once the transaction stands.
	touched map[string]struct{}
}

var (
	encMode = must(cbor.EncOptions{Sort: cbor.SortCoreDeterministic, Time: cbor.TimeRFC3339NanoUTC, TimeTag: cbor.EncTagNone}.EncMode())
	decMode = must(cbor.DecOptions{MaxArrayElements: 1 << 20, MaxMapPairs: 1 << 16, MaxNestedLevels: 16}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// get decodes the value at key and tells whether there was one. An undecodable value is an error: the file is damaged.
func get[T any](tx *Tx, bucket, key []byte) (v T, ok bool, err error) {
	raw := tx.btx.Bucket(bucket).Get(key)
	if raw == nil {
		return v, false, nil
	}
	if err := decMode.Unmarshal(raw, &v); err != nil {
		return v, false, fmt.Errorf("decoding %s %q: %w", bucket, key, err)
	}
	return v, true, nil
}

func (tx *Tx) put(bucket, key []byte, v any) error {
	raw, err := encMode.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s %q: %w", bucket, key, err)
	}
	return tx.putRaw(bucket, key, raw)
}

func (tx *Tx) putRaw(bucket, key, raw []byte) error {
	tx.dirty = true
	return tx.btx.Bucket(bucket).Put(key, raw)
}

func (tx *Tx) delete(bucket, key []byte) error {
	tx.dirty = true
	return tx.btx.Bucket(bucket).Delete(key)
}

// each calls f for every value whose key begins with prefix, in key order, until f returns false.
func each[T any](tx *Tx, bucket, prefix []byte, f func(key []byte, v T) bool) error {
	c := tx.btx.Bucket(bucket).Cursor()
	for k, raw := c.Seek(prefix); k != nil && hasPrefix(k, prefix); k, raw = c.Next() {
		var v T
		if err := decMode.Unmarshal(raw, &v); err != nil {
			return fmt.Errorf("decoding %s %q: %w", bucket, k, err)
		}
		if !f(k, v) {
			return nil
		}
	}
	return nil
}

func hasPrefix(k, prefix []byte) bool {
	return len(k) >= len(prefix) && string(k[:len(prefix)]) == string(prefix)
}

func be64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// key joins parts with a zero byte, which no id or title contains.
func key(parts ...string) []byte {
	var k []byte
	for i, p := range parts {
		if i > 0 {
			k = append(k, 0)
		}
		k = append(k, p...)
	}
	return k
}
