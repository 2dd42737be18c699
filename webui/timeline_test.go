package webui_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

func TestTheTimelineOnItsPage(t *testing.T) {
	s := newSite(t)
	address := "/timeline/" + s.Project
	require.Contains(t, s.get("guest", address).body, "No events to show.")
	c := s.Container("One <1>")
	require.Equal(t, http.StatusFound, s.post("contributor", "/containers/start/"+c).status)
	s.Report(c, state.Failed)
	got := s.get("guest", address)
	require.Equal(t, http.StatusOK, got.status)
	require.Contains(t, got.body, `start container <a href="/containers/detail/`+c+`">One &lt;1&gt;</a> has failed`)
	require.Contains(t, got.body, "SUBMIT")
	require.Contains(t, s.get("guest", address+"?status=FAILED").body, "has failed")
	require.NotContains(t, s.get("guest", address+"?user=owner").body, "has failed")
	for range 15 {
		require.Equal(t, http.StatusFound, s.post("owner", "/project/update/"+s.Project, "title", "Mice").status)
	}
	first := s.get("guest", address).body
	require.NotContains(t, first, "has failed")
	require.Contains(t, first, `?user=&amp;event_name=&amp;status=&amp;before=`)
	require.Equal(t, http.StatusNotFound, s.get("outsider", address).status)
	require.Equal(t, http.StatusForbidden, s.get("owner", "/timeline/site").status)
	require.Contains(t, s.get("root", "/timeline/site").body, "project_update")
}

func TestLoginsAreTold(t *testing.T) {
	s := newSite(t)
	require.Equal(t, http.StatusUnauthorized, s.post("", "/login/", "username", "owner", "password", "wrong word").status)
	require.Equal(t, http.StatusUnauthorized, s.post("", "/login/", "username", "owner", "password", "wrong word").status)
	require.Equal(t, http.StatusFound, s.post("", "/login/", "username", "owner", "password", password).status)
	require.Equal(t, http.StatusFound, s.post("owner", "/logout/").status)
	var names []string
	require.NoError(t, s.Store().View(func(tx *state.Tx) error {
		return tx.EventsFrom(0, func(e *state.Event) bool {
			names = append(names, e.Name+" "+string(e.Status))
			return true
		})
	}))
	require.Equal(t, []string{"login_failed FAILED", "login OK", "logout OK"}, names, "one event for many wrong passwords")
}
