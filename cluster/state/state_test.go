package state_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)

// fixture is a store with a user, a project and a node, and the index of its last command.
type fixture struct {
	*testing.T
	store *state.Store
	index uint64
}

func newFixture(t *testing.T) *fixture {
	store, err := state.Open(filepath.Join(t.TempDir(), "state.db"))
	require.NoError(t, err)
	t.Cleanup(func() { store.Close() })
	f := &fixture{T: t, store: store}
	f.must(&state.UserCreated{User: state.User{ID: "u1", Name: "ana", Active: true}})
	f.must(&state.ProjectCreated{Project: state.Project{ID: "p1", Title: "Mice", Type: state.TypeProject}, Owner: "u1"})
	f.must(&state.NodeRegistered{Node: state.Node{ID: "n1", Name: "host1"}})
	return f
}

// apply sends a command the way Raft does: encoded, then decoded.
func (f *fixture) apply(c state.Command) state.Result {
	f.Helper()
	raw, err := state.Encode(c)
	require.NoError(f, err)
	decoded, err := state.Decode(raw)
	require.NoError(f, err)
	f.index++
	results, err := f.store.Apply([]state.Entry{{Index: f.index, Command: decoded}})
	require.NoError(f, err)
	return results[0]
}

func (f *fixture) must(c state.Command) any {
	f.Helper()
	result := f.apply(c)
	require.NoError(f, result.Err)
	return result.Value
}

func (f *fixture) refused(code state.Code, c state.Command) {
	f.Helper()
	require.Equal(f, code, state.CodeOf(f.apply(c).Err))
}

func container(id string) state.Container {
	return state.Container{ID: id, Project: "p1", Spec: state.Spec{
		Title: "App " + id, Repository: "nginx", Tag: "1", Port: 80, Timeout: 60, MaxRetries: 5, InactivityDays: 7,
	}, CreatedAt: t0}
}

func (f *fixture) container(id string) (c state.Container, ok bool) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) (err error) {
		c, ok, err = tx.Container(id)
		return err
	}))
	return c, ok
}

func (f *fixture) log(id string) (lines []string) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) error {
		entries, _, err := tx.LogTail(id, 1<<20)
		for _, e := range entries {
			lines = append(lines, e.Format(time.UTC))
		}
		return err
	}))
	return lines
}

// start brings a container to running as a node would report it.
func (f *fixture) start(id, dockerID string) {
	f.Helper()
	f.must(&state.ActionRequested{Container: id, Action: state.Start, User: "ana", Time: t0})
	c, _ := f.container(id)
	f.must(&state.ContainerPlaced{Container: id, Generation: c.Generation, Node: "n1"})
	f.must(&state.ContainerReported{Container: id, Node: "n1", Generation: c.Generation, Seq: c.ReportSeq + 1, Done: true,
		State: state.Running, DockerID: dockerID, Time: t0})
}

func TestLifeOfAContainer(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
	c, _ := f.container("c1")
	require.Equal(t, state.Initial, c.State)

	f.must(&state.ActionRequested{Container: "c1", Action: state.Start, User: "ana", Time: t0})
	c, _ = f.container("c1")
	require.True(t, c.Pending())
	require.Equal(t, "starting", c.Shown())
	require.Equal(t, state.Initial, c.State, "what is shown is never stored")

	f.must(&state.ContainerPlaced{Container: "c1", Generation: 1, Node: "n1"})
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", Generation: 1, Seq: 1, State: state.Pulling, Time: t0,
		Lines: []state.LogEntry{{Time: t0, Level: state.Info, Process: state.ProcessTask, Text: "Pulling image ..."}}})
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", Generation: 1, Seq: 2, Done: true, State: state.Running, DockerID: "d1", Time: t0})
	c, _ = f.container("c1")
	require.False(t, c.Pending())
	require.Equal(t, "running", c.Shown())
	require.Equal(t, []string{
		"[2026-01-02 03:04:05 INFO ana] (Object) Created",
		"[2026-01-02 03:04:05 INFO ana] (Action) Start",
		"[2026-01-02 03:04:05 INFO ana] (Task) Pulling image ...",
	}, f.log("c1"))

	f.must(&state.ActionRequested{Container: "c1", Action: state.Delete, User: "ana", Time: t0})
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", Generation: 2, Seq: 3, Done: true, State: state.Deleted, Time: t0})
	_, there := f.container("c1")
	require.False(t, there)
	require.Empty(t, f.log("c1"))
	f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"}) // the title is free again
}

