package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/manager/service"
)

// describedAPI is the description as a client gets it, checked to be OpenAPI 3.1.
func describedAPI(t *testing.T, s *site) *openapi3.T {
	got := s.as("guest").send("GET", "/api/openapi.json", "")
	require.Equal(t, 200, got.status, got.body)
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
	doc, err := openapi3.NewLoader().LoadFromData([]byte(got.body))
	require.NoError(t, err)
	require.Equal(t, "3.1.0", doc.OpenAPI)
	require.NoError(t, doc.Validate(context.Background()))
	return doc
}

func TestEveryRouteIsDescribed(t *testing.T) {
	s := newSite(t)
	require.Empty(t, s.api.Undescribed())
	doc := describedAPI(t, s)
	require.Equal(t, 401, s.with().send("GET", "/api/openapi.json", "").status)
	operations := 0
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			operations++
			require.NotEmpty(t, op.Summary, "%s %s", method, path)
			require.NotEqual(t, []string{"Others"}, op.Tags, path)
			require.Equal(t, strings.Count(path, "{"), len(op.Parameters)-countQueries(op), "%s %s", method, path)
		}
	}
	require.Greater(t, operations, 60)
	t.Logf("%d operations are described", operations)
}

func countQueries(op *openapi3.Operation) (n int) {
	for _, p := range op.Parameters {
		if p.Value.In == "query" {
			n++
		}
	}
	return n
}

// TestAnswersAreAsDescribed compares answers with the schemas of the description.
func TestAnswersAreAsDescribed(t *testing.T) {
	s := newSite(t)
	doc := describedAPI(t, s)
	c := s.Running("App")
	spec := s.Service.NewSpec()
	spec.Title = "T"
	template, err := s.Service.CreateTemplate(context.Background(), actor(s, "owner"), s.Project, spec)
	require.NoError(t, err)
	_, err = s.Service.AddFolder(context.Background(), actor(s, "owner"), s.Project, service.FileInput{Name: "data"})
	require.NoError(t, err)
	for _, row := range []struct{ method, described, path, body string }{
		{"GET", "/containers/api/{project}", s.Project, ""},
		{"GET", "/containers/api/detail/{container}", c, ""},
		{"GET", "/containers/api/detail/{container}", uuid.NewString(), ""},
		{"GET", "/containers/api/logs/{container}", c, ""},
		{"GET", "/containers/api/logs/{container}", c + "?last=x", ""},
		{"GET", "/containers/api/quota/{project}", s.Project, ""},
		{"POST", "/containers/api/create/{project}", s.Project, `{"title":"New","repository":"nginx","environment":{"A":[1]},"volumes":{"a":"/a"}}`},
		{"POST", "/containers/api/create/{project}", s.Project, `{"title":""}`},
		{"PATCH", "/containers/api/update/{container}", c, `{"gpus":"all"}`},
		{"POST", "/containers/api/stop/{container}", c, ""},
		{"POST", "/containers/api/bulk", "", `{"action":"start","containers":["` + c + `"]}`},
		{"POST", "/containers/api/registries/{project}", s.Project, `{"host":"registry.example.org","user":"u","password":"p"}`},
		{"GET", "/containers/api/registries/{project}", s.Project, ""},
		{"GET", "/containertemplates/api/project/{project}", s.Project, ""},
		{"GET", "/containertemplates/api/detail/{template}", template.ID, ""},
		{"GET", "/project/api/list", "", ""},
		{"GET", "/project/api/list", "?page=1", ""},
		{"GET", "/project/api/retrieve/{project}", s.Project, ""},
		{"PATCH", "/project/api/update/{project}", s.Project, `{"readme":"Hello"}`},
		{"GET", "/project/api/users/list", "", ""},
		{"GET", "/project/api/users/current", "", ""},
		{"POST", "/project/api/invites/create/{project}", s.Project, `{"email":"a@example.org","role":"project guest"}`},
		{"GET", "/project/api/invites/list/{project}", s.Project, ""},
		{"POST", "/project/api/roles/create/{project}", s.Project, `{"role":"project guest","user":"` + s.Users["outsider"] + `"}`},
		{"GET", "/files/api/folder/list-create/{project}", s.Project, ""},
		{"GET", "/files/api/file/list-create/{project}", s.Project, ""},
		{"GET", "/timeline/api/list/{project}", s.Project, ""},
	} {
		at := row.described
		if i := strings.Index(at, "{"); i >= 0 {
			at = at[:i]
		}
		got := s.as("owner").send(row.method, at+row.path, row.body)
		op := doc.Paths.Value(row.described).GetOperation(row.method)
		require.NotNil(t, op, "%s %s", row.method, row.described)
		answer := op.Responses.Value(fmt.Sprint(got.status))
		require.NotNil(t, answer, "%s %s answers %d: %s", row.method, row.described, got.status, got.body)
		var value any
		require.NoError(t, json.Unmarshal([]byte(got.body), &value), got.body)
		schema := answer.Value.Content.Get("application/json").Schema.Value
		require.NoError(t, schema.VisitJSON(value, openapi3.EnableJSONSchema2020()), "%s %s: %s", row.method, row.described, got.body)
		require.Error(t, schema.VisitJSON(map[string]any{"detail": 1, "sodar_uuid": 2}, openapi3.EnableJSONSchema2020()), "the schema says something")
	}
}
