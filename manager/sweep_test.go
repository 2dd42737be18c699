package manager_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
	"kiosc/deploy/testbed/simhost"
	"kiosc/manager"
	"kiosc/manager/service"
)

func TestCommandsOnAllContainers(t *testing.T) {
	t.Parallel()
	cfg := config(t, "m1")
	cfg.Bootstrap = true
	n := start(t, cfg)
	svc := n.m.Service()
	actor, err := svc.ByName(manager.AdminName)
	require.NoError(t, err)
	views, err := svc.AllContainers(actor)
	require.NoError(t, err)
	require.Len(t, views, 1, "the demo app")
	sweep := func(command string, remove bool) (all []service.Swept) {
		require.NoError(t, n.admin(command, manager.SweepRequest{Remove: remove}, &all))
		return all
	}
	require.Empty(t, sweep("stop-all", false), "nothing runs")
	require.Empty(t, sweep("remove-stopped", true), "one that was never started isn't stopped")
	_, err = svc.Act(t.Context(), actor, views[0].ID, state.Start)
	require.NoError(t, err)
	require.True(t, sweep("stop-all", false)[0].Done, "it waited for a Docker host")
	require.Empty(t, sweep("stop-all", false), "it can be repeated")
	listed := sweep("remove-stopped", false)
	require.Len(t, listed, 1)
	require.False(t, listed[0].Done)
	require.Equal(t, "exited", listed[0].State)
	require.True(t, sweep("remove-stopped", true)[0].Done)
	views, err = svc.AllContainers(actor)
	require.NoError(t, err)
	require.Empty(t, views)
}

// TestASweepTellsWhatItWaitsFor has a Docker host away while all is to be stopped.
func TestASweepTellsWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	cfg := config(t, "m1")
	cfg.Bootstrap, cfg.NodeGrace = true, 10*time.Minute
	n := start(t, cfg)
	n.wait("it leads", func(s service.ClusterStatus) bool { return s.Quorum })
	stop := n.host(&simhost.Host{Name: "d1", Ordered: func(*wire.Order) {}})
	token := n.token()
	id := n.started(token)
	var swept []service.Swept
	require.NoError(t, n.admin("stop-all", manager.SweepRequest{}, &swept))
	require.Equal(t, []service.Swept{{ID: id, Title: "app", Project: "Demo", State: "running", Done: true}}, swept)

	n.api(token, http.MethodPost, "/containers/api/start/"+id, nil, &struct{}{})
	n.running(token, id)
	stop()
	require.NoError(t, n.admin("stop-all", manager.SweepRequest{}, &swept))
	require.Equal(t, []service.Swept{{ID: id, Title: "app", Project: "Demo", State: "running",
		Detail: "It is not done yet. Waiting for the Docker host d1: it is not connected."}}, swept)
	require.NoError(t, n.admin("remove-stopped", manager.SweepRequest{Remove: true}, &swept))
	require.Empty(t, swept, "it isn't stopped")
}
