package state_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

// TestASubjectIsOneUser follows people at a provider through names that change hands.
func TestASubjectIsOneUser(t *testing.T) {
	f := newFixture(t)
	taken := func(name, subject, id string) state.User {
		t.Helper()
		u, ok := f.must(&state.IdentityTaken{ID: id, At: t0, Outside: state.Outside{AuthType: state.AuthOIDC, Name: name, Subject: subject, FullName: name}}).(state.User)
		require.True(t, ok)
		return u
	}
	refused := func(name, subject string) {
		t.Helper()
		err := f.apply(&state.IdentityTaken{ID: "new", At: t0, Outside: state.Outside{AuthType: state.AuthOIDC, Name: name, Subject: subject}}).Err
		require.Equal(t, state.Conflict, state.CodeOf(err), err)
		require.Empty(t, f.user("new").ID)
	}
	require.Equal(t, "o1", taken("mia", "p#1", "o1").ID)
	require.Equal(t, "o1", taken("mia", "p#1", "o2").ID)
	refused("mia", "p#2")
	u := taken("mia.new", "p#1", "o2")
	require.Equal(t, []string{"o1", "mia", "mia.new"}, []string{u.ID, u.Name, u.FullName}, "the account keeps its name")
	require.Equal(t, "o2", taken("mia.new", "p#2", "o2").ID, "which leaves the new name to others")
	refused("ana", "p#3") // is a local user's

	same := func(name, subject string) bool {
		var same bool
		require.NoError(t, f.store.View(func(tx *state.Tx) (err error) {
			_, same, err = tx.IdentityKnown(state.Outside{AuthType: state.AuthOIDC, Name: name, Subject: subject, FullName: "mia.new"})
			return err
		}))
		return same
	}
	require.True(t, same("mia", "p#1"))
	require.True(t, same("whatever", "p#1"))
	require.False(t, same("mia", "p#9"))

	require.Equal(t, 1, f.must(&state.SubjectForgotten{User: "o1"}))
	require.Equal(t, 0, f.must(&state.SubjectForgotten{User: "o1"}))
	err := f.apply(&state.SubjectForgotten{User: "nobody"}).Err
	require.Equal(t, state.NotFound, state.CodeOf(err))
	require.False(t, same("mia", "p#1"))
	require.Equal(t, "o1", taken("mia", "q#7", "o3").ID)
	require.Equal(t, "o4", taken("other", "p#1", "o4").ID, "the old one is free again")
	require.Equal(t, 3, f.must(&state.SubjectForgotten{}))
	require.Empty(t, f.user("o2").Subject)
}
