package manager_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
	"kiosc/deploy/testbed/simhost"
)

// TestTheLimitsOfLogsAreASetting starts and stops a container until its log is longer than it may be, with limits that
// come with a restart of the manager.
func TestTheLimitsOfLogsAreASetting(t *testing.T) {
	t.Parallel()
	cfg := config(t, "m1")
	cfg.Bootstrap = true
	first := start(t, cfg)
	require.NoError(t, first.end())
	cfg.LogLimits = state.LogLimits{Lines: 100, Bytes: 1 << 20}
	n := start(t, cfg)
	require.Eventually(t, func() bool { return n.try("", http.MethodGet, "/readyz") == http.StatusOK }, soon, 10*time.Millisecond)
	token := n.token()
	n.host(&simhost.Host{Name: "d1", Ordered: func(*wire.Order) {}})
	id := n.started(token)
	var log struct{ Next uint64 }
	for log.Next < 150 {
		for _, action := range []string{"stop", "start"} {
			require.Eventually(t, func() bool {
				status := n.try(token, http.MethodPost, "/containers/api/"+action+"/"+id)
				return status == http.StatusOK
			}, soon, 10*time.Millisecond)
		}
		n.api(token, http.MethodGet, "/containers/api/logs/"+id+"?last=0", nil, &log)
	}
	var kept struct{ Lines []string }
	n.api(token, http.MethodGet, "/containers/api/logs/"+id+"?last=1000", nil, &kept)
	require.Len(t, kept.Lines, 100)
}
