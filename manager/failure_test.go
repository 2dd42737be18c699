package manager_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/wire"
	"kiosc/deploy/testbed/simhost"
	"kiosc/manager"
	"kiosc/manager/service"
)

// proxyLines are what a container's log has of its proxy, without dates, from a level on.
func (n *node) proxyLines(token, id, level string) (lines []string) {
	n.Helper()
	var page struct{ Lines []string }
	n.api(token, http.MethodGet, "/containers/api/logs/"+id+"?last=100&source=proxy&level="+level, nil, &page)
	for _, line := range page.Lines {
		lines = append(lines, line[len("[2006-01-02 15:04:05 "):])
	}
	return lines
}

const unreachable = "ERROR admin] (Proxy) Access to the app failed: its Docker host d1 can't be reached."

// TestALogTellsWhoGotNoAnswer has a Docker host that takes orders and no visitors.
func TestALogTellsWhoGotNoAnswer(t *testing.T) {
	t.Parallel()
	n := bootstrapped(t)
	token := n.token()
	n.host(&simhost.Host{Name: "d1", Ordered: func(*wire.Order) {}})
	id := n.started(token)
	path := "/containers/proxy/" + id + "/"
	require.NoError(t, n.admin("user-add", service.UserInput{Name: "ben", Password: new(password)}, &service.UserView{}))
	var bens manager.Printed
	require.NoError(t, n.admin("token", manager.TokenRequest{User: "ben", Name: "test"}, &bens))

	before := n.status().Index
	for range 50 {
		require.Equal(t, http.StatusBadGateway, n.try(token, http.MethodGet, path))
	}
	for range 3 {
		require.Equal(t, http.StatusNotFound, n.try(bens.Value, http.MethodGet, path))
		require.Equal(t, http.StatusUnauthorized, n.try("kiosc_wrong", http.MethodGet, path))
	}
	require.Eventually(t, func() bool { return len(n.proxyLines(token, id, "error")) > 0 }, soon, 50*time.Millisecond)
	require.Equal(t, []string{unreachable}, n.proxyLines(token, id, "error"), "one for all, and none of who may not open it")
	require.Less(t, n.status().Index-before, uint64(50), "the Raft log isn't flooded")
	all := n.proxyLines(token, id, "debug")
	require.Len(t, all, 2)
	require.Equal(t, unreachable, all[0])
	require.True(t, strings.HasPrefix(all[1], "DEBUG admin] (Proxy) the container's node can't be reached: waiting for the Docker host"), all[1])

	b := newBrowser(t, n)
	answer, body := b.send("POST", site+"/login/", map[string][]string{"username": {"admin"}, "password": {password}})
	require.Equal(t, http.StatusFound, answer.StatusCode, body)
	answer, body = b.send("GET", site+"/containers/detail/"+id, nil)
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Contains(t, body, "ERROR admin] (Proxy) Access to the app failed")

	n.api(token, http.MethodPost, "/containers/api/stop/"+id, nil, &struct{}{})
	require.Eventually(t, func() bool { return n.try(token, http.MethodGet, path) == http.StatusServiceUnavailable }, soon, 20*time.Millisecond)
}

// TestFailedAccessesWaitForALeader has visitors of a manager that has lost the others.
func TestFailedAccessesWaitForALeader(t *testing.T) {
	all := three(t)
	l, others := leader(all)
	survivor := others[0]
	token := survivor.token()
	survivor.lasting(&simhost.Host{Name: "d1", Ordered: func(*wire.Order) {}})
	id := survivor.started(token)
	for _, n := range []*node{l, others[1]} {
		require.NoError(t, n.end())
	}
	survivor.wait("it has no leader", func(s service.ClusterStatus) bool { return !s.Quorum })
	for range 3 {
		began := time.Now()
		require.Equal(t, http.StatusBadGateway, survivor.try(token, http.MethodGet, "/containers/proxy/"+id+"/"))
		require.Less(t, time.Since(began), 5*time.Second, "nobody waits for a leader")
	}
	require.Empty(t, survivor.proxyLines(token, id, "info"))
	start(t, l.cfg)
	require.Eventually(t, func() bool { return slices.Equal([]string{unreachable}, survivor.proxyLines(token, id, "info")) }, soon, 100*time.Millisecond,
		"once there is one again")
}
