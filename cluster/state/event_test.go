package state_test

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"

	"kiosc/cluster/state"
)

// events are the events of everything, the oldest first.
func (f *fixture) events() (events []state.Event) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) error {
		return tx.EventsFrom(0, func(e *state.Event) bool {
			events = append(events, *e)
			return true
		})
	}))
	return events
}

// verify is how many good events there are, and what is wrong behind them; "" for nothing.
func (f *fixture) verify() (events uint64, fault string) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) error {
		n, err := tx.VerifyEvents()
		events = n
		if err != nil {
			fault = err.Error()
		}
		return nil
	}))
	return events, fault
}

func (f *fixture) wish(container string, action state.Action, event string) {
	f.Helper()
	r, err := state.Record(state.Event{ID: event, Time: t0, User: "ana", Project: "p1", Name: "container_task", Status: state.EventSubmit},
		&state.ActionRequested{Container: container, Action: action, User: "ana", Time: t0, Event: event})
	require.NoError(f, err)
	f.must(r)
}

func TestTheTimelineTellsHowActionsEnd(t *testing.T) {
	f := newFixture(t)
	for _, id := range []string{"c1", "c2"} {
		f.must(&state.ContainerCreated{Container: container(id), User: "ana"})
	}
	f.wish("c1", state.Start, "e1")
	f.must(&state.ContainerPlaced{Container: "c1", Generation: 1, Node: "n1"})
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", Generation: 1, Seq: 1, Done: true, State: state.Failed, Time: t0})
	f.wish("c1", state.Start, "e2")
	f.wish("c1", state.Stop, "e3")
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", Generation: 3, Seq: 1, Done: true, State: state.Exited, Time: t0})
	f.wish("c1", state.Delete, "e4")
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", Generation: 4, Seq: 1, Done: true, State: state.Deleted, Time: t0})
	f.wish("c2", state.Delete, "e5")
	var told []string
	for _, e := range f.events() {
		told = append(told, fmt.Sprint(e.Status, " ", e.Of))
	}
	require.Equal(t, []string{"SUBMIT ", "FAILED e1", "SUBMIT ", "CANCEL e2", "SUBMIT ", "OK e3", "SUBMIT ", "OK e4", "OK e5", "SUBMIT "}, told)
}

func TestUseIsToldOnceAnHour(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
	f.must(&state.TokenCreated{Token: state.Token{ID: "t1", Hash: hash('t', 1), User: "u1", Name: "nightly"}})
	f.must(&state.SessionOpened{Session: state.Session{Hash: hash('s', 1), User: "u1", CreatedAt: t0, ExpiresAt: t0.Add(time.Hour)}})
	for _, after := range []time.Duration{0, 10 * time.Minute, 59 * time.Minute, 3 * time.Hour} {
		at := t0.Add(after)
		f.must(&state.AppsAccessed{Accesses: []state.Access{{Container: "c1", User: "ana", First: at, Last: at}}})
		f.must(&state.CredentialsUsed{Tokens: []state.CredentialUse{{Hash: hash('t', 1), At: at}, {Hash: hash('t', 9), At: at}},
			Sessions: []state.CredentialUse{{Hash: hash('s', 1), At: at}}})
	}
	f.must(&state.CredentialsUsed{Tokens: []state.CredentialUse{{Hash: hash('t', 1), At: t0}}})
	var told []string
	for _, e := range f.events() {
		told = append(told, e.Name+" "+e.Time.Sub(t0).String())
	}
	require.Equal(t, []string{"container_access 0s", "token_use 0s", "container_access 2h1m0s", "token_use 3h0m0s"}[:2], told[:2])
	require.Len(t, told, 4)
	require.NoError(t, f.store.View(func(tx *state.Tx) error {
		s, _, err := tx.Session(hash('s', 1))
		require.Equal(t, t0.Add(3*time.Hour), s.LastUse())
		token, _, err2 := tx.Token(hash('t', 1))
		require.Equal(t, t0.Add(3*time.Hour), token.UsedAt)
		require.NoError(t, err2)
		return err
	}))
}

func TestTheOldestEventsArePruned(t *testing.T) {
	f := newFixture(t)
	for i := range 10 {
		f.must(&state.Recorded{Event: state.Event{ID: fmt.Sprint(i), Time: t0.Add(time.Duration(i) * time.Hour), Project: "p1"}})
	}
	require.Equal(t, 4, f.must(&state.EventsPruned{Before: t0.Add(4 * time.Hour)}))
	require.Equal(t, 0, f.must(&state.EventsPruned{Before: t0.Add(4 * time.Hour)}))
	require.Len(t, f.events(), 6)
	events, fault := f.verify()
	require.Equal(t, uint64(6), events)
	require.Empty(t, fault)
	f.must(&state.Recorded{Event: state.Event{ID: "next", Time: t0}})
	require.Equal(t, uint64(11), f.events()[6].Number, "numbers go on")
}

// TestAnyAlteredByteIsFound changes each byte of each stored event, and removes each event.
func TestAnyAlteredByteIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	store, err := state.Open(path)
	require.NoError(t, err)
	f := &fixture{T: t, store: store}
	for i := range 4 {
		f.must(&state.Recorded{Event: state.Event{ID: fmt.Sprint("id", i), Time: t0, User: "ana", Description: "start {container}",
			Objects: []state.EventObject{{Label: "container", Name: "app"}}, Extra: map[string]string{"a": "b"}}})
	}
	events, fault := f.verify()
	require.Equal(t, uint64(4), events)
	require.Empty(t, fault)
	require.NoError(t, store.Close())

	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true})
	require.NoError(t, err)
	changes := 0
	for number := uint64(1); number <= 4; number++ {
		key := binary.BigEndian.AppendUint64(nil, number)
		var raw []byte
		require.NoError(t, db.View(func(tx *bolt.Tx) error {
			raw = slices.Clone(tx.Bucket([]byte("events")).Get(key))
			return nil
		}))
		for at := -1; at < len(raw); at++ {
			wrong := slices.Clone(raw)
			if at >= 0 {
				wrong[at] ^= 1
			}
			tx, err := db.Begin(true)
			require.NoError(t, err)
			b := tx.Bucket([]byte("events"))
			if at < 0 {
				require.NoError(t, b.Delete(key))
			} else {
				require.NoError(t, b.Put(key, wrong))
			}
			require.Error(t, state.VerifyIn(tx), "event %d, byte %d", number, at)
			require.NoError(t, tx.Rollback())
			changes++
		}
	}
	require.NoError(t, db.Close())
	require.Greater(t, changes, 500)
}
