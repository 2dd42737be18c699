package tasks_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/managertest"
	"kiosc/manager/tasks"
)

const soon = 20 * time.Second

// fixture is a Runner on a cluster of one.
type fixture struct {
	*testing.T
	node   *managertest.Node
	runner *tasks.Runner
	stop   context.CancelFunc
	ended  chan struct{}
}

func newFixture(t *testing.T, all ...tasks.Task) *fixture {
	t.Parallel()
	f := &fixture{T: t, node: managertest.NewNode(t)}
	f.runner = tasks.New(tasks.Config{Node: f.node.Node, Self: "m1", Logger: slog.New(slog.DiscardHandler),
		Schedules: map[string]string{"changed": "1s"}})
	for _, task := range all {
		require.NoError(t, f.runner.Register(task))
	}
	return f
}

// lead begins a leadership.
func (f *fixture) lead() {
	ctx, cancel := context.WithCancel(context.Background())
	f.stop, f.ended = cancel, make(chan struct{})
	go func() {
		defer close(f.ended)
		f.runner.Lead(ctx)
	}()
	f.Cleanup(f.end)
}

// end ends it and waits.
func (f *fixture) end() {
	f.stop()
	<-f.ended
}

func (f *fixture) last(name string) (run state.TaskRun, ok bool) {
	f.node.View(func(tx *state.Tx) (err error) {
		run, ok, err = tx.TaskRun(name)
		return err
	})
	return run, ok
}

func (f *fixture) await(what string, ok func() bool) {
	f.Helper()
	require.Eventually(f, ok, soon, 10*time.Millisecond, what)
}

func TestATaskRunsBySchedule(t *testing.T) {
	var runs atomic.Int32
	f := newFixture(t, tasks.Task{Name: "changed", Schedule: tasks.Off, Run: func(context.Context) (string, error) {
		runs.Add(1)
		return "done", nil
	}})
	f.lead()
	f.await("the operator's schedule counts", func() bool { return runs.Load() >= 2 })
	run, ok := f.last("changed")
	require.True(t, ok)
	require.Equal(t, "done", run.Summary)
	require.Equal(t, "m1", run.Manager)
	list, err := f.runner.Tasks(context.Background())
	require.NoError(t, err)
	require.Equal(t, "done", list[0].Last.Summary)
	require.NotNil(t, list[0].Next)
}

func TestRunsOfATaskDontPileUp(t *testing.T) {
	var now, most, begun atomic.Int32
	release := make(chan struct{})
	f := newFixture(t, tasks.Task{Name: "slow", Schedule: "1s", Run: func(ctx context.Context) (string, error) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		begun.Add(1)
		select {
		case <-release:
		case <-ctx.Done():
		}
		return "", nil
	}})
	f.lead()
	f.await("it runs", func() bool { return begun.Load() == 1 })
	_, err := f.runner.RunNow(context.Background(), "slow", "ana")
	require.Equal(t, state.Conflict, state.CodeOf(err))
	require.Never(t, func() bool { return begun.Load() > 1 }, 2500*time.Millisecond, 50*time.Millisecond)
	list, err := f.runner.Tasks(context.Background())
	require.NoError(t, err)
	require.NotNil(t, list[0].RunningSince)
	release <- struct{}{}
	f.await("only one of the missed ones is made up for", func() bool { return begun.Load() == 2 })
	require.EqualValues(t, 1, most.Load())
}

