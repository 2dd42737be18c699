package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

type template struct {
	UUID     string  `json:"sodar_uuid"`
	Title    string  `json:"title"`
	Project  *string `json:"project"`
	Source   *string `json:"containertemplatesite"`
	Modified string  `json:"date_modified"`
}

func (s *site) template(user, at, body string) (t template) {
	s.T.Helper()
	got := s.as(user).send("POST", "/containertemplates/api/"+at, body)
	require.Equal(s.T, 201, got.status, got.body)
	require.NoError(s.T, json.Unmarshal([]byte(got.body), &t))
	return t
}

// otherProject makes a project that only root has access to.
func (s *site) otherProject() string {
	p := state.Project{ID: uuid.NewString(), Title: "Secret", Type: state.TypeProject}
	s.Do(&state.ProjectCreated{Owner: s.Users["root"], Project: p})
	return p.ID
}

func TestTemplatesAreCopied(t *testing.T) {
	s := newSite(t)
	shiny := s.template("root", "site/create", `{"title":"Shiny"}`)
	require.Nil(t, shiny.Project)
	require.Equal(t, "Shiny (Duplicate)", s.template("root", "duplicate/"+shiny.UUID, "").Title)
	require.Equal(t, "Shiny (Duplicate 2)", s.template("root", "duplicate/"+shiny.UUID, "").Title)
	mine := s.template("contributor", "project/copy/"+s.Project, `{"source":"`+strings.ToUpper(shiny.UUID)+`"}`)
	require.Equal(t, "Shiny (Copy)", mine.Title)
	require.Equal(t, s.Project, *mine.Project)
	require.Equal(t, shiny.UUID, *mine.Source)
	var list []template
	s.as("guest").get("/containertemplates/api/project/"+s.Project, &list)
	require.Equal(t, []template{mine}, list)
	s.as("guest").get("/containertemplates/api/site", &list)
	require.Len(t, list, 3)

	require.Equal(t, 204, s.as("root").send("DELETE", "/containertemplates/api/delete/"+shiny.UUID, "").status)
	require.Equal(t, 404, s.as("root").send("GET", "/containertemplates/api/detail/"+shiny.UUID, "").status)
	require.Equal(t, 200, s.as("guest").send("GET", "/containertemplates/api/detail/"+mine.UUID, "").status)
}

func TestTemplatesOfOtherProjectsDoNotLeak(t *testing.T) {
	s := newSite(t)
	secret := s.template("root", "project/create/"+s.otherProject(), `{"title":"Hidden","environment":{"A":"hidden value"}}`)
	contributor := s.as("contributor")
	for _, call := range []struct{ method, path, body string }{
		{"GET", "/containertemplates/api/detail/" + secret.UUID, ""},
		{"PATCH", "/containertemplates/api/update/" + secret.UUID, `{}`},
		{"DELETE", "/containertemplates/api/delete/" + secret.UUID, ""},
		{"POST", "/containertemplates/api/duplicate/" + secret.UUID, ""},
		{"POST", "/containertemplates/api/project/copy/" + s.Project, `{"source":"` + secret.UUID + `"}`},
		{"GET", "/containertemplates/api/project/" + *secret.Project, ""},
		{"POST", "/containertemplates/api/project/create/" + *secret.Project, `{"title":"x"}`},
		{"POST", "/containers/api/create/" + s.Project, `{"title":"x","repository":"nginx","containertemplateproject":"` + secret.UUID + `"}`},
	} {
		got := contributor.send(call.method, call.path, call.body)
		require.Equal(t, 404, got.status, call.path)
		require.NotContains(t, strings.ToLower(got.body), "hidden")
	}
	// Root's container of that template shows the link to root alone.
	made := s.as("root").send("POST", "/containers/api/create/"+s.Project, `{"title":"x","repository":"nginx","containertemplateproject":"`+secret.UUID+`"}`)
	require.Equal(t, 201, made.status)
	require.Contains(t, made.body, `"containertemplateproject":"`+secret.UUID)
	require.NotContains(t, contributor.send("GET", "/containers/api/"+s.Project, "").body, secret.UUID)
}

