package webui_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/managertest"
)

// choose sends the form of a selection.
func (s *site) choose(user, action string, containers []string, more ...string) answer {
	form := url.Values{"csrf_token": {auth.CSRFToken(s.Sessions[user])}, "action": {action}, "container": containers, "back": {"/containers/" + s.Project}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return s.send(user, http.MethodPost, "/containers/bulk", form)
}

func TestActionsOnASelection(t *testing.T) {
	s := newSite(t)
	a, b, c := s.Container("One"), s.Container("Two"), s.Container("Three")
	s.Report(b, state.Running)
	page := s.get("contributor", "/containers/"+s.Project).body
	require.Contains(t, page, `name="container" value="`+a+`"`)
	require.NotContains(t, s.get("guest", "/containers/"+s.Project).body, `name="container"`, "a guest has nothing to do with them")

	got := s.choose("contributor", "start", []string{a, b, a})
	require.Equal(t, http.StatusFound, got.status)
	require.Equal(t, "/containers/"+s.Project, got.header.Get("Location"))
	one, _ := s.Read(a)
	require.True(t, one.Pending())
	require.EqualValues(t, 1, one.Generation, "one that is named twice is started once")
	message := s.flash("contributor", got)
	require.Contains(t, message, "Start of 1 container was submitted. 1 refused: Two: Action start not allowed in state running")

	for _, user := range []string{"guest", "outsider"} {
		s.choose(user, "stop", []string{b})
		two, _ := s.Read(b)
		require.False(t, two.Pending(), user)
	}
	require.NotContains(t, s.flash("outsider", s.choose("outsider", "stop", []string{b})), "Two")

	// Deleting is asked for twice.
	got = s.choose("contributor", "delete", []string{b, c})
	require.Equal(t, http.StatusOK, got.status)
	require.Contains(t, got.body, "these 2 containers")
	_, there := s.Read(c)
	require.True(t, there)
	require.Equal(t, http.StatusForbidden, s.choose("guest", "delete", []string{b}).status)
	require.Equal(t, http.StatusFound, s.choose("contributor", "delete", []string{b, c}, "sure", "yes").status)
	_, there = s.Read(c)
	require.False(t, there)

	require.Contains(t, s.flash("contributor", s.choose("contributor", "start", nil)), "Select at least one")
	require.Contains(t, s.flash("contributor", s.choose("contributor", "fly", []string{a})), "can be started")
	require.Equal(t, "/", s.choose("contributor", "start", []string{a}, "back", "https://evil.example/").header.Get("Location"))
	require.Equal(t, http.StatusForbidden, s.choose("contributor", "start", []string{a}, "csrf_token", "").status)
	require.Equal(t, http.StatusMethodNotAllowed, s.get("contributor", "/containers/bulk").status)
}

// flash is the message that an answer has left for the next page.
func (s *site) flash(user string, from answer) string {
	s.T.Helper()
	r := http.Response{Header: from.header}
	var cookies string
	for _, c := range r.Cookies() {
		cookies += c.Name + "=" + c.Value + "; "
	}
	return s.get(user, "/account/", "Cookie", cookies).body
}

func TestTheBell(t *testing.T) {
	s := newSite(t)
	c := s.Container("App")
	s.Report(c, state.Running)
	require.NotContains(t, s.get("guest", "/containers/detail/"+c).body, "Should be")
	s.Do(&state.ContainerReported{Container: c, Node: managertest.Host, DockerID: managertest.DockerID, State: state.Exited})
	for _, page := range []string{"/containers/detail/" + c, "/containers/" + s.Project} {
		require.Contains(t, s.get("guest", page).body, "Should be running")
	}
	live := s.get("guest", "/containers/ajax/get-dynamic-details/"+c).body
	require.Contains(t, live, `"state_bell":"Should be running"`)
	require.Contains(t, live, `"last_action":"start (0/5)"`)
}

func TestAnAppThatDoesntAnswer(t *testing.T) {
	s := newSite(t)
	c := s.Container("App")
	s.Report(c, state.Running)
	s.Do(&state.ContainerReported{Container: c, Node: managertest.Host, DockerID: managertest.DockerID, State: state.Running, IP: "172.30.0.2", Silent: true})
	for _, page := range []string{"/containers/detail/" + c, "/containers/" + s.Project} {
		body := s.get("guest", page).body
		require.Contains(t, body, "running (not answering)")
		require.Contains(t, body, `href="/containers/proxy/lobby/`+c+`"`, "the lobby waits for it")
	}
	lobby := s.get("guest", "/containers/proxy/lobby/"+c)
	require.Equal(t, http.StatusOK, lobby.status)
	require.Contains(t, lobby.body, "waiting for the app to answer")
	live := s.get("guest", "/containers/ajax/get-dynamic-details/"+c).body
	require.Contains(t, live, `"state":"running"`)
	require.Contains(t, live, `"answering":false`)
	s.Do(&state.ContainerReported{Container: c, Node: managertest.Host, DockerID: managertest.DockerID, State: state.Running, IP: "172.30.0.2"})
	require.Equal(t, http.StatusFound, s.get("guest", "/containers/proxy/lobby/"+c).status)
}