func TestActionsByState(t *testing.T) {
	allowed := map[state.State][]state.Action{
		state.Initial:    {state.Start, state.Delete},
		state.Created:    {state.Start, state.Delete},
		state.Deleted:    {state.Start, state.Delete},
		state.Dead:       {state.Start, state.Delete},
		state.Failed:     {state.Start, state.Restart, state.Delete},
		state.Exited:     {state.Start, state.Restart, state.Delete},
		state.Running:    {state.Stop, state.Pause, state.Restart, state.Delete},
		state.Restarting: {state.Stop, state.Restart, state.Delete},
		state.Paused:     {state.Stop, state.Unpause, state.Restart, state.Delete},
		state.Pulling:    {state.Delete},
		state.Deleting:   {state.Delete},
	}
	for _, s := range state.States {
		for _, a := range []state.Action{state.Start, state.Stop, state.Pause, state.Unpause, state.Restart, state.Delete} {
			c := state.Container{State: s}
			want := false
			for _, ok := range allowed[s] {
				want = want || ok == a
			}
			require.Equal(t, want, c.Allowed(a), "%s in %s", a, s)
		}
	}
	pending := state.Container{State: state.Pulling, Generation: 1, Action: state.Start}
	require.True(t, pending.Allowed(state.Stop), "a pull that takes too long can be ended")
	require.True(t, pending.Allowed(state.Delete))
	require.False(t, pending.Allowed(state.Start))
}

func TestAnActionThatIsNotAllowedChangesNothing(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
	f.start("c1", "d1")
	before, _ := f.container("c1")
	result := f.apply(&state.ActionRequested{Container: "c1", Action: state.Start, User: "ana", Time: t0})
	require.EqualError(t, result.Err, "Action start not allowed in state running")
	f.refused(state.Invalid, &state.ActionRequested{Container: "c1", Action: "explode", User: "ana", Time: t0})
	after, _ := f.container("c1")
	require.Equal(t, before, after)
}

func TestStaleAndForeignReportsArePassedOver(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
	f.start("c1", "d1")
	f.must(&state.ActionRequested{Container: "c1", Action: state.Stop, User: "ana", Time: t0})
	before, _ := f.container("c1")
	for name, r := range map[string]state.ContainerReported{
		"older generation":        {Container: "c1", Node: "n1", Generation: 1, Seq: 99, Done: true, State: state.Failed},
		"another node":            {Container: "c1", Node: "n2", Generation: 2, Seq: 99, Done: true, State: state.Failed},
		"seen before":             {Container: "c1", Node: "n1", Generation: 2, Seq: before.ReportSeq, Done: true, State: state.Failed},
		"observed while pending":  {Container: "c1", Node: "n1", DockerID: "d1", State: state.Exited},
		"another Docker contaner": {Container: "c1", Node: "n1", DockerID: "d0", State: state.Exited},
	} {
		f.must(&r)
		after, _ := f.container("c1")
		require.Equal(t, before, after, name)
	}
}

func TestWhatBecomesOfAContainerByItself(t *testing.T) {
	for name, c := range map[string]struct {
		report state.ContainerReported
		want   state.State
		line   string
	}{
		"ends at once": {state.ContainerReported{State: state.Exited, ExitCode: 3, StartedAt: t0, Time: t0.Add(time.Second)},
			state.Failed, "(Task) The process in the container ended with exit code 3 right after its start."},
		"ends later": {state.ContainerReported{State: state.Exited, ExitCode: 137, StartedAt: t0, Time: t0.Add(time.Hour)},
			state.Exited, "(Task) The process in the container ended with exit code 137."},
		"is removed": {state.ContainerReported{Time: t0.Add(time.Hour)},
			state.Failed, "(Task) The Docker container d1 is gone from its Docker host."},
		"is paused": {state.ContainerReported{State: state.Paused, Time: t0.Add(time.Hour)}, state.Paused, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
			f.start("c1", "d1")
			c.report.Container, c.report.Node, c.report.DockerID = "c1", "n1", "d1"
			before, _ := f.container("c1")
			require.True(t, before.News(&c.report))
			f.must(&c.report)
			after, _ := f.container("c1")
			require.Equal(t, c.want, after.State)
			require.False(t, after.News(&c.report), "the second time")
			if c.line != "" {
				lines := f.log("c1")
				require.Contains(t, lines[len(lines)-1], c.line)
			}
		})
	}
}

