package api_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

func TestActionsOnASelection(t *testing.T) {
	s := newSite(t)
	made := func(title string) string {
		got := s.as("owner").send("POST", "/containers/api/create/"+s.Project, `{"title": "`+title+`", "repository": "nginx", "tag": "1"}`)
		require.Equal(t, 201, got.status, got.body)
		return field(t, got.body, "sodar_uuid")
	}
	one, two := made("One"), made("Two")
	s.Do(&state.ActionRequested{Container: two, Action: state.Start, User: "owner"})
	s.Report(two, state.Running)
	body := `{"action": "start", "containers": ["` + one + `", "` + two + `", "0b4cb5d2-6f0e-4d4f-9d6e-0f0a3c1b7a55"]}`
	got := s.as("contributor").send("POST", "/containers/api/bulk", body)
	require.Equal(t, 200, got.status, got.body)
	var out struct {
		Results []struct {
			UUID      string  `json:"sodar_uuid"`
			Title     *string `json:"title"`
			Submitted bool    `json:"submitted"`
			Detail    *string `json:"detail"`
		} `json:"results"`
	}
	require.NoError(t, json.Unmarshal([]byte(got.body), &out))
	require.Len(t, out.Results, 3)
	require.True(t, out.Results[0].Submitted)
	require.Equal(t, "One", *out.Results[0].Title)
	require.Equal(t, "Action start not allowed in state running", *out.Results[1].Detail)
	require.Nil(t, out.Results[2].Title)
	require.Contains(t, *out.Results[2].Detail, "no such container")

	require.NotContains(t, s.as("outsider").send("POST", "/containers/api/bulk", body).body, "One")
	require.Contains(t, s.as("guest").send("POST", "/containers/api/bulk", body).body, `"submitted":false`)
	for _, bad := range []string{`{}`, `{"action": "start", "containers": []}`, `{"action": "fly", "containers": ["` + one + `"]}`, `{"action": "start", "containers": ["x"]}`} {
		require.Equal(t, 400, s.as("owner").send("POST", "/containers/api/bulk", bad).status, bad)
	}
	require.Equal(t, 200, s.as("owner").send("POST", "/containers/api/restart/"+two, "").status)
	require.Equal(t, 405, s.as("owner").send("GET", "/containers/api/restart/"+two, "").status)
}