func TestWhoMayChangeTemplates(t *testing.T) {
	s := newSite(t)
	site := s.template("root", "site/create", `{"title":"Site"}`)
	mine := s.template("contributor", "project/create/"+s.Project, `{"title":"Mine","repository":"nginx"}`)
	for _, row := range []struct {
		user, method, path, body string
		status                   int
	}{
		{"owner", "POST", "site/create", `{"title":"x"}`, 403},
		{"owner", "PATCH", "update/" + site.UUID, `{}`, 403},
		{"owner", "DELETE", "delete/" + site.UUID, ``, 403},
		{"owner", "POST", "duplicate/" + site.UUID, ``, 403},
		{"outsider", "GET", "detail/" + site.UUID, ``, 200},
		{"outsider", "GET", "detail/" + mine.UUID, ``, 404},
		{"guest", "PATCH", "update/" + mine.UUID, `{}`, 403},
		{"guest", "DELETE", "delete/" + mine.UUID, ``, 403},
		{"guest", "POST", "project/create/" + s.Project, `{"title":"x"}`, 403},
		{"guest", "POST", "project/copy/" + s.Project, `{"source":"` + site.UUID + `"}`, 403},
		{"contributor", "PATCH", "update/" + mine.UUID, `{"tag":"2"}`, 200},
		{"contributor", "PATCH", "update/" + mine.UUID, `{"tag":"3","date_modified":"2020-01-01T00:00:00.000000Z"}`, 409},
		{"contributor", "PATCH", "update/" + mine.UUID, `{"title":""}`, 400},
		{"contributor", "PUT", "update/" + mine.UUID, `{}`, 400},
		{"contributor", "POST", "project/create/" + s.Project, `{"title":"Mine"}`, 400},
		{"contributor", "GET", "none/" + mine.UUID, ``, 404},
		{"root", "PATCH", "update/" + site.UUID, `{"repository":"x"}`, 200},
	} {
		got := s.as(row.user).send(row.method, "/containertemplates/api/"+row.path, row.body)
		require.Equal(t, row.status, got.status, "%s %s %s: %s", row.user, row.method, row.path, got.body)
	}
	require.Equal(t, 401, s.with().send("GET", "/containertemplates/api/site", "").status)
}

func TestTemplatesKeepNoSecrets(t *testing.T) {
	s := newSite(t)
	made := s.template("contributor", "project/create/"+s.Project,
		`{"title":"Mine","repository":"nginx","environment":{"K":"s3cret","A":1},"environment_secret_keys":"K"}`)
	got := s.as("contributor").send("GET", "/containertemplates/api/detail/"+made.UUID, "").body
	require.Contains(t, got, `"environment":{"A":1,"K":"<masked>"}`)
	require.NotContains(t, got, "s3cret")
	refused := s.as("contributor").send("PATCH", "/containertemplates/api/update/"+made.UUID, `{"environment_secret_keys":null}`)
	require.Equal(t, 400, refused.status)
	require.Contains(t, refused.body, "is hidden")
}

func TestRegistries(t *testing.T) {
	s := newSite(t)
	path := "/containers/api/registries/" + s.Project
	login := `{"host":"https://Registry.example.org:5000/","user":"robot","password":"s3cret"}`
	for user, status := range map[string]int{"contributor": 403, "guest": 403, "outsider": 404} {
		require.Equal(t, status, s.as(user).send("POST", path, login).status, user)
		require.Equal(t, status, s.as(user).send("GET", path, "").status, user)
		require.Equal(t, status, s.as(user).send("DELETE", path+"/registry.example.org:5000", "").status, user)
	}
	got := s.as("owner").send("POST", path, login)
	require.Equal(t, 200, got.status, got.body)
	require.Contains(t, got.body, `"host":"registry.example.org:5000","user":"robot"`)
	require.NotContains(t, got.body, "s3cret")
	require.NotContains(t, s.as("owner").send("GET", path, "").body, "s3cret")
	s.View(func(tx *state.Tx) error {
		r, ok, err := tx.Registry(s.Project, "registry.example.org:5000")
		require.True(t, ok)
		require.NotContains(t, string(r.Sealed), "s3cret")
		return err
	})
	for body, answer := range map[string]string{
		`{"host":"a b","user":"u","password":"p"}`:     `{"host":["Write the registry as images name it, such as registry.example.org or registry.example.org:5000, or docker.io."]}`,
		`{"host":"docker.io","user":"","password":""}`: `{"user":["This field may not be blank."],"password":["This field may not be blank."]}`,
		`{"host":"docker.io"}`:                         `{"user":["This field is required."],"password":["This field is required."]}`,
	} {
		got := s.as("owner").send("POST", path, body)
		require.Equal(t, 400, got.status, body)
		require.JSONEq(t, answer, got.body, body)
	}
	require.Equal(t, 404, s.as("owner").send("DELETE", path+"/docker.io", "").status)
	require.Equal(t, 204, s.as("owner").send("DELETE", path+"/registry.example.org:5000", "").status)
	require.JSONEq(t, `[]`, s.as("owner").send("GET", path, "").body)
}
