package state_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

func TestACodeIsUsedOnce(t *testing.T) {
	f := newFixture(t)
	use := func(id string, at time.Duration) *state.AppCodeUsed {
		return &state.AppCodeUsed{ID: []byte(id), ExpiresAt: t0.Add(time.Minute), At: t0.Add(at)}
	}
	f.must(use("a", 0))
	f.must(use("b", time.Second))
	f.refused(state.Conflict, use("a", 0))
	f.refused(state.Conflict, use("a", 59*time.Second))
	f.refused(state.Conflict, use("c", time.Minute))
	remembered := func() (n int) {
		require.NoError(t, f.store.View(func(tx *state.Tx) error {
			n = tx.AppCodesUsed()
			return nil
		}))
		return n
	}
	late := t0.Add(5 * time.Minute)
	f.must(&state.AppCodeUsed{ID: []byte("d"), ExpiresAt: late.Add(time.Minute), At: late})
	f.refused(state.Conflict, use("a", 0))
	require.Equal(t, 3, remembered(), "a clock that is behind can't use a code twice")
	later := t0.Add(time.Hour)
	f.must(&state.AppCodeUsed{ID: []byte("e"), ExpiresAt: later.Add(time.Minute), At: later})
	require.Equal(t, 1, remembered())
}