func TestBadContainersAreRefusedWhole(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ContainerCreated{Container: container("c0"), User: "ana"})
	for field, spoil := range map[string]func(*state.Container){
		"title":          func(c *state.Container) { c.Title = strings.Repeat("x", 10<<20) },
		"container_port": func(c *state.Container) { c.Port = 70000 },
		"repository":     func(c *state.Container) { c.Repository = "UPPER CASE" },
		"environment":    func(c *state.Container) { c.Environment = []byte(`["A"]`) },
		"environment (deep)": func(c *state.Container) {
			c.Environment = []byte(`{"A":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`)
		},
		"environment (zero)":      func(c *state.Container) { c.Environment = []byte(`{"A":"\u0000"}`) },
		"environment_secret_keys": func(c *state.Container) { c.Environment, c.SecretKeys = []byte(`{"A":1}`), []string{"B"} },
		"command":                 func(c *state.Container) { c.Command = `echo "open` },
		"timeout":                 func(c *state.Container) { c.Timeout = 0 },
		"container_path":          func(c *state.Container) { c.Path = "a?b" },
	} {
		c := container("bad")
		spoil(&c)
		var refused *state.Error
		require.ErrorAs(t, f.apply(&state.ContainerCreated{Container: c}).Err, &refused, field)
		name, _, _ := strings.Cut(field, " ")
		require.Contains(t, refused.Fields, name)
	}
	same := container("c1")
	same.Title = "App c0"
	f.refused(state.Invalid, &state.ContainerCreated{Container: same})
	require.NoError(t, f.store.View(func(tx *state.Tx) error {
		list, err := tx.ContainersOf("p1")
		require.Len(t, list, 1)
		return err
	}))
}

func TestTooManyPendingActions(t *testing.T) {
	f := newFixture(t)
	for i := range state.MaxPending + 1 {
		id := fmt.Sprintf("c%d", i)
		f.must(&state.ContainerCreated{Container: container(id), User: "ana"})
		start := &state.ActionRequested{Container: id, Action: state.Start, User: "ana", Time: t0}
		if i < state.MaxPending {
			f.must(start)
		} else {
			f.refused(state.TooMany, start)
		}
	}
}

func TestLogIsStoredExactlyOnce(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
	f.start("c1", "d1")
	at := func(n int) state.Cursor { return state.Cursor{Stdout: state.Place{Time: int64(n), Count: 1}} }
	batch := func(from, to state.Cursor, docker string, texts ...string) state.LogOutcome {
		var entries []state.LogEntry
		for _, text := range texts {
			entries = append(entries, state.LogEntry{Time: t0.Add(time.Hour), Process: state.ProcessDocker, Text: text})
		}
		chunk, err := state.PackLog(entries)
		require.NoError(t, err)
		return f.must(&state.LogAppended{Container: "c1", Node: "n1", DockerID: docker, From: from, To: to, Chunk: chunk}).(state.LogOutcome)
	}
	require.True(t, batch(state.Cursor{}, at(1), "d1", "one", strings.Repeat("long ", 1000)).Stored)
	require.Equal(t, state.LogOutcome{Cursor: at(1)}, batch(state.Cursor{}, at(1), "d1", "one"), "the same batch again")
	require.Equal(t, state.LogOutcome{Cursor: at(1)}, batch(at(2), at(3), "d1", "three"), "a gap")
	require.True(t, batch(at(1), at(2), "d1", "two").Stored)
	require.True(t, batch(state.Cursor{}, at(1), "d2", "new").Stored, "the next Docker container begins anew")
	f.refused(state.NotFound, &state.LogAppended{Container: "c1", Node: "n2", DockerID: "d2", From: at(1), To: at(2)})

	lines := f.log("c1")
	require.Equal(t, []string{"(Docker) one", "(Docker) two", "(Docker) new"}, []string{lines[2][len(lines[2])-12:],
		lines[4][len(lines[4])-12:], lines[5][len(lines[5])-12:]})
}

