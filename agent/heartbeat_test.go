package agent

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/wire"
)

// TestAnAppIsAskedWhetherItAnswers has an app that fails at first, answers once, and fails from then on.
func TestAnAppIsAskedWhetherItAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.newBoss("a")
	agent := New(w.config("", a.addr))
	require.Equal(t, beatEvery, agent.hearts.every)
	agent.hearts.every = 2 * time.Second
	w.run(agent)
	leader := a.session().lead(5)
	leader.has()
	id := randomHex(6)
	leader.send(&wire.Order{Term: 5, Container: id, Generation: 1, Placement: 1, Action: "start", Spec: wire.Spec{Project: "p-" + id,
		Image: appImage, Command: []string{"health", "8080"}, Port: 8080, Timeout: time.Minute, Heartbeat: "/health?full=1"}})
	done := leader.done(id, 1)
	require.True(t, done.Observed.Silent, "it has not answered yet")
	answers := leader.observed("the app answers", func(o wire.Observed) bool { return o.Container == id && o.State == "running" && !o.Silent })
	require.Equal(t, done.Observed.DockerID, answers.DockerID)
	var silent wire.Observed
	eventually(t, "the inventory says that the app is silent", func() bool {
		leader.send(&wire.InventoryRequest{})
		for _, o := range leader.inventory().Containers {
			if o.Container == id && o.Silent {
				silent = o
			}
		}
		return silent.DockerID != ""
	})
	require.Equal(t, "running", silent.State, "the state stays Docker's word")
	leader.observed("the leader is told", func(o wire.Observed) bool { return o.Container == id && o.Silent && o.State == "running" })

	leader.order(id, 2, 1, "stop")
	require.False(t, leader.done(id, 2).Observed.Silent)
}