func TestTasksEndWithTheLeadership(t *testing.T) {
	var inside atomic.Bool
	f := newFixture(t, tasks.Task{Name: "long", Schedule: tasks.Off, Run: func(ctx context.Context) (string, error) {
		inside.Store(true)
		<-ctx.Done()
		inside.Store(false)
		return "", ctx.Err()
	}})
	_, err := f.runner.RunNow(context.Background(), "long", "")
	require.Equal(t, state.Unavailable, state.CodeOf(err), "it doesn't lead yet")
	f.lead()
	answered := make(chan error, 1)
	f.await("it leads", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		out, err := f.runner.RunNow(ctx, "long", "")
		return err == nil && out.Last == nil && out.RunningSince != nil
	})
	go func() {
		_, err := f.runner.RunNow(context.Background(), "long", "")
		answered <- err
	}()
	require.Equal(t, state.Conflict, state.CodeOf(<-answered))
	f.await("it runs", inside.Load)
	f.end()
	require.False(t, inside.Load(), "Lead has returned after it")
	_, ok := f.last("long")
	require.False(t, ok, "the next leader does it again")
}

func TestTheNextLeaderMakesUpForAMissedRun(t *testing.T) {
	var missed, fresh atomic.Int32
	count := func(n *atomic.Int32) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { n.Add(1); return "", nil }
	}
	f := newFixture(t, tasks.Task{Name: "missed", Schedule: "11 1 * * *", Run: count(&missed)},
		tasks.Task{Name: "fresh", Schedule: "11 1 * * *", Run: count(&fresh)})
	for name, age := range map[string]time.Duration{"missed": 25 * time.Hour, "fresh": 0} {
		_, err := f.node.Propose(context.Background(), &state.TaskRan{Run: state.TaskRun{Name: name, At: time.Now().UTC().Add(-age)}})
		require.NoError(t, err)
	}
	f.lead()
	f.await("it is made up for", func() bool { return missed.Load() == 1 })
	require.Never(t, func() bool { return missed.Load()+fresh.Load() != 1 }, time.Second, 50*time.Millisecond)
}

func TestAFailedRunIsTold(t *testing.T) {
	f := newFixture(t,
		tasks.Task{Name: "refused", Schedule: tasks.Off, Run: func(context.Context) (string, error) {
			return "", state.Errorf(state.Unavailable, "The other site does not answer.")
		}},
		tasks.Task{Name: "broken", Schedule: tasks.Off, Run: func(context.Context) (string, error) {
			return "", errors.New("dial tcp: the secret cause")
		}},
		tasks.Task{Name: "faulty", Schedule: tasks.Off, Run: func(context.Context) (string, error) { panic("a fault") }},
		tasks.Task{Name: "late", Schedule: tasks.Off, Timeout: 20 * time.Millisecond, Run: func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}})
	f.lead()
	f.await("it leads", func() bool {
		_, err := f.runner.RunNow(context.Background(), "refused", "ana")
		return err == nil
	})
	for name, text := range map[string]string{
		"refused": "The other site does not answer.",
		"broken":  "The task has failed. The leader's log says why.",
		"faulty":  "The task has failed. The leader's log says why.",
		"late":    "The run was ended because it took longer than 20ms.",
	} {
		out, err := f.runner.RunNow(context.Background(), name, "ana")
		require.NoError(t, err)
		require.Equal(t, text, out.Last.Error)
		run, ok := f.last(name)
		require.True(t, ok)
		require.Equal(t, text, run.Error)
		require.Equal(t, "ana", run.User)
	}
	_, err := f.runner.RunNow(context.Background(), "unheard-of", "ana")
	require.Equal(t, state.NotFound, state.CodeOf(err))
}

func TestSchedulesThatCantBe(t *testing.T) {
	for _, text := range []string{"", "often", "1ms", "-5s", "1 2 3", "99 * * * *", "@never"} {
		_, err := tasks.ParseSchedule(text)
		require.Error(t, err, text)
	}
	for _, text := range []string{"30s", "1h30m", "11 1 * * *", "*/5 * * * 1,2", "@hourly", tasks.Off} {
		_, err := tasks.ParseSchedule(text)
		require.NoError(t, err, text)
	}
	runner := tasks.New(tasks.Config{Schedules: map[string]string{"unheard-of": "1s"}})
	require.ErrorContains(t, runner.Known(), "unheard-of")
}
