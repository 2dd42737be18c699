package api_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/manager/service"
)

// told is what the tests read of the timeline.
type told struct {
	Before  *uint64
	Results []struct {
		Name    string `json:"event_name"`
		User    *string
		Via     *string
		Project *string
		Extra   map[string]string `json:"extra_data"`
		Status  []struct {
			Type string `json:"status_type"`
		} `json:"status_changes"`
		Objects []struct {
			Name string
		} `json:"event_objects"`
		UUID string `json:"sodar_uuid"`
	}
}

func (t told) names() (names []string) {
	for _, e := range t.Results {
		names = append(names, e.Name)
	}
	return names
}

func TestTheTimelineTellsWhoDidWhat(t *testing.T) {
	s := newSite(t)
	c := s.Container("One")
	require.Equal(t, 200, s.as("contributor").send("POST", "/containers/api/start/"+c, "").status)
	require.Equal(t, 409, s.as("contributor").send("POST", "/containers/api/start/"+c, "").status)
	s.as("owner").do(201, "POST", "/project/api/roles/create/"+s.Project, fmt.Sprintf(`{"role":"project guest","user":%q}`, s.Users["outsider"]), nil)
	s.as("owner").do(201, "POST", "/project/api/invites/create/"+s.Project, `{"email":"x@example.org","role":"project guest"}`, nil)

	var events told
	s.as("owner").get("/timeline/api/list/"+s.Project, &events)
	require.Equal(t, []string{"invite_create", "role_update", "container_task"}, events.names(), "what was refused has not happened")
	require.Equal(t, "x@example.org", events.Results[0].Extra["email"])
	start := events.Results[2]
	require.Equal(t, "contributor", *start.User)
	require.Equal(t, "[API]", *start.Via)
	require.Equal(t, "SUBMIT", start.Status[0].Type)
	require.Equal(t, "One", start.Objects[0].Name)

	s.as("guest").get("/timeline/api/list/"+s.Project, &events)
	require.Equal(t, []string{"role_update", "container_task"}, events.names(), "invites are classified")
	s.as("guest").get("/timeline/api/list/"+s.Project+"?limit=1", &events)
	require.Equal(t, []string{"role_update"}, events.names())
	s.as("guest").get(fmt.Sprintf("/timeline/api/list/%s?limit=1&before=%d", s.Project, *events.Before), &events)
	require.Equal(t, []string{"container_task"}, events.names())
	s.as("guest").get("/timeline/api/list/"+s.Project+"?user=owner", &events)
	require.Equal(t, []string{"role_update"}, events.names())
	s.as("guest").get("/timeline/api/list/"+s.Project+"?object="+c, &events)
	require.Equal(t, []string{"container_task"}, events.names())
	require.Equal(t, 400, s.as("guest").send("GET", "/timeline/api/list/"+s.Project+"?limit=0", "").status)

	require.Equal(t, 200, s.as("guest").send("GET", "/timeline/api/retrieve/"+start.UUID, "").status)
	s.as("owner").get("/timeline/api/list/"+s.Project+"?event_name=invite_create", &events)
	require.Equal(t, 404, s.as("guest").send("GET", "/timeline/api/retrieve/"+events.Results[0].UUID, "").status)
	fresh := newPerson(s, "newcomer")
	require.Equal(t, 404, fresh.send("GET", "/timeline/api/list/"+s.Project, "").status)
	require.Equal(t, 404, fresh.send("GET", "/timeline/api/retrieve/"+start.UUID, "").status)
	require.Equal(t, 403, s.as("owner").send("GET", "/timeline/api/list/site", "").status)
	_, err := s.Service.CreateToken(t.Context(), actor(s, "owner"), service.TokenInput{Name: "test"})
	require.NoError(t, err)
	s.as("root").get("/timeline/api/list/site", &events)
	require.Contains(t, events.names(), "token_create", "also what is of no project")
}
