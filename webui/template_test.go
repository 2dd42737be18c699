package webui_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

// site template and project template, made as the state has them.
func (s *site) template(project, title, environment string) string {
	t := state.Template{ID: uuid.NewString(), Project: project, Spec: state.Spec{Title: title, Repository: "rocker/shiny", Tag: "4", Port: 3838,
		Timeout: 60, InactivityDays: 7, Environment: []byte(environment), SecretKeys: []string{"K"}}}
	s.Do(&state.TemplateCreated{Template: t})
	return t.ID
}

func TestWhoSeesWhichTemplate(t *testing.T) {
	s := newSite(t)
	env := `{"A":1,"K":"<masked>"}`
	site, mine := s.template("", "Site one", env), s.template(s.Project, "Mine", env)
	for _, row := range []struct {
		method, path string
		want         [4]int // nobody, outsider, guest, contributor
	}{
		{"GET", "/containertemplates/site", [4]int{302, 200, 200, 200}},
		{"GET", "/containertemplates/site/detail/" + site, [4]int{302, 200, 200, 200}},
		{"GET", "/containertemplates/site/create", [4]int{302, 403, 403, 403}},
		{"POST", "/containertemplates/site/create", [4]int{302, 403, 403, 403}},
		{"GET", "/containertemplates/site/update/" + site, [4]int{302, 403, 403, 403}},
		{"POST", "/containertemplates/site/update/" + site, [4]int{302, 403, 403, 403}},
		{"GET", "/containertemplates/site/delete/" + site, [4]int{302, 403, 403, 403}},
		{"POST", "/containertemplates/site/delete/" + site, [4]int{302, 403, 403, 403}},
		{"GET", "/containertemplates/site/duplicate/" + site, [4]int{302, 405, 405, 405}},
		{"POST", "/containertemplates/site/duplicate/" + site, [4]int{302, 403, 403, 403}},
		{"GET", "/containertemplates/project/" + s.Project, [4]int{302, 404, 200, 200}},
		{"GET", "/containertemplates/project/detail/" + mine, [4]int{302, 404, 200, 200}},
		{"GET", "/containertemplates/project/create/" + s.Project, [4]int{302, 404, 403, 200}},
		{"POST", "/containertemplates/project/create/" + s.Project, [4]int{302, 404, 403, 400}},
		{"GET", "/containertemplates/project/update/" + mine, [4]int{302, 404, 403, 200}},
		{"GET", "/containertemplates/project/delete/" + mine, [4]int{302, 404, 403, 200}},
		{"POST", "/containertemplates/project/duplicate/" + mine, [4]int{302, 404, 403, 302}},
		{"GET", "/containertemplates/project/copy/" + s.Project, [4]int{302, 405, 405, 405}},
		{"POST", "/containertemplates/project/copy/" + s.Project, [4]int{302, 404, 403, 404}},
		{"GET", "/containers/registries/" + s.Project, [4]int{302, 404, 403, 403}},
		{"POST", "/containers/registries/" + s.Project, [4]int{302, 404, 403, 403}},
		{"GET", "/containers/registries/remove/" + s.Project, [4]int{302, 405, 405, 405}},
		{"POST", "/containers/registries/remove/" + s.Project, [4]int{302, 404, 403, 403}},
	} {
		for i, user := range []string{"", "outsider", "guest", "contributor"} {
			got := s.get(user, row.path)
			if row.method == "POST" {
				got = s.post(user, row.path)
			}
			require.Equal(t, row.want[i], got.status, "%s %s as %q", row.method, row.path, user)
		}
	}
	for _, page := range []string{"/containertemplates/project/" + s.Project, "/containertemplates/project/detail/" + mine} {
		body := s.get("guest", page).body
		for _, no := range []string{"/update/", "/delete/", "/duplicate/", "/create", "/copy/"} {
			require.NotContains(t, body, `="/containertemplates/project`+no, page)
		}
	}
	require.NotContains(t, s.get("outsider", "/containertemplates/site").body, "/site/create")
}

