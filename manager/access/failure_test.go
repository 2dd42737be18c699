package access_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/access"
)

func refused(container, user string) access.Failure {
	return access.Failure{Container: container, User: user, Reason: state.AppRefused}
}

func TestAPageThatReloadsIsFewCommands(t *testing.T) {
	with(t, func(n *node, b *access.Book, _ func()) {
		began := time.Now().UTC()
		for range 3000 { // fifty minutes
			b.Failed(refused("c1", "ana"))
			pass(time.Second)
		}
		require.GreaterOrEqual(t, len(n.told()), 9)
		require.LessOrEqual(t, len(n.told()), 11)
		first := n.told()[0][0]
		require.Equal(t, began, first.First)
		require.Less(t, first.Last.Sub(began), 6*time.Second, "the first is told soon")
		for i := 1; i < len(n.told()); i++ {
			require.Len(t, n.told()[i], 1)
			require.Less(t, n.told()[i][0].First.Sub(n.told()[i-1][0].Last), 5*time.Second, "no pause that was none")
		}
		require.Empty(t, n.commands, "a failure is no use of the app")
	})
}

func TestAnotherTryIsToldSoon(t *testing.T) {
	with(t, func(n *node, b *access.Book, _ func()) {
		b.Failed(refused("c1", "ana"))
		pass(30 * time.Second)
		b.Failed(refused("c1", "ana")) // within a minute: no news
		again := time.Now().UTC()
		pass(30 * time.Second)
		require.Len(t, n.told(), 1)
		pass(5 * time.Minute)
		require.Len(t, n.told(), 2, "but not lost")
		require.Equal(t, again, n.told()[1][0].Last)

		b.Failed(access.Failure{Container: "c1", User: "ana", Reason: state.AppNoAnswer, Cause: errors.New(strings.Repeat("ä", 300))})
		b.Failed(refused("c1", "ana"))
		b.Failed(refused("c1", "ben"))
		now := time.Now().UTC()
		pass(6 * time.Second)
		require.Equal(t, []state.FailedAccess{
			{Container: "c1", User: "ana", Reason: state.AppNoAnswer, Cause: strings.Repeat("ä", 248) + " …", First: now, Last: now},
			{Container: "c1", User: "ana", Reason: state.AppRefused, First: now, Last: now},
			{Container: "c1", User: "ben", Reason: state.AppRefused, First: now, Last: now},
		}, n.told()[2])
		pass(2 * time.Minute)
		b.Failed(refused("c1", "ana"))
		pass(6 * time.Second)
		require.Len(t, n.told(), 4)
	})
}

func TestFailuresWaitForALeader(t *testing.T) {
	with(t, func(n *node, b *access.Book, stop func()) {
		n.leaderless = true
		began := time.Now().UTC()
		b.Failed(refused("c1", "ana"))
		pass(time.Hour)
		b.Failed(refused("c1", "ana"))
		n.leaderless = false
		stop()
		require.Equal(t, [][]state.FailedAccess{{{Container: "c1", User: "ana", Reason: state.AppRefused, First: began, Last: began.Add(time.Hour)}}}, n.told())
	})
}

func TestWhoWaitsForAStartHasPatience(t *testing.T) {
	with(t, func(n *node, b *access.Book, _ func()) {
		wait := func(d time.Duration) {
			for range d / time.Second {
				f := refused("c1", "ana")
				f.Waiting = true
				b.Failed(f)
				pass(time.Second)
			}
		}
		wait(90 * time.Second)
		pass(61 * time.Second) // it has started
		wait(90 * time.Second)
		require.Empty(t, n.told(), "a start that takes its time is no failure")
		late := time.Now().UTC().Add(30 * time.Second)
		wait(40 * time.Second)
		require.Len(t, n.told(), 1)
		require.Equal(t, late, n.told()[0][0].First)
	})
}

func TestManyFailuresAtOnce(t *testing.T) {
	with(t, func(n *node, b *access.Book, _ func()) {
		fail := func(waiting bool) {
			for i := range 6_000 {
				f := refused(fmt.Sprint("c", i), "ana")
				f.Waiting = waiting
				b.Failed(f)
			}
		}
		fail(false)
		pass(6 * time.Second)
		require.Len(t, n.told(), 5, "what is remembered has a bound, and so has a command")
		for _, c := range n.told() {
			require.Len(t, c, state.MaxAccesses)
		}
		pass(time.Hour)
		fail(true)
		pass(2 * time.Minute)
		b.Failed(refused("new", "ana"))
		pass(6 * time.Second)
		require.Len(t, n.told(), 6, "room was made again, also by those that only waited")
	})
}
