package figures

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
)

var t0 = time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)

// newBook is one that leads since t0. The state has the project p1 with c1 and c2 on the node n1, and c3 on n2.
func newBook(t *testing.T) *Book {
	t.Helper()
	store, err := state.Open(filepath.Join(t.TempDir(), "state.db"))
	require.NoError(t, err)
	t.Cleanup(func() { store.Close() })
	commands := []state.Command{
		&state.UserCreated{User: state.User{ID: "u1", Name: "ana", Active: true}},
		&state.ProjectCreated{Project: state.Project{ID: "p1", Title: "Mice", Type: state.TypeProject}, Owner: "u1"},
		&state.NodeRegistered{Node: state.Node{ID: "n1", Name: "h1", Role: state.AgentNode, JoinedAt: t0}},
		&state.NodeRegistered{Node: state.Node{ID: "n2", Name: "h2", Role: state.AgentNode, JoinedAt: t0}},
	}
	for id, node := range map[string]string{"c1": "n1", "c2": "n1", "c3": "n2"} {
		commands = append(commands,
			&state.ContainerCreated{Container: state.Container{ID: id, Project: "p1", Spec: state.Spec{Title: id, Repository: "app", Port: 80, Timeout: 60, MaxRetries: 1, InactivityDays: 1}, CreatedAt: t0}},
			&state.ActionRequested{Container: id, Action: state.Start, User: "ana", Time: t0},
			&state.ContainerPlaced{Container: id, Generation: 1, Node: node})
	}
	for i, c := range commands {
		results, err := store.Apply([]state.Entry{{Index: uint64(i + 1), Command: c}})
		require.NoError(t, err)
		require.NoError(t, results[0].Err)
	}
	b := New(Config{Store: store, Leader: func() string { return "m1" }, Self: "m1", Logger: slog.New(slog.DiscardHandler)})
	b.begin(t0)
	return b
}

// tell takes one figure that is read now.
func (b *Book) tell(t *testing.T, node, container, docker string, at time.Time, cpu time.Duration, bytes uint64) {
	t.Helper()
	require.NoError(t, b.take(node, &wire.Figures{Containers: []wire.Figure{{Container: container, DockerID: docker,
		CPU: uint64(cpu), Memory: 1 << 20, MemoryLimit: 1 << 30, Received: bytes, Sent: 2 * bytes}}}, at))
}

func TestRatesOfAContainer(t *testing.T) {
	b := newBook(t)
	at := func(i int) time.Time { return t0.Add(time.Duration(i)*DefaultEvery + 3*time.Second) }
	r := b.sum([]string{"c1"}, at(0))
	require.Nil(t, r.Now)
	require.Empty(t, r.Points)
	b.tell(t, "n1", "c1", "d1", at(0), time.Second, 0)
	require.Nil(t, b.sum([]string{"c1"}, at(0)).Now, "one figure is no rate")
	for i := 1; i <= 4; i++ {
		b.tell(t, "n1", "c1", "d1", at(i), time.Second+time.Duration(i)*DefaultEvery/2, uint64(i)*15_000)
	}
	r = b.sum([]string{"c1"}, at(4).Add(time.Second))
	require.NotNil(t, r.Now)
	require.Equal(t, Usage{CPU: 0.5, Memory: 1 << 20, Received: 1000, Sent: 2000}, *r.Now)
	require.Equal(t, 1, r.Containers)
	require.EqualValues(t, 1<<30, r.MemoryLimit)
	require.Equal(t, 15, r.Step)
	require.Len(t, r.Points, 4)
	for i, p := range r.Points {
		require.Equal(t, t0.Unix()+int64(i+1)*15, p.At)
		require.Equal(t, *r.Now, p.Usage)
	}
	late := b.sum([]string{"c1"}, at(8))
	require.Nil(t, late.Now, "what was last heard a minute ago isn't now")
	require.Len(t, late.Points, 6, "the last figures stand for a moment, then nothing is known")
}

