package state_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

func ptr[T any](v T) *T { return &v }

func (f *fixture) user(id string) (u state.User) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) (err error) {
		u, _, err = tx.User(id)
		return err
	}))
	return u
}

func TestAUserIsChanged(t *testing.T) {
	f := newFixture(t)
	open := func(n int) []byte {
		s := state.Session{Hash: hash('1', n), User: "u1", CreatedAt: t0, ExpiresAt: t0.Add(time.Hour)}
		f.must(&state.SessionOpened{Session: s})
		return s.Hash
	}
	a, b := open(1), open(2)
	f.must(&state.UserChanged{ID: "u1", FullName: ptr("Ana B."), Email: ptr("ana@example.org")})
	require.Equal(t, state.User{ID: "u1", Name: "ana", FullName: "Ana B.", Email: "ana@example.org", Active: true}, f.user("u1"))
	require.True(t, f.session(a) && f.session(b))

	f.must(&state.UserChanged{ID: "u1", PasswordHash: ptr("$new"), Keep: b})
	require.False(t, f.session(a), "a new password ends the logins with the old one")
	require.True(t, f.session(b), "but not the one that has set it")
	c := open(3)
	f.must(&state.SessionsClosed{User: "u1", Keep: c})
	require.True(t, !f.session(b) && f.session(c))
	f.must(&state.UserChanged{ID: "u1", Active: ptr(false)})
	require.False(t, f.session(c))
	require.Equal(t, "$new", f.user("u1").PasswordHash)

	f.refused(state.NotFound, &state.UserChanged{ID: "nobody", Active: ptr(true)})
	f.refused(state.Invalid, &state.UserChanged{ID: "u1", FullName: ptr("a\x00b")})
}

func TestASuperuserStays(t *testing.T) {
	f := newFixture(t)
	f.must(&state.UserCreated{User: state.User{ID: "u2", Name: "ben", Active: true, Superuser: true}})
	f.refused(state.Conflict, &state.UserChanged{ID: "u2", Superuser: ptr(false)})
	f.refused(state.Conflict, &state.UserChanged{ID: "u2", Active: ptr(false)})
	f.must(&state.UserCreated{User: state.User{ID: "u3", Name: "eve", Superuser: true}})
	f.refused(state.Conflict, &state.UserChanged{ID: "u2", Superuser: ptr(false)})
	f.must(&state.UserChanged{ID: "u3", Active: ptr(true)})
	f.must(&state.UserChanged{ID: "u2", Superuser: ptr(false)})
	require.False(t, f.user("u2").Superuser)
	f.must(&state.UserChanged{ID: "u2", Active: ptr(false)})
	f.refused(state.Conflict, &state.UserChanged{ID: "u3", Active: ptr(false)})
	var names []string
	require.NoError(t, f.store.View(func(tx *state.Tx) error {
		users, err := tx.Users()
		for _, u := range users {
			names = append(names, u.Name)
		}
		return err
	}))
	require.Equal(t, []string{"ana", "ben", "eve"}, names)
}
