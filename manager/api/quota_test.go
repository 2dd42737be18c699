package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQuotas(t *testing.T) {
	s := newSite(t)
	address := "/containers/api/quota/" + s.Project
	const none = `{"project":"PROJECT","running":{"used":0,"limit":null},"cpus":{"used":0,"limit":null},"memory":{"used":0,"limit":null},"files":{"used":0,"limit":null}}`
	got := s.as("guest").send("GET", address, "")
	require.Equal(t, 200, got.status)
	require.JSONEq(t, strings.ReplaceAll(none, "PROJECT", s.Project), got.body)
	require.Equal(t, 404, s.as("outsider").send("GET", address, "").status)

	for _, user := range []string{"owner", "guest"} {
		require.Equal(t, 403, s.as(user).send("PATCH", address, `{"running": 3}`).status)
		require.Equal(t, 403, s.as(user).send("GET", "/containers/api/quota/site", "").status)
	}
	got = s.as("root").send("PATCH", address, `{"running": 3, "cpus": 2.5, "memory": 1024}`)
	require.Equal(t, 200, got.status, got.body)
	require.Contains(t, got.body, `"running":{"used":0,"limit":3},"cpus":{"used":0,"limit":2.5},"memory":{"used":0,"limit":1024}`)
	got = s.as("root").send("PATCH", address, `{"running": null}`)
	require.Contains(t, got.body, `"running":{"used":0,"limit":null},"cpus":{"used":0,"limit":2.5}`, "what isn't named stays")
	for _, body := range []string{`{"running": -1}`, `{"running": 1.5}`, `{"cpus": "many"}`, `{"files": 1e30}`} {
		require.Equal(t, 400, s.as("root").send("PATCH", address, body).status, body)
	}
	require.Equal(t, 404, s.as("root").send("PATCH", "/containers/api/quota/0b4cb5d2-6f0e-4d4f-9d6e-0f0a3c1b7a55", `{"running": 1}`).status)
	require.Equal(t, 200, s.as("root").send("PATCH", "/containers/api/quota/site", `{"running": 0}`).status)
	require.Equal(t, 200, s.as("root").send("PATCH", address, `{"memory": null}`).status)
	got = s.as("owner").send("POST", "/containers/api/create/"+s.Project, `{"title": "App", "repository": "nginx", "tag": "1", "cpu_limit": 1, "memory_limit": 104857600}`)
	require.Equal(t, 201, got.status, got.body)
	got = s.as("owner").send("POST", "/containers/api/start/"+field(t, got.body, "sodar_uuid"), "")
	require.Equal(t, 409, got.status)
	require.Contains(t, got.body, "The quota of this site is used up: 0 of 0 containers run or start.")
}

func field(t *testing.T, body, name string) string {
	var object map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &object))
	return object[name].(string)
}