func TestSumsAndWhoMaySay(t *testing.T) {
	b := newBook(t)
	for i := range 3 {
		at := t0.Add(time.Duration(i) * DefaultEvery)
		b.tell(t, "n1", "c1", "d1", at, time.Duration(i)*DefaultEvery, 0)
		b.tell(t, "n1", "c2", "d2", at.Add(4*time.Second), time.Duration(i)*DefaultEvery*2, 0)
		b.tell(t, "n1", "c3", "dx", at, time.Duration(i)*DefaultEvery*9, 0) // it is on another node
		b.tell(t, "n1", "c9", "dx", at, time.Duration(i)*DefaultEvery*9, 0) // there is no such container
	}
	now := t0.Add(2*DefaultEvery + 5*time.Second)
	require.Equal(t, 3.0, b.sum([]string{"c1", "c2", "c3", "c9"}, now).Now.CPU)
	require.Len(t, b.of, 2)
	for _, of := range []Of{{Project: "p1"}, {Node: "n1"}, {Container: "c2"}, {Node: "n2"}} {
		r, err := b.Report(context.Background(), of)
		require.NoError(t, err)
		require.Nil(t, r.Now, "these figures are of long ago")
	}
}

func TestARestartIsCountedAndNothingGoesBackwards(t *testing.T) {
	b := newBook(t)
	at := func(i int) time.Time { return t0.Add(time.Duration(i) * DefaultEvery) }
	b.tell(t, "n1", "c1", "d1", at(0), 100*time.Second, 1000)
	b.tell(t, "n1", "c1", "d1", at(1), 110*time.Second, 2000)
	b.tell(t, "n1", "c1", "d2", at(2), 3*time.Second, 10) // another Docker container
	b.tell(t, "n1", "c1", "d2", at(3), 5*time.Second, 20)
	b.tell(t, "n1", "c1", "d2", at(4), time.Second, 0)  // the same, started anew
	b.tell(t, "n1", "c1", "d2", at(4), time.Hour, 1e12) // not younger than the last
	r := b.sum([]string{"c1"}, at(4))
	require.Equal(t, 2, r.Restarts)
	for _, p := range r.Points {
		require.GreaterOrEqual(t, p.CPU, 0.0)
		require.Less(t, p.CPU, 1.0)
	}
	cpu, network, ok := b.recent("c1", time.Minute, at(4))
	require.True(t, ok)
	require.InDelta(t, 16, cpu, 1e-6)
	require.EqualValues(t, 3*(1000+20+0), network)
}

func TestRecentKnowsOnlyWhatItHasSeen(t *testing.T) {
	b := newBook(t)
	at := func(i int) time.Time { return t0.Add(time.Duration(i) * DefaultEvery) }
	known := func(over time.Duration, now time.Time) bool {
		_, _, ok := b.recent("c1", over, now)
		return ok
	}
	require.False(t, known(time.Second, at(0)))
	for i := range 20 {
		b.tell(t, "n1", "c1", "d1", at(i), time.Duration(i)*time.Second, 0)
	}
	require.True(t, known(4*time.Minute, at(19)))
	require.False(t, known(5*time.Minute, at(19)), "longer than it was watched")
	require.False(t, known(time.Minute, at(23)), "not heard of for a minute")
	b.tell(t, "n1", "c1", "d1", at(40), time.Hour, 0)
	require.False(t, known(4*time.Minute, at(40)), "there is a gap")
	b.end()
	require.False(t, known(0, at(40)), "it leads no more")
}

func TestMemoryIsBounded(t *testing.T) {
	b := newBook(t)
	for i := range 3 * Kept {
		b.tell(t, "n1", "c1", fmt.Sprint(i), t0.Add(time.Duration(i)*DefaultEvery), 0, 0)
	}
	now := t0.Add(3 * Kept * DefaultEvery)
	require.Len(t, b.of["c1"].samples, Kept)
	require.LessOrEqual(t, len(b.of["c1"].restarts), Kept)
	r := b.sum([]string{"c1"}, now)
	require.LessOrEqual(t, len(r.Points), Kept)
	require.Equal(t, now.Unix(), r.Points[len(r.Points)-1].At)
	b.forget(now.Add(2 * time.Hour))
	require.Empty(t, b.of)
}

func TestOldFiguresCountFromWhenTheyWereRead(t *testing.T) {
	b := newBook(t)
	for i, age := range []time.Duration{0, 10 * time.Second, -time.Hour, time.Hour} {
		at := t0.Add(time.Duration(i) * time.Minute)
		require.NoError(t, b.take("n1", &wire.Figures{Containers: []wire.Figure{{Container: "c1", DockerID: "d1", Age: age}}}, at))
	}
	s := b.of["c1"]
	require.Equal(t, 3, s.len(), "the last can't be older than the one before")
	require.Equal(t, t0.Add(50*time.Second).UnixMilli(), s.at(1).at)
	require.Equal(t, t0.Add(2*time.Minute).UnixMilli(), s.at(2).at)
}
