package manager_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
	cfg := config(t, "m1")
	cfg.Bootstrap = true
	cfg.Schedules = map[string]string{"unheard-of": "1m"}
	_, err := manager.New(t.Context(), cfg)
	require.ErrorContains(t, err, `no task "unheard-of"`)
}
