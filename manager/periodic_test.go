package manager_test

import (
	"context"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
	"kiosc/cluster/wire"
	"kiosc/deploy/testbed/simhost"
	"kiosc/manager"
	"kiosc/manager/service"
)

// run has a task run, once the leader is ready for it.
func (n *node) run(task string) (out service.TaskStatus) {
	n.Helper()
	require.Eventually(n, func() bool {
		out = service.TaskStatus{}
		return n.admin("task-run", manager.TaskRequest{Task: task}, &out) == nil
	}, soon, 50*time.Millisecond, "the task "+task+" runs")
	return out
}

func TestAnyManagerHasTheLeaderRunATaskAndShowsTheResult(t *testing.T) {
	all := three(t)
	l, others := leader(all)
	out := others[0].run("check")
	require.NotNil(t, out.Last)
	require.Empty(t, out.Last.Error)
	require.Equal(t, l.cfg.Name, out.Last.Manager)
	for _, n := range all {
		require.Eventually(t, func() bool {
			var list []service.TaskStatus
			require.NoError(t, n.admin("task-ls", struct{}{}, &list))
			return list[0].Name == "check" && list[0].Last != nil && list[0].Last.Manager == l.cfg.Name
		}, soon, 50*time.Millisecond)
	}
	require.ErrorContains(t, others[0].admin("task-run", manager.TaskRequest{Task: "unheard-of"}, &out), "404")

	// The page of a manager that doesn't lead does the same.
	b := newBrowser(t, others[1])
	answer, body := b.send("POST", "http://kiosc.test/login/", url.Values{"username": {"admin"}, "password": {password}})
	require.Equal(t, http.StatusFound, answer.StatusCode, body)
	answer, body = b.send("GET", "http://kiosc.test/kioscadmin/overview/tasks", nil)
	require.Equal(t, http.StatusOK, answer.StatusCode, body)
	require.Contains(t, body, "0 of 0 Docker hosts")
	require.Contains(t, body, " on "+l.cfg.Name)
}

func TestASettingForATaskThatThereIsNotIsRefused(t *testing.T) {
	t.Parallel()
	cfg := config(t, "m1")
	cfg.Bootstrap = true
	cfg.Schedules = map[string]string{"unheard-of": "1m"}
	_, err := manager.New(t.Context(), cfg)
	require.ErrorContains(t, err, `no task "unheard-of"`)
}

// TestTheTimelineTellsOnceOfARemovedOrphan has the leader die between its word to remove a Docker container and the deed.
func TestTheTimelineTellsOnceOfARemovedOrphan(t *testing.T) {
	all := three(t)
	l, others := leader(all)
	var keeps atomic.Bool
	keeps.Store(true)
	h := &simhost.Host{Name: "d1", Keeps: keeps.Load}
	h.Have(wire.Observed{Container: "c-of-yore", Generation: 3, DockerID: "0123456789abcdef", State: "running"})
	token, err := pki.ParseJoinToken(l.joinToken("agent", false))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		h.Run(ctx, l.cfg.ClusterListen, token, func() { close(ready) })
	}()
	t.Cleanup(func() { cancel(); <-ended })
	<-ready
	key := l.token()
	told := func(n *node) []struct{ Description string } {
		var page struct {
			Results []struct{ Description string } `json:"results"`
		}
		n.api(key, http.MethodGet, "/timeline/api/list/site?event_name=orphan_removed", nil, &page)
		return page.Results
	}
	before := l.status().Index
	l.wait("the orphan is noted", func(s service.ClusterStatus) bool { return s.Index > before || h.TakeInventory() != nil })
	require.Empty(t, told(l), "it isn't removed yet")
	was := l.id()
	require.NoError(t, l.end())
	others[0].wait("another leads", func(s service.ClusterStatus) bool { return s.Leader != "" && s.Leader != was })
	next, _ := leader(others)
	require.Empty(t, told(next))
	keeps.Store(false)
	require.Eventually(t, func() bool { h.TakeInventory(); return len(told(next)) > 0 }, soon, 50*time.Millisecond)
	next.run("orphans")
	events := told(next)
	require.Len(t, events, 1)
	require.Equal(t, "remove the Docker container {docker} of container {container}, which did not belong on the Docker host {node}", events[0].Description)
}
