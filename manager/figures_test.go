package manager_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
	"kiosc/cluster/wire"
	"kiosc/deploy/testbed/simhost"
	"kiosc/manager"
	"kiosc/manager/figures"
	"kiosc/manager/service"
)

// TestFiguresComeFromTheLeader has a container's figures read at each of three managers, before and after the leader
// has changed.
func TestFiguresComeFromTheLeader(t *testing.T) {
	all := three(t, func(cfg *manager.Config) { cfg.FiguresEvery = time.Second })
	l, others := leader(all)
	token := l.token()
	var id atomic.Value
	var began = time.Now()
	h := &simhost.Host{Name: "d1", Ordered: func(o *wire.Order) { id.Store(o.Container) }, Figures: func() []wire.Figure {
		c, _ := id.Load().(string)
		used := time.Since(began)
		return []wire.Figure{{Container: c, DockerID: "d", CPU: uint64(used), Memory: 1 << 20, MemoryLimit: 1 << 30,
			Received: uint64(used.Seconds() * 1000)}}
	}}
	l.lasting(h)
	l.lasting(&simhost.Host{Name: "old", Ordered: func(*wire.Order) { t.Error("an order for the old host") }})
	var host service.NodeStatus
	require.NoError(t, l.admin("node-drain", manager.NodeRequest{Node: "old"}, &host))
	c := l.started(token)
	require.NoError(t, l.admin("node-inspect", manager.NodeRequest{Node: "d1"}, &host))
	var detail struct{ Project string }
	l.api(token, http.MethodGet, "/containers/api/detail/"+c, nil, &detail)

	known := func(n *node, path string) (r figures.Report) {
		require.Eventually(t, func() bool {
			n.api(token, http.MethodGet, "/containers/api/stats/"+path, nil, &r)
			return r.Now != nil && len(r.Points) > 0
		}, soon, 100*time.Millisecond, path)
		return r
	}
	for _, n := range all {
		for _, path := range []string{c, "project/" + detail.Project, "node/" + host.ID} {
			r := known(n, path)
			require.InDelta(t, 1, r.Now.CPU, 0.5, path)
			require.Equal(t, 1, r.Containers)
			require.EqualValues(t, 1<<20, r.Now.Memory)
		}
	}
	points := len(known(others[0], c).Points)
	require.Eventually(t, func() bool { return len(known(others[0], c).Points) > points+2 }, soon, 100*time.Millisecond)

	// With another leader the history begins anew.
	former, ended := l.id(), time.Now()
	require.NoError(t, l.end())
	for _, n := range others {
		n.wait("a new leader", func(s service.ClusterStatus) bool { return s.Leader != "" && s.Leader != former && s.Quorum })
	}
	for _, n := range others {
		require.GreaterOrEqual(t, known(n, c).Points[0].At, ended.Unix(), "the next leader tells nothing of before")
	}
}

// lasting runs a simulated Docker host that goes on when a manager ends.
func (n *node) lasting(h *simhost.Host) {
	n.Helper()
	token, err := pki.ParseJoinToken(n.joinToken("agent", false))
	require.NoError(n, err)
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		h.Run(ctx, n.cfg.ClusterListen, token, func() { close(ready) })
	}()
	<-ready
	n.Cleanup(func() {
		cancel()
		<-ended
	})
}
