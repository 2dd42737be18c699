package agent

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/wire"
)

func TestVisitorsAreServedWhileTheHostIsConfirmed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.newBoss("a"), w.newBoss("b")
	know(a, b)
	agent := w.start(w.config("", a.addr))
	withA, withB := a.session(), b.session()
	leader := withA.lead(1)
	leader.inventory()
	id := randomHex(6)
	leader.order(id, 1, 1, "start", "serve", "8080")
	o := leader.done(id, 1).Observed

	_, answer := withB.visit(o.DockerID)
	require.Equal(t, unconfirmed, answer.Error, "no leader has confirmed anything")
	const short = 200 * time.Millisecond
	leader.lease(1, short)
	served := func(s *talk) *wire.Stream {
		t.Helper()
		var stream *wire.Stream
		eventually(t, "the app to listen", func() bool {
			one, answer := s.visit(o.DockerID)
			stream = one
			return answer.Error == ""
		})
		require.NoError(t, echo(t, stream))
		return stream
	}
	visitor := served(withB)

	// The lease has run out, and the leader is gone: managers without a quorum go on.
	leader.Kill()
	eventually(t, "the lease to run out", func() bool { return time.Now().After(leaseEnd(agent)) })
	served(withB)
	require.NoError(t, echo(t, visitor))

	// One manager goes; the other is enough. A lease that has run out ends with the last session.
	b.stop()
	receive(t, "the end of a session", withB.done)
	visitor = served(withA)
	a.stop()
	require.Error(t, echo(t, visitor))
	eventually(t, "the host to see that it is cut off", func() bool { return w.logs.count("cut off from all managers") == 1 })

	a.listen(a.addr)
	withA = a.session()
	_, answer = withA.visit(o.DockerID)
	require.Equal(t, unconfirmed, answer.Error)
	leader = withA.lead(2)
	inventory := leader.has(o.DockerID)
	require.Equal(t, "running", inventory.Containers[0].State, "being cut off ends nothing")
	_, answer = withA.visit(o.DockerID)
	require.Equal(t, unconfirmed, answer.Error, "an inventory confirms nothing yet")
	leader.lease(1, time.Minute)
	served(withA)

	// A lease that hasn't run out outlives a short cut.
	a.restart()
	withA = a.session()
	served(withA)
	require.Equal(t, 1, w.logs.count("cut off from all managers"))
}

func TestTheLeaseCountsFromTheLastSignOfLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.newBoss("a")
	agent := w.start(w.config("", a.addr))
	s := a.session()
	before := time.Now()
	leader := s.lead(1)
	leader.inventory()
	told := time.Now()
	leader.lease(1, time.Minute)
	answered := time.Now()
	require.WithinRange(t, leaseEnd(agent), before.Add(time.Minute), told.Add(time.Minute))
	leader.send(&wire.InventoryRequest{}) // an inventory is no answer to a lease
	leader.inventory()
	leader.lease(2, time.Minute)
	require.WithinRange(t, leaseEnd(agent), told.Add(time.Minute), answered.Add(time.Minute))
}

func leaseEnd(a *Agent) time.Time {
	a.lease.mu.Lock()
	defer a.lease.mu.Unlock()
	return a.lease.until
}
