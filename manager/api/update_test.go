package api_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

// made is what a client has of a container that it has made.
type made struct {
	UUID     string `json:"sodar_uuid"`
	Modified string `json:"date_modified"`
}

func (s *site) create(body string) (m made) {
	s.T.Helper()
	got := s.as("contributor").send("POST", "/containers/api/create/"+s.Project, body)
	require.Equal(s.T, 201, got.status, got.body)
	require.NoError(s.T, json.Unmarshal([]byte(got.body), &m))
	return m
}

func TestPatchChangesWhatItNames(t *testing.T) {
	s := newSite(t)
	m := s.create(`{"title":"App","repository":"nginx","tag":"1","command":"run","environment":{"K":"old","A":1},"environment_secret_keys":"K"}`)
	before, _ := s.Read(m.UUID)
	got := s.as("contributor").send("PATCH", "/containers/api/update/"+m.UUID, `{"tag":"2","pull_policy":"always","gpus":"all",
		"volumes":{"b":"/b","a":"/a"},"cpu_limit":1.5,"shared_memory":1048576,"max_lifetime":60,"read_only_root":true,"state":"failed"}`)
	require.Equal(t, 200, got.status, got.body)
	for _, text := range []string{`"tag":"2"`, `"command":"run"`, `"K":"<masked>"`, `"gpus":"all"`, `"volumes":{"a":"/a","b":"/b"}`,
		`"cpu_limit":1.5`, `"pull_policy":"always"`, `"state":"initial"`} {
		require.Contains(t, got.body, text)
	}
	after, _ := s.Read(m.UUID)
	require.Equal(t, before.Secrets, after.Secrets, "a value that reads <masked> is kept")
	require.Equal(t, []state.Volume{{Name: "a", Path: "/a"}, {Name: "b", Path: "/b"}}, after.Volumes)
	require.Equal(t, state.AllGPUs, after.GPUs)
	require.Contains(t, s.as("owner").send("GET", "/containers/api/logs/"+m.UUID, "").body, "Updated [API]")
}

func TestPutReplacesTheDefinition(t *testing.T) {
	s := newSite(t)
	m := s.create(`{"title":"App","repository":"nginx","tag":"1","command":"run","timeout":5,"gpus":2}`)
	missing := s.as("owner").send("PUT", "/containers/api/update/"+m.UUID, `{"title":"App"}`)
	require.Equal(t, 400, missing.status)
	require.JSONEq(t, `{"repository":["This field is required."]}`, missing.body)
	got := s.as("owner").send("PUT", "/containers/api/update/"+m.UUID, `{"title":"App","repository":"httpd"}`)
	require.Equal(t, 200, got.status, got.body)
	c, _ := s.Read(m.UUID)
	require.Equal(t, "httpd", c.Image())
	require.Equal(t, []any{"", 60, 0}, []any{c.Command, c.Timeout, c.GPUs})

	// What a client has read it can send back as it is.
	read := s.as("owner").send("GET", "/containers/api/detail/"+m.UUID, "")
	got = s.as("owner").send("PUT", "/containers/api/update/"+m.UUID, read.body)
	require.Equal(t, 200, got.status, got.body)
	got = s.as("owner").send("PUT", "/containers/api/update/"+m.UUID, read.body)
	require.Equal(t, 409, got.status, "it is of an older version now")
	require.Contains(t, got.body, "Somebody else has changed this container")
}

func TestUpdateRestartsARunningContainer(t *testing.T) {
	s := newSite(t)
	id := s.Running("App")
	require.Equal(t, 200, s.as("owner").send("PATCH", "/containers/api/update/"+id, `{"description":"new"}`).status)
	c, _ := s.Read(id)
	require.Equal(t, state.Restart, c.Action)
	require.True(t, c.Pending())
}

func TestMaskedValues(t *testing.T) {
	s := newSite(t)
	m := s.create(`{"title":"App","repository":"nginx","environment":{"K":"old","A":1},"environment_secret_keys":"K"}`)
	before, _ := s.Read(m.UUID)
	contributor, path := s.as("contributor"), "/containers/api/update/"+m.UUID
	for body, answer := range map[string]string{
		`{"environment_secret_keys":""}`:                                            `{"environment":["The value of \"K\" is hidden. Enter the value, or keep \"K\" among the secret keys."]}`,
		`{"environment":{"K":"<masked>","A":"<masked>"}}`:                           `{"environment":["The value of \"A\" is hidden. Enter the value, or keep \"A\" among the secret keys."]}`,
		`{"environment":{"N":"<masked>","K":"x"},"environment_secret_keys":"K,N"}`:  `{"environment":["Enter a value for the secret key \"N\"."]}`,
		`{"environment":{"K":"\u003cmasked\u003e"},"environment_secret_keys":null}`: `{"environment":["The value of \"K\" is hidden. Enter the value, or keep \"K\" among the secret keys."]}`,
		`{"environment":{"A":1}}`:                                                   `{"environment_secret_keys":["Secret key \"K\" is not in environment!"]}`,
		`{"inactivity_threshold":8}`:                                                `{"inactivity_threshold":["An app of this site may be unused for 7 days at most."]}`,
	} {
		got := contributor.send("PATCH", path, body)
		require.Equal(t, 400, got.status, body)
		require.JSONEq(t, answer, got.body, body)
	}
	after, _ := s.Read(m.UUID)
	require.Equal(t, before, after, "what is refused changes nothing")
	created := contributor.send("POST", "/containers/api/create/"+s.Project,
		`{"title":"B","repository":"nginx","environment":{"K":"<masked>"},"environment_secret_keys":"K"}`)
	require.Equal(t, 400, created.status)
	created = contributor.send("POST", "/containers/api/create/"+s.Project, `{"title":"B","repository":"nginx","environment":{"K":"<masked>"}}`)
	require.Equal(t, 400, created.status)

	require.Equal(t, 200, contributor.send("PATCH", path, `{"environment":{"K":"another"}}`).status)
	after, _ = s.Read(m.UUID)
	require.NotEqual(t, before.Secrets["K"], after.Secrets["K"])
	require.Equal(t, 200, contributor.send("PATCH", path, `{"environment":{"K":"shown"},"environment_secret_keys":null}`).status)
	after, _ = s.Read(m.UUID)
	require.Empty(t, after.Secrets)
	require.JSONEq(t, `{"K":"shown"}`, string(after.Environment))
}

func TestWhoMayUpdate(t *testing.T) {
	s := newSite(t)
	id := s.Container("App")
	for user, status := range map[string]int{"guest": 403, "outsider": 404, "contributor": 200, "root": 200} {
		require.Equal(t, status, s.as(user).send("PATCH", "/containers/api/update/"+id, `{}`).status, user)
	}
	require.Equal(t, 405, s.as("owner").send("POST", "/containers/api/update/"+id, `{}`).status)
}
