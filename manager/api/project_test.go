package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

// shown is what the tests read of a project.
type shown struct {
	Title, Type, Parent, Description string
	FullTitle                        string  `json:"full_title"`
	Public                           *string `json:"public_access"`
	Archive                          bool
	Children                         []string
	UUID                             string `json:"sodar_uuid"`
	Roles                            map[string]struct {
		Role, User string
		Inherited  bool
	}
}

// do sends a request that must have this status, and decodes the answer.
func (c caller) do(status int, method, path, body string, into any) {
	c.s.T.Helper()
	got := c.send(method, path, body)
	require.Equal(c.s.T, status, got.status, "%s %s: %s", method, path, got.body)
	if into != nil {
		require.NoError(c.s.T, json.Unmarshal([]byte(got.body), into), got.body)
	}
}

func TestProjects(t *testing.T) {
	s := newSite(t)
	var list []shown
	s.as("guest").get("/project/api/list", &list)
	require.Len(t, list, 1)
	require.Equal(t, "About <i>mice</i>", list[0].Description)
	require.Len(t, list[0].Roles, 3)
	require.Equal(t, "1.2.3", s.as("guest").send("GET", "/project/api/list", "").header.Get("X-Kiosc-Version"))
	require.JSONEq(t, `[]`, s.as("outsider").send("GET", "/project/api/list", "").body, "an empty list is no null")
	require.Equal(t, 404, s.as("outsider").send("GET", "/project/api/retrieve/"+s.Project, "").status)
	require.Equal(t, 403, s.as("owner").send("POST", "/project/api/create", `{"title":"Animals","type":"CATEGORY"}`).status)

	var category, inside shown
	s.as("root").do(201, "POST", "/project/api/create", `{"title":"Animals","type":"CATEGORY","description":"all","owner":"`+s.Users["owner"]+`"}`, &category)
	s.as("owner").do(201, "POST", "/project/api/create", `{"title":"Rats","type":"PROJECT","parent":"`+category.UUID+`"}`, &inside)
	require.Equal(t, "Animals / Rats", inside.FullTitle)
	require.Equal(t, 404, s.as("root").send("POST", "/containers/api/create/"+category.UUID, `{"title":"x","repository":"nginx"}`).status,
		"a category holds no containers")
	s.as("owner").do(201, "POST", "/project/api/roles/create/"+inside.UUID, `{"role":"project guest","user":"`+s.Users["outsider"]+`"}`, nil)
	list = nil
	s.as("outsider").get("/project/api/list", &list)
	require.Len(t, list, 2)
	require.Equal(t, shown{Title: "Animals", Type: "CATEGORY", FullTitle: "Animals", Children: []string{inside.UUID}, UUID: category.UUID,
		Roles: list[0].Roles}, list[0], "only the title of what leads there")
	require.Empty(t, list[0].Roles)
	var page struct {
		Count   int
		Results []shown
	}
	s.as("outsider").get("/project/api/list?page=1", &page)
	require.Equal(t, 2, page.Count)

	for body, want := range map[string]string{
		`{"title":"a / b","type":"PROJECT"}`: "title", `{"title":"Mice","type":"PROJECT"}`: "title", `{"title":"x","type":"FOLDER"}`: "type",
		`{"type":"PROJECT"}`: "title", `{"title":"x","type":"PROJECT","public_access":"project owner"}`: "public_access",
		`{"title":7,"type":"PROJECT"}`: "title", `{"title":"Animals","type":"PROJECT","parent":"` + category.UUID + `"}`: "title"} {
		got := s.as("root").send("POST", "/project/api/create", body)
		require.Equal(t, 400, got.status, body)
		require.Contains(t, got.body, `"`+want+`":`, body)
	}
	require.Equal(t, 404, s.as("root").send("POST", "/project/api/create", `{"title":"x","type":"PROJECT","parent":"`+uuid.NewString()+`"}`).status)

	path := "/project/api/update/" + inside.UUID
	s.as("owner").do(200, "PATCH", path, `{"description":"new","public_access":"project guest","archive":true}`, &inside)
	require.True(t, inside.Archive)
	require.Equal(t, "new", inside.Description)
	require.Equal(t, 403, s.as("owner").send("POST", "/containers/api/create/"+inside.UUID, `{"title":"x","repository":"nginx"}`).status, "archived")
	require.Equal(t, 400, s.as("owner").send("PUT", path, `{"description":"x"}`).status)
	require.Equal(t, 400, s.as("owner").send("PATCH", path, `{"type":"CATEGORY"}`).status)
	require.Equal(t, 403, s.as("outsider").send("PATCH", path, `{"description":"x"}`).status)
	require.Equal(t, 403, s.as("owner").send("PATCH", path, `{"parent":null}`).status, "the top is for superusers")
	require.Equal(t, 409, s.as("root").send("DELETE", "/project/api/destroy/"+category.UUID, "").status)
	require.Equal(t, 403, s.as("outsider").send("DELETE", "/project/api/destroy/"+inside.UUID, "").status)
	require.Equal(t, 204, s.as("owner").send("DELETE", "/project/api/destroy/"+inside.UUID, "").status)
	require.Equal(t, 404, s.as("owner").send("GET", "/project/api/retrieve/"+inside.UUID, "").status)

	s.Running("One")
	require.Equal(t, 202, s.as("owner").send("DELETE", "/project/api/destroy/"+s.Project, "").status, "its Docker host has to remove it")
}