func TestTheLifeOfATemplate(t *testing.T) {
	s := newSite(t)
	form0 := s.get("contributor", "/containertemplates/project/create/"+s.Project).body
	made := s.post("contributor", "/containertemplates/project/create/"+s.Project,
		form(t, form0, "title", "<Open>", "environment", `{"K":"s3cret"}`, "environment_secret_keys", "K")...)
	require.Equal(t, 302, made.status, made.body)
	detail := made.header.Get("Location")
	page := s.get("contributor", detail)
	require.Contains(t, page.body, "&lt;Open&gt;")
	require.NotContains(t, page.body, "s3cret")

	update := strings.Replace(detail, "/detail/", "/update/", 1)
	first := s.get("contributor", update).body
	require.Equal(t, 302, s.post("contributor", update, form(t, first, "repository", "nginx", "tag", "1")...).status)
	require.Equal(t, 409, s.post("contributor", update, form(t, first, "tag", "2")...).status)
	require.Contains(t, s.get("contributor", detail).body, "nginx:1")

	double := s.post("contributor", strings.Replace(detail, "/detail/", "/duplicate/", 1))
	require.Equal(t, 302, double.status)
	flash := s.get("contributor", double.header.Get("Location"), "Cookie", double.header.Get("Set-Cookie")).body
	require.Contains(t, flash, "Successfully created container template &#39;&lt;Open&gt; (Duplicate)&#39; from &#39;&lt;Open&gt;&#39;")
	site := s.template("", "Site one", `{"K":"<masked>"}`)
	copied := s.post("contributor", "/containertemplates/project/copy/"+s.Project, "source", "site:"+site)
	require.Equal(t, 302, copied.status)
	require.Contains(t, s.get("contributor", copied.header.Get("Location")).body, `<a href="/containertemplates/site/detail/`+site)

	require.Equal(t, 302, s.post("contributor", strings.Replace(detail, "/detail/", "/delete/", 1)).status)
	require.Equal(t, 404, s.get("contributor", detail).status)
}

// TestGetFillsTheForm makes a container of a template, whose secret value its maker enters.
func TestGetFillsTheForm(t *testing.T) {
	s := newSite(t)
	secret := state.Project{ID: uuid.NewString(), Title: "Secret", Type: state.TypeProject}
	s.Do(&state.ProjectCreated{Owner: s.Users["owner"], Project: secret})
	hidden := s.template(secret.ID, "Hidden", `{"A":"hidden","K":"<masked>"}`)
	site := s.template("", "Site one", `{"A":1,"K":"<masked>"}`)
	create := "/containers/create/" + s.Project
	require.NotContains(t, s.get("contributor", create).body, "Hidden")
	require.Contains(t, s.get("owner", create).body, "[Project-wide] Secret / Hidden (rocker/shiny:4)")
	require.Equal(t, 404, s.get("contributor", create+"?template="+hidden).status)
	require.Equal(t, 404, s.post("contributor", create, "title", "x", "repository", "y", "template", hidden).status)

	filled := s.get("contributor", create+"?template="+site)
	require.Contains(t, filled.body, "[Site-wide] Site one (rocker/shiny:4)")
	refused := s.post("contributor", create, form(t, filled.body)...)
	require.Equal(t, 400, refused.status)
	require.Contains(t, refused.body, "Enter a value for the secret key")
	made := s.post("contributor", create, form(t, refused.body, "environment", `{"A":1,"K":"mine"}`)...)
	require.Equal(t, 302, made.status, made.body)
	detail := s.get("contributor", made.header.Get("Location")).body
	require.Contains(t, detail, `<a href="/containertemplates/site/detail/`+site+`">Site one</a>`)
	require.Contains(t, detail, "rocker/shiny:4")
	s.Do(&state.TemplateDeleted{ID: site})
	require.NotContains(t, s.get("contributor", made.header.Get("Location")).body, "/containertemplates/site/detail/")
}

func TestRegistryPasswordsAreNotShown(t *testing.T) {
	s := newSite(t)
	path := "/containers/registries/" + s.Project
	bad := s.post("owner", path, "host", "not a host", "user", "<u>", "password", "s3cret")
	require.Equal(t, 400, bad.status)
	require.Contains(t, bad.body, "Write the registry as images name it")
	require.NotContains(t, bad.body, "s3cret")
	good := s.post("owner", path, "host", "registry.example.org", "user", "robot", "password", "s3cret")
	require.Equal(t, 302, good.status, good.body)
	page := s.get("owner", path).body
	require.Contains(t, page, "robot")
	require.NotContains(t, page, "s3cret")
	require.Equal(t, 302, s.post("owner", "/containers/registries/remove/"+s.Project, "host", "registry.example.org").status)
	require.NotContains(t, s.get("owner", path).body, "robot")
}
