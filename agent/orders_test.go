package agent

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/wire"
)

// TestTheHighestTermLeads has several managers that take themselves for the leader.
func TestTheHighestTermLeads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.newBoss("a"), w.newBoss("b")
	know(a, b)
	w.start(w.config("", a.addr))
	withA, withB := a.session(), b.session()
	five := withA.lead(5)
	require.False(t, five.inventory().Away)

	four := withB.lead(4)
	require.ErrorIs(t, receive(t, "the end of the former leader's stream", four.ended), wire.ErrReset)
	require.Empty(t, four.inventories)
	five.lease(1, time.Minute)

	again := withB.lead(5) // the same leader by another way
	again.inventory()
	require.Error(t, receive(t, "the end of the replaced stream", five.ended))
	again.lease(1, time.Minute)

	six := withA.lead(6)
	six.inventory()
	require.Error(t, receive(t, "the end of the replaced stream", again.ended))
	six.send(&wire.InventoryRequest{})
	six.inventory()

	// The leader's messages count by the term they carry, too.
	id := randomHex(6)
	six.term = 5
	six.order(id, 1, 1, "start", "wait")
	six.term = 6
	six.order(id, 2, 1, "stop")
	require.Equal(t, "initial", six.done(id, 2).State)

	// A stream may end and come back; what wasn't acknowledged comes again.
	six.Kill()
	seven := withA.lead(7)
	seven.noAcks.Store(true)
	seven.inventory()
	seven.order(id, 3, 1, "stop")
	seven.done(id, 3)
	a.restart()
	eight := a.session().lead(8)
	eight.inventory()
	require.Equal(t, "initial", eight.done(id, 3).State)
}

// TestLinesForSuperusers looks for what leads from a container's log to what Docker has.
func TestLinesForSuperusers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.newBoss("a")
	w.start(w.config("", a.addr))
	leader := a.session().lead(1)
	leader.inventory()
	id := randomHex(6)
	leader.order(id, 1, 1, "start", "wait")
	last, lines := leader.told(id, 1)
	made := last.Observed
	require.Contains(t, lines, "debug The image was on the Docker host already and has the id "+made.ImageID[len("sha256:"):][:12]+".")
	require.Contains(t, lines, "debug The Docker container "+made.DockerID[:12]+" was made on the Docker host host.")
	require.Regexp(t, `debug The app is reached at (the address [0-9.]+ in its project's network|port \d+ of the Docker host)\.`, strings.Join(lines, "\n"))
	leader.order(id, 2, 1, "stop")
	_, lines = leader.told(id, 2)
	require.Regexp(t, `info Stopping succeeded\ndebug The process ended with exit code \d+\.$`, strings.Join(lines, "\n"))
	leader.order(id, 3, 1, "delete")
	_, lines = leader.told(id, 3)
	require.Contains(t, lines, "debug The Docker container "+made.DockerID[:12]+" was removed.")
}

func TestPlacements(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.newBoss("a")
	w.start(w.config("", a.addr))
	leader := a.session().lead(1)
	leader.inventory()
	id := randomHex(6)
	leader.order(id, 1, 3, "start", "wait")
	first := leader.done(id, 1).Observed
	require.Equal(t, "running", first.State)
	require.EqualValues(t, 3, first.Placement)

	// An overtaken placement changes nothing; had its order been taken, its report would come before the next one's.
	leader.order(id, 2, 2, "delete")
	// The same generation of a new placement makes another Docker container.
	leader.order(id, 1, 4, "start", "wait")
	second := leader.done(id, 1).Observed
	require.Equal(t, "running", second.State)
	require.EqualValues(t, 4, second.Placement)
	require.NotEqual(t, first.DockerID, second.DockerID)
	leader.send(&wire.InventoryRequest{})
	leader.has(second.DockerID)

	// What doesn't belong here is removed, and a new inventory tells so.
	leader.send(&wire.Remove{Term: 1, DockerIDs: []string{second.DockerID}})
	leader.has()

	// A move sends the log and leaves nothing.
	const lines = 20_000
	leader.order(id, 3, 4, "start", "lines", strconv.Itoa(lines))
	third := leader.done(id, 3).Observed
	leader.observed("the process's end", func(o wire.Observed) bool { return o.State == "exited" })
	leader.order(id, 4, 4, "move")
	require.Equal(t, "deleted", leader.done(id, 4).State)
	require.Equal(t, 2*lines, len(a.lines.of(third.DockerID)))
	leader.send(&wire.InventoryRequest{})
	leader.has()
}
