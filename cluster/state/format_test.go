package state_test

import (
	"encoding/binary"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"

	"kiosc/cluster/state"
)

// rewrite gives a store's file, while it is closed, an older or newer format, in which ana owns Mice.
func rewrite(t *testing.T, path string, format uint64, without ...string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bolt.Tx) error {
		if format < 3 {
			without = append(without, "children", "role_ids")
			role := append([]byte{0x60 | byte(len(state.Owner))}, state.Owner...) // CBOR text of less than 24 bytes
			require.NoError(t, tx.Bucket([]byte("roles")).Put([]byte("p1\x00u1"), role))
		}
		for _, name := range without {
			require.NoError(t, tx.DeleteBucket([]byte(name)))
		}
		return tx.Bucket([]byte("meta")).Put([]byte("format"), binary.BigEndian.AppendUint64(nil, format))
	}))
	require.NoError(t, db.Close())
}

func TestANewerFormatIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	store, err := state.Open(path)
	require.NoError(t, err)
	require.NoError(t, store.Close())
	rewrite(t, path, state.Format+1)
	_, err = state.Open(path)
	require.ErrorContains(t, err, "use a newer kiosc")
}

// TestAnOlderFormatIsBroughtUpToDate takes from a state what its first format did not have.
func TestAnOlderFormatIsBroughtUpToDate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	store, err := state.Open(path)
	require.NoError(t, err)
	f := &fixture{T: t, store: store}
	f.must(&state.UserCreated{User: state.User{ID: "u1", Name: "ana", Active: true}})
	f.must(&state.ProjectCreated{Project: state.Project{ID: "p1", Title: "Mice", Type: state.TypeProject}, Owner: "u1"})
	f.must(&state.NodeRegistered{Node: state.Node{ID: "n1", Name: "host1"}})
	f.placed("c1", nil)
	f.must(&state.TokenCreated{Token: state.Token{ID: "t1", Hash: hash('1', 1), User: "u1"}})
	first := state.Session{Hash: hash('1', 1), User: "u1", CreatedAt: t0, ExpiresAt: t0.Add(time.Hour)}
	f.must(&state.SessionOpened{Session: first})
	require.NoError(t, store.Close())
	rewrite(t, path, 1, "placed", "usage", "node_names", "sessions_of", "tokens_of")

	f.store, err = state.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.store.Close() })
	require.Equal(t, state.Usage{Placed: 1, Active: 1}, f.usage("n1"))
	require.Equal(t, []string{"t1"}, f.tokens("u1"))
	require.Equal(t, state.Owner, f.role("p1", "u1"))
	f.refused(state.Invalid, &state.ProjectCreated{Project: state.Project{ID: "p2", Title: "Mice", Type: state.TypeProject}, Owner: "u1"})
	f.refused(state.Conflict, &state.RoleRemoved{Project: "p1", User: "u1"})
	f.refused(state.Conflict, &state.NodeRegistered{Node: state.Node{ID: "n2", Name: "host1", Role: state.AgentNode}})
	f.must(&state.SessionOpened{Session: state.Session{Hash: hash('1', 2), User: "u1", CreatedAt: first.ExpiresAt, ExpiresAt: t0.Add(2 * time.Hour)}})
	require.False(t, f.session(first.Hash), "the index knows it")
	require.NoError(t, f.store.View(func(tx *state.Tx) error {
		on, err := tx.ContainersOn("n1")
		require.Len(t, on, 1)
		return err
	}))
}
