package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/manager/service"
)

func TestTheImageAllowListBindsEverybody(t *testing.T) {
	s := newSite(t)
	const address = "/containers/api/image-allow-list"
	create := func(user, repository string) (status int, body string) {
		got := s.as(user).send("POST", "/containers/api/create/"+s.Project, `{"title":"`+repository+`","repository":"`+repository+`","tag":"1","container_port":80}`)
		return got.status, got.body
	}
	status, body := create("contributor", "nginx")
	require.Equal(t, 201, status, body)
	require.Equal(t, 403, s.as("owner").send("GET", address, "").status)
	require.Equal(t, 403, s.as("owner").send("PUT", address, `{"patterns":[]}`).status)
	require.JSONEq(t, `{"patterns":[],"not_allowed":[]}`, s.as("root").send("GET", address, "").body)
	for _, bad := range []string{`{}`, `{"patterns":null}`, `{"patterns":"nginx"}`, `{"patterns":["a b"]}`} {
		got := s.as("root").send("PUT", address, bad)
		require.Equal(t, 400, got.status, bad)
		require.Contains(t, got.body, `"patterns":[`, bad)
	}
	got := s.as("root").send("PUT", address, `{"patterns":["rocker/*","registry.example.org/**"]}`)
	require.Equal(t, 200, got.status, got.body)

	var list service.ImageAllowList
	s.as("root").get(address, &list)
	require.Equal(t, []string{"rocker/*", "registry.example.org/**"}, list.Patterns)
	require.Len(t, list.NotAllowed, 1)
	require.Equal(t, service.NotAllowed{ID: list.NotAllowed[0].ID, Title: "nginx", Project: s.Project, ProjectTitle: list.NotAllowed[0].ProjectTitle,
		Image: "nginx:1", State: "initial"}, list.NotAllowed[0])
	for _, user := range []string{"contributor", "root"} {
		status, body = create(user, "alpine")
		require.Equal(t, 400, status)
		require.Contains(t, body, `{"repository":["The image docker.io/library/alpine:1 is not allowed on this site.`)
		got = s.as(user).send("POST", "/containers/api/start/"+list.NotAllowed[0].ID, "")
		require.Equal(t, 409, got.status, got.body)
		require.Contains(t, got.body, "not allowed on this site any more")
	}
	status, body = create("contributor", "rocker/shiny")
	require.Equal(t, 201, status, body)
	require.Contains(t, s.as("root").send("GET", "/timeline/api/list/site?event_name=image_allow_list_set", "").body, "rocker/* registry.example.org/**")
}
