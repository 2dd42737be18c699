package access_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/access"
)

// node takes commands, unless it has no leader.
type node struct {
	mu         sync.Mutex
	commands   [][]state.Access
	failures   [][]state.FailedAccess
	leaderless bool
}

// told are the failures that it has heard of, by command.
func (n *node) told() [][]state.FailedAccess {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failures
}

func (n *node) Propose(_ context.Context, c state.Command) (any, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.leaderless {
		return nil, errors.New("no leader")
	}
	switch c := c.(type) {
	case *state.AppsAccessed:
		n.commands = append(n.commands, c.Accesses)
	case *state.AccessesFailed:
		n.failures = append(n.failures, c.Failures)
	}
	return nil, nil
}

// with runs a test on a Book in a time of its own; stop ends the Book as a manager does.
func with(t *testing.T, f func(n *node, b *access.Book, stop func())) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{}
		b := access.NewBook(n, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = b.Run(ctx)
		}()
		stop := func() {
			cancel()
			<-done
		}
		defer stop()
		f(n, b, stop)
	})
}

// pass lets time go by and everything that is due happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestManyRequestsAreFewCommands(t *testing.T) {
	with(t, func(n *node, b *access.Book, _ func()) {
		began := time.Now().UTC()
		for range 3000 { // fifty minutes
			b.Note("c1", "ana")
			pass(time.Second)
		}
		require.GreaterOrEqual(t, len(n.commands), 9)
		require.LessOrEqual(t, len(n.commands), 11)
		first := n.commands[0][0]
		require.Equal(t, began, first.First)
		require.Less(t, first.Last.Sub(began), 6*time.Second, "a new visit is told soon")
		for i := 1; i < len(n.commands); i++ {
			require.Len(t, n.commands[i], 1)
			require.Less(t, n.commands[i][0].First.Sub(n.commands[i-1][0].Last), 5*time.Second, "no pause that was none")
		}
	})
}

func TestARequestAfterAWhileIsTold(t *testing.T) {
	with(t, func(n *node, b *access.Book, _ func()) {
		b.Note("c1", "ana")
		pass(time.Minute)
		b.Note("c1", "ana")
		late := time.Now().UTC()
		pass(10 * time.Minute)
		require.Len(t, n.commands, 2)
		require.Equal(t, late, n.commands[1][0].Last, "the last one isn't lost")
		pass(time.Hour)
		require.Len(t, n.commands, 2, "nothing new, nothing told")
		b.Note("c1", "ana")
		pass(6 * time.Second)
		require.Len(t, n.commands, 3)
	})
}

func TestAccessesWaitForALeader(t *testing.T) {
	with(t, func(n *node, b *access.Book, stop func()) {
		n.leaderless = true
		began := time.Now().UTC()
		b.Note("c1", "ana")
		pass(time.Hour)
		b.Note("c1", "ana")
		b.Note("c2", "ben")
		require.Empty(t, n.commands)
		n.leaderless = false
		stop()
		require.Len(t, n.commands, 1, "the rest is told at the end")
		require.Equal(t, []state.Access{
			{Container: "c1", User: "ana", First: began, Last: began.Add(time.Hour)},
			{Container: "c2", User: "ben", First: began.Add(time.Hour), Last: began.Add(time.Hour)},
		}, n.commands[0])
	})
}

func TestManyUsersAtOnce(t *testing.T) {
	with(t, func(n *node, b *access.Book, _ func()) {
		for i := range 60_000 {
			b.Note(fmt.Sprint("c", i), "ana")
		}
		pass(6 * time.Second)
		require.Len(t, n.commands, 50, "what is remembered has a bound, and so has a command")
		for _, c := range n.commands {
			require.Len(t, c, state.MaxAccesses)
		}
		pass(time.Hour)
		b.Note("new", "ana")
		pass(6 * time.Second)
		require.Len(t, n.commands, 51, "room was made again")
	})
}