func TestMembers(t *testing.T) {
	s := newSite(t)
	var made struct {
		UUID string `json:"sodar_uuid"`
		Role string
	}
	role := func(role, user string) string { return fmt.Sprintf(`{"role":%q,"user":%q}`, role, s.Users[user]) }
	s.as("owner").do(201, "POST", "/project/api/roles/create/"+s.Project, role("project delegate", "outsider"), &made)
	require.Equal(t, 400, s.as("owner").send("POST", "/project/api/roles/create/"+s.Project, role("project guest", "outsider")).status)
	require.Equal(t, 400, s.as("owner").send("POST", "/project/api/roles/create/"+s.Project, role("project owner", "root")).status)
	require.Equal(t, 400, s.as("owner").send("POST", "/project/api/roles/create/"+s.Project, `{"role":"project guest","user":"x"}`).status)
	require.Equal(t, 403, s.as("contributor").send("POST", "/project/api/roles/create/"+s.Project, role("project guest", "root")).status)

	var project shown
	s.as("outsider").get("/project/api/retrieve/"+s.Project, &project)
	require.Len(t, project.Roles, 4)
	of := make(map[string]string)
	for id, r := range project.Roles {
		of[r.User] = id
	}
	guest, contributor := "/project/api/roles/update/"+of[s.Users["guest"]], "/project/api/roles/destroy/"+of[s.Users["contributor"]]
	require.Equal(t, 403, s.as("outsider").send("PATCH", guest, `{"role":"project delegate"}`).status, "delegates don't choose delegates")
	s.as("outsider").do(200, "PATCH", guest, `{"role":"project contributor"}`, &made)
	require.Equal(t, "project contributor", made.Role)
	require.Equal(t, 403, s.as("guest").send("DELETE", contributor, "").status)
	require.Equal(t, 204, s.as("contributor").send("DELETE", contributor, "").status, "one may leave")
	require.Equal(t, 404, s.as("contributor").send("GET", "/project/api/retrieve/"+s.Project, "").status)
	require.Equal(t, 404, s.as("contributor").send("DELETE", contributor, "").status)
	require.Equal(t, 409, s.as("owner").send("DELETE", "/project/api/roles/destroy/"+of[s.Users["owner"]], "").status)

	transfer := "/project/api/roles/owner-transfer/" + s.Project
	require.Equal(t, 403, s.as("outsider").send("POST", transfer, `{"new_owner":"guest"}`).status)
	require.Equal(t, 400, s.as("owner").send("POST", transfer, `{"new_owner":"nobody"}`).status)
	s.as("owner").do(200, "POST", transfer, `{"new_owner":"guest","old_owner_role":"project contributor"}`, nil)
	s.as("guest").get("/project/api/retrieve/"+s.Project, &project)
	require.Equal(t, "project owner", project.Roles[of[s.Users["guest"]]].Role)
	require.Equal(t, "project contributor", project.Roles[of[s.Users["owner"]]].Role)
}

func TestInvites(t *testing.T) {
	s := newSite(t)
	var made struct {
		UUID       string `json:"sodar_uuid"`
		Link, Role string
	}
	create := "/project/api/invites/create/" + s.Project
	require.Equal(t, 403, s.as("contributor").send("POST", create, `{"email":"x@example.org","role":"project guest"}`).status)
	require.Equal(t, 400, s.as("owner").send("POST", create, `{"email":"","role":"project guest"}`).status)
	require.Equal(t, 400, s.as("owner").send("POST", create, `{"email":"x@example.org","role":"project owner"}`).status)
	s.as("owner").do(201, "POST", create, `{"email":"x@example.org","role":"project guest","message":"hello"}`, &made)
	secret := made.Link[strings.LastIndex(made.Link, "/")+1:]
	require.NotContains(t, s.as("owner").send("GET", "/project/api/invites/list/"+s.Project, "").body, secret)
	require.Equal(t, 404, s.as("guest").send("GET", "/project/api/invites/retrieve/"+made.UUID, "").status)
	s.as("owner").do(200, "POST", "/project/api/invites/resend/"+made.UUID, "", &made)
	_, err := s.Service.FindInvite(secret)
	require.Error(t, err, "the old link no longer counts")
	secret = made.Link[strings.LastIndex(made.Link, "/")+1:]
	view, err := s.Service.FindInvite(secret)
	require.NoError(t, err)
	require.Equal(t, "Mice", view.ProjectTitle)
	s.as("owner").do(200, "POST", "/project/api/invites/revoke/"+made.UUID, "", nil)
	require.JSONEq(t, `[]`, s.as("owner").send("GET", "/project/api/invites/list/"+s.Project, "").body)
	require.Equal(t, 404, s.as("owner").send("POST", "/project/api/invites/revoke/"+made.UUID, "").status)
}

func TestUsers(t *testing.T) {
	s := newSite(t)
	no := false
	s.Do(&state.UserChanged{ID: s.Users["guest"], Active: &no})
	var users []struct {
		Username string
		Auth     string `json:"auth_type"`
	}
	s.as("outsider").get("/project/api/users/list", &users)
	require.Len(t, users, len(s.Users)-1, "the inactive are left out")
	require.Equal(t, "LOCAL", users[0].Auth)
	var self struct {
		Username  string
		Superuser bool `json:"is_superuser"`
	}
	s.as("root").get("/project/api/users/current", &self)
	require.True(t, self.Superuser)
	s.as("outsider").get("/project/api/users/"+s.Users["owner"], &self)
	require.Equal(t, "owner", self.Username)
	require.Equal(t, 404, s.as("outsider").send("GET", "/project/api/users/"+s.Users["guest"], "").status)
	require.Equal(t, 401, s.with().send("GET", "/project/api/users/list", "").status)
}
