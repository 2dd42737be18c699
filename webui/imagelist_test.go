package webui_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

func TestAdministratorsSayWhichImagesAreAllowed(t *testing.T) {
	s := newSite(t)
	const page, address = "/kioscadmin/overview/images", "/kioscadmin/image-allow-list"
	for _, user := range []string{"owner", "guest", "outsider"} {
		require.Equal(t, http.StatusForbidden, s.get(user, page).status)
		require.Equal(t, http.StatusForbidden, s.post(user, address, "patterns", "nginx").status)
	}
	c := s.Container("App")
	s.Report(c, state.Running)
	require.Contains(t, s.get("root", page).body, "All images are allowed.")
	got := s.post("root", address, "patterns", "rocker/*\r\nno image")
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.body, "&#34;no image&#34; is not an image name")
	require.Contains(t, got.body, "rocker/*\nno image</textarea>", "what was entered stays")

	require.Equal(t, http.StatusFound, s.post("root", address, "patterns", " rocker/* \r\n\r\nregistry.example.org/**\r\n").status)
	body := s.get("root", page).body
	require.Contains(t, body, "rocker/*\nregistry.example.org/**</textarea>")
	require.Contains(t, body, "Not allowed any more")
	require.Contains(t, body, `href="/containers/detail/`+c)
	detail := s.get("owner", "/containers/detail/"+c).body
	require.Contains(t, detail, "is not allowed on this site any more")
	require.Contains(t, detail, `data-action="restart" hidden`)

	// A form that is filled from a template says so at once, and so does the attempt, also to an administrator.
	refusal := "is not allowed on this site. Choose another one"
	good, bad := s.template("", "Good", `{"K":1}`), s.template("", "Bad", `{"K":1}`)
	require.NotContains(t, s.get("owner", "/containers/create/"+s.Project+"?template="+good).body, refusal)
	require.NotContains(t, s.get("owner", "/containers/create/"+s.Project).body, refusal)
	require.Equal(t, http.StatusFound, s.post("root", address, "patterns", "nginx:0").status)
	require.Contains(t, s.get("owner", "/containers/create/"+s.Project+"?template="+bad).body, refusal)
	got = s.post("root", "/containers/create/"+s.Project, "title", "New", "repository", "rocker/shiny", "tag", "4", "container_port", "80",
		"timeout", "60", "max_retries", "1", "inactivity_threshold", "7", "environment", "{}", "pull_policy", "missing")
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.body, "The image docker.io/rocker/shiny:4 "+refusal)

	require.Equal(t, http.StatusFound, s.post("root", address, "patterns", "").status)
	require.NotContains(t, s.get("owner", "/containers/detail/"+c).body, "is not allowed")
}
