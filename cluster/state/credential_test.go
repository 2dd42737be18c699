package state_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

func (f *fixture) session(hash []byte) (ok bool) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) (err error) {
		_, ok, err = tx.Session(hash)
		return err
	}))
	return ok
}

func (f *fixture) tokens(user string) (ids []string) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) error {
		all, err := tx.TokensOf(user)
		for _, t := range all {
			ids = append(ids, t.ID)
		}
		return err
	}))
	return ids
}

// hash is one with zero bytes in it, as real ones may have.
func hash(user byte, n int) []byte { return []byte{user, 0, byte(n >> 8), byte(n), 0} }

func TestSessionsOfAUserAreBounded(t *testing.T) {
	f := newFixture(t)
	open := func(user string, n int, life time.Duration) []byte {
		h := hash(user[len(user)-1], n)
		at := t0.Add(time.Duration(n) * time.Second)
		f.must(&state.SessionOpened{Session: state.Session{Hash: h, User: user, CreatedAt: at, ExpiresAt: at.Add(life)}})
		return h
	}
	other := open("u12", 0, time.Hour) // the name begins like the next one's
	expired := open("u1", 0, time.Second)
	closed := open("u1", 1, time.Hour)
	f.must(&state.SessionClosed{Hash: closed})
	f.must(&state.SessionClosed{Hash: closed})
	require.False(t, f.session(closed))
	first := open("u1", 2, time.Hour)
	require.False(t, f.session(expired), "an expired session goes when another one is opened")
	for n := 3; n < 52; n++ {
		open("u1", n, time.Hour)
	}
	require.True(t, f.session(first))
	open("u1", 52, time.Hour)
	require.False(t, f.session(first), "the oldest of too many goes")
	require.True(t, f.session(hash('1', 3)))
	require.True(t, f.session(other))
}

func TestTokens(t *testing.T) {
	f := newFixture(t)
	create := func(user string, n int) state.Result {
		return f.apply(&state.TokenCreated{Token: state.Token{ID: fmt.Sprint(user, "-", n), Hash: hash(user[1], n), User: user}})
	}
	for n := range 200 {
		require.NoError(t, create("u1", n).Err)
	}
	require.Equal(t, state.TooMany, state.CodeOf(create("u1", 200).Err))
	require.NoError(t, create("u2", 0).Err)
	f.refused(state.NotFound, &state.TokenDeleted{ID: "u1-7", User: "u2"})
	f.must(&state.TokenDeleted{ID: "u1-7", User: "u1"})
	require.NoError(t, create("u1", 200).Err)
	require.Len(t, f.tokens("u1"), 200)
	require.NotContains(t, f.tokens("u1"), "u1-7")
	require.Equal(t, []string{"u2-0"}, f.tokens("u2"))
}