func TestLogKeepsTheNewestLines(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
	f.start("c1", "d1")
	var from state.Cursor
	const per = 50_000
	for i := range 12 {
		entries := make([]state.LogEntry, per)
		for j := range entries {
			entries[j] = state.LogEntry{Time: t0.Add(time.Hour + time.Duration(i*per+j)), Process: state.ProcessDocker, Text: fmt.Sprint(i*per + j)}
		}
		chunk, err := state.PackLog(entries)
		require.NoError(t, err)
		to := state.Cursor{Stdout: state.Place{Time: int64(i + 1), Count: 1}}
		f.must(&state.LogAppended{Container: "c1", Node: "n1", DockerID: "d1", From: from, To: to, Chunk: chunk})
		from = to
	}
	require.NoError(t, f.store.View(func(tx *state.Tx) error {
		meta, err := tx.LogMeta("c1")
		require.LessOrEqual(t, meta.Lines, state.DefaultLogLimits.Lines)
		require.Equal(t, 10*per, meta.Lines)
		tail, place, err2 := tx.LogTail("c1", 3)
		require.NoError(t, err2)
		require.Equal(t, "599999", tail[2].Text)
		more, _, further, err2 := tx.LogSince("c1", place, 10)
		require.Empty(t, more)
		require.False(t, further)
		require.NoError(t, err2)
		return err
	}))
}

func TestSnapshotAndRestoreGiveTheSameState(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
	snap, err := f.store.Snapshot()
	require.NoError(t, err)
	f.must(&state.ContainerCreated{Container: container("c2"), User: "ana"}) // after the snapshot
	var copied bytes.Buffer
	_, err = snap.WriteTo(&copied)
	require.NoError(t, err)
	require.NoError(t, snap.Close())

	other := newFixture(t)
	woken, stop := other.store.Watch(state.TopicPending)
	defer stop()
	require.NoError(t, other.store.Restore(&copied))
	<-woken
	require.Equal(t, snap.Index, other.store.AppliedIndex())
	_, there := other.container("c1")
	require.True(t, there)
	_, there = other.container("c2")
	require.False(t, there)

	require.Error(t, other.store.Restore(strings.NewReader("garbage")))
	_, there = other.container("c1")
	require.True(t, there, "a bad snapshot leaves the state alone")
}

func TestABatchWithARefusedCommandKeepsTheOthers(t *testing.T) {
	f := newFixture(t)
	twice := container("c2")
	twice.Title = "App c1"
	f.index += 3
	results, err := f.store.Apply([]state.Entry{
		{Index: f.index - 2, Command: &state.ContainerCreated{Container: container("c1")}},
		{Index: f.index - 1, Command: &state.ContainerCreated{Container: twice}},
		{Index: f.index, Command: &state.ContainerCreated{Container: container("c3")}},
	})
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	require.Equal(t, state.Invalid, state.CodeOf(results[1].Err))
	require.NoError(t, results[2].Err)
	require.Equal(t, f.index, f.store.AppliedIndex())

	again, err := f.store.Apply([]state.Entry{{Index: f.index, Command: &state.ContainerCreated{Container: container("c4")}}})
	require.NoError(t, err)
	require.NoError(t, again[0].Err)
	_, there := f.container("c4")
	require.False(t, there, "an entry that was applied before is passed over")
}

func TestWaitIndex(t *testing.T) {
	f := newFixture(t)
	waited, next := make(chan error, 1), f.index+1
	go func() { waited <- f.store.WaitIndex(context.Background(), next) }()
	f.must(&state.NodeRegistered{Node: state.Node{ID: "n2", Name: "host2"}})
	require.NoError(t, <-waited)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, f.store.WaitIndex(ctx, f.index+1), context.Canceled)
}

func TestUnknownCommandsStopTheNode(t *testing.T) {
	_, err := state.Decode([]byte{1, 250, 0, 0xa0})
	require.ErrorIs(t, err, state.ErrUnknownCommand)
	c, err := state.Decode([]byte{1, 250, 1, 0xa0})
	require.NoError(t, err)
	require.Nil(t, c, "one that says it may be passed over")
	_, err = state.Decode([]byte{9, 1, 1, 0xa0})
	require.ErrorIs(t, err, state.ErrUnknownCommand)
}

func TestOpenRefusesALockedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	store, err := state.Open(path)
	require.NoError(t, err)
	_, err = state.Open(path)
	require.ErrorIs(t, err, state.ErrLocked)
	require.NoError(t, store.Close())
}
