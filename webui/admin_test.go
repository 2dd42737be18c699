package webui_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/manager/service"
)

// fakeTasks are two tasks, one of which has failed.
type fakeTasks struct{ ran []string }

func (f *fakeTasks) Tasks(context.Context) ([]service.TaskStatus, error) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return []service.TaskStatus{
		{Name: "check", About: "Compares <all>.", Schedule: "30s", Next: &at,
			Last: &service.TaskRun{At: at, Duration: 15 * time.Millisecond, Summary: "3 of 3 Docker hosts", Manager: "m2"}},
		{Name: "sync", Schedule: "off", Last: &service.TaskRun{At: at, Error: "The other site does not answer.", User: "ana"}},
	}, nil
}

func (f *fakeTasks) RunNow(_ context.Context, name, user string) (service.TaskStatus, error) {
	f.ran = append(f.ran, name+" for "+user)
	return service.TaskStatus{Name: name, Last: &service.TaskRun{Summary: "4 of 4 Docker hosts"}}, nil
}

func TestAdministratorsSeeAndRunTasks(t *testing.T) {
	s := newSite(t)
	got := s.get("admin", "/kioscadmin/overview/tasks")
	require.Equal(t, http.StatusOK, got.status)
	for _, text := range []string{"3 of 3 Docker hosts", "Compares &lt;all&gt;.", "2026-01-02 03:04:05", "15ms", "on m2", "The other site does not answer.", ", for ana"} {
		require.Contains(t, got.body, text)
	}
	require.Contains(t, s.get("admin", "/").body, "/kioscadmin/overview")

	require.Equal(t, http.StatusForbidden, s.send("admin", http.MethodPost, "/kioscadmin/task/check", nil).status, "no token")
	got = s.post("admin", "/kioscadmin/task/check")
	require.Equal(t, http.StatusFound, got.status)
	require.Equal(t, []string{"check for admin"}, s.tasks.ran)
}

func TestTheAdminPageIsForAdministratorsOnly(t *testing.T) {
	s := newSite(t)
	for _, user := range []string{"owner", "guest", "outsider"} {
		require.NotContains(t, s.get(user, "/").body, "/kioscadmin")
		require.Equal(t, http.StatusForbidden, s.get(user, "/kioscadmin/overview/tasks").status)
		require.Equal(t, http.StatusForbidden, s.post(user, "/kioscadmin/task/check").status)
	}
	require.Equal(t, http.StatusFound, s.get("", "/kioscadmin/overview/tasks").status)
	require.Empty(t, s.tasks.ran)
}

func TestAdministratorsSetQuotas(t *testing.T) {
	s := newSite(t)
	address := "/kioscadmin/quota/" + s.project
	require.Equal(t, http.StatusForbidden, s.get("owner", address).status)
	require.Equal(t, http.StatusForbidden, s.post("owner", address, "running", "9").status)
	require.Contains(t, s.get("admin", address).body, "Quota of Mice")
	got := s.post("admin", address, "running", "many", "memory", "8 GiB")
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.body, "Enter a whole number, or none.")
	require.Contains(t, got.body, `value="8 GiB"`)
	require.Equal(t, http.StatusFound, s.post("admin", address, "running", "2", "memory", "8 GiB").status)

	page := s.get("guest", "/containers/"+s.project).body
	require.Contains(t, page, "0 of 2")
	require.Contains(t, page, "0B of 8GiB")
	require.NotContains(t, page, "<dt>Small files", "only what has a quota is shown")
	require.Contains(t, s.get("admin", "/kioscadmin/overview/quotas").body, "0 of 2")
	require.Equal(t, http.StatusFound, s.post("admin", address, "memory", "8 GiB").status, "an empty field ends a quota")
	require.NotContains(t, s.get("guest", "/containers/"+s.project).body, "0 of 2")

	require.Equal(t, http.StatusFound, s.post("admin", "/kioscadmin/quota/site", "running", "0").status)
	c := s.container("App")
	require.Equal(t, http.StatusFound, s.post("owner", "/containers/start/"+c).status)
	stored, _ := s.read(c)
	require.False(t, stored.Pending())
	require.Equal(t, http.StatusNotFound, s.get("admin", "/kioscadmin/quota/nonsense").status)
}
