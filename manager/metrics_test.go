package manager_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/wire"
	"kiosc/deploy/testbed/simhost"
	"kiosc/manager/service"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	cfg := config(t, "m1")
	cfg.Bootstrap, cfg.MetricsListen = true, "127.0.0.1:0"
	n := start(t, cfg)
	n.wait("it leads", func(s service.ClusterStatus) bool { return s.Quorum })
	n.host(&simhost.Host{Name: "d1", Ordered: func(*wire.Order) {}})
	token := n.token()
	id := n.started(token)
	require.Equal(t, http.StatusBadGateway, n.try(token, http.MethodGet, "/containers/proxy/"+id+"/"), "the simulated host has no apps")
	_, err := http.Post("http://"+n.m.Addr()+"/login/", "application/x-www-form-urlencoded", bytes.NewReader([]byte("username=admin&password=wrong")))
	require.NoError(t, err)

	get := func() string {
		answer, err := http.Get("http://" + n.m.MetricsAddr() + "/metrics")
		require.NoError(t, err)
		defer answer.Body.Close()
		require.Equal(t, http.StatusOK, answer.StatusCode)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return string(body)
	}
	require.Eventually(t, func() bool { return strings.Contains(get(), `kiosc_containers{state="running"} 1`) }, soon, 200*time.Millisecond)
	all := get()
	for _, line := range []string{`kiosc_build_info{version="test"} 1`, `kiosc_raft_leading 1`, `kiosc_agent_sessions 1`,
		`kiosc_nodes{availability="active",health="ready"} 1`, `kiosc_actions_pending 0`, `kiosc_login_attempts_total{result="wrong"} 1`,
		`kiosc_proxy_requests_total{class="5xx"} 1`, `kiosc_proxy_streams 0`, `kiosc_raft_proposal_seconds_count{result="applied"}`,
		"kiosc_log_lines_stored_total 0", "go_goroutines ", "process_open_fds "} {
		require.Contains(t, all, "\n"+line)
	}
	require.NotContains(t, all, id, "nothing is told of single containers")
	require.NotEqual(t, http.StatusOK, n.try(token, http.MethodGet, "/metrics"), "not on the web port")
	answer, err := http.Post("http://"+n.m.MetricsAddr()+"/metrics", "", nil)
	require.NoError(t, err)
	answer.Body.Close()
	require.Equal(t, http.StatusMethodNotAllowed, answer.StatusCode)
}
