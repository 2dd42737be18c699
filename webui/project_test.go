package webui_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

// made is the id behind the address that an answer leads to.
func (a answer) made(t *testing.T) string {
	t.Helper()
	require.Equal(t, http.StatusFound, a.status, a.body)
	where := a.header.Get("Location")
	return where[strings.LastIndex(where, "/")+1:]
}

func TestAProjectFromBeginningToEnd(t *testing.T) {
	s := newSite(t)
	require.Equal(t, http.StatusForbidden, s.get("owner", "/project/create").status)
	require.NotContains(t, s.get("owner", "/").body, "/project/create")
	category := s.post("root", "/project/create", "type", "CATEGORY", "title", "Lab").made(t)
	got := s.post("root", "/project/create/"+category, "type", "PROJECT", "title", "Lab")
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.body, "The title can&#39;t be that of the category.")
	project := s.post("root", "/project/create/"+category, "type", "PROJECT", "title", "Rats", "description", "All about <b>",
		"readme", "# Rats\n<script>alert(1)</script>\n[x](javascript:alert(1)) **bold**").made(t)

	page := s.get("root", "/project/"+project).body
	require.Contains(t, page, "<h1>Rats</h1>")
	require.Contains(t, page, "<strong>bold</strong>")
	require.NotContains(t, page, "<script>alert")
	require.NotContains(t, page, "javascript:alert")
	require.Contains(t, page, "All about &lt;b&gt;")
	require.Equal(t, http.StatusNotFound, s.get("outsider", "/project/"+project).status)

	require.Equal(t, http.StatusFound, s.post("root", "/project/members/create/"+project, "user", s.Users["outsider"], "role", string(state.Delegate)).status)
	home := s.get("outsider", "/").body
	require.Contains(t, home, "/project/"+category, "the category leads there")
	require.Contains(t, home, "/containers/"+project)
	require.Equal(t, http.StatusOK, s.get("outsider", "/project/"+category).status)
	require.Equal(t, http.StatusForbidden, s.post("outsider", "/project/update/"+category, "title", "Mine").status)

	got = s.post("outsider", "/project/update/"+project, "title", "Mice and rats", "public_access", string(state.Guest), "parent", category)
	require.Equal(t, http.StatusFound, got.status, got.body)
	require.Contains(t, s.get("guest", "/").body, "Mice and rats", "open to everybody")
	require.Contains(t, s.get("guest", "/project/"+project).body, "open to everybody as project guest")
	require.Equal(t, http.StatusFound, s.post("outsider", "/project/archive/"+project, "archive", "true").status)
	require.NotContains(t, s.get("outsider", "/containers/"+project).body, "/containers/create/", "archived")
	require.Equal(t, http.StatusFound, s.post("outsider", "/project/archive/"+project, "archive", "false").status)
	require.Contains(t, s.get("outsider", "/containers/"+project).body, "/containers/create/")

	require.Contains(t, s.get("root", "/project/delete/"+category).body, "Mice and rats")
	require.NotContains(t, s.get("root", "/project/delete/"+category).body, "Type the title")
	require.Equal(t, http.StatusForbidden, s.get("guest", "/project/delete/"+project).status)
	require.Equal(t, http.StatusBadRequest, s.post("outsider", "/project/delete/"+project, "title", "Rats").status)
	require.Equal(t, http.StatusFound, s.post("outsider", "/project/delete/"+project, "title", "Mice and rats").status)
	require.Equal(t, http.StatusNotFound, s.get("outsider", "/project/"+project).status)
}

func TestMembersOnTheirPage(t *testing.T) {
	s := newSite(t)
	address := "/project/members/" + s.Project
	guest := s.get("guest", address).body
	require.Contains(t, guest, "contributor")
	require.NotContains(t, guest, "/project/members/update/")
	require.NotContains(t, guest, "Add a member")
	require.Equal(t, http.StatusNotFound, s.get("outsider", address).status)
	require.Equal(t, http.StatusForbidden, s.post("contributor", "/project/members/create/"+s.Project, "user", s.Users["outsider"], "role", string(state.Guest)).status)

	owner := s.get("owner", address).body
	require.Contains(t, owner, "Add a member")
	require.NotContains(t, owner, "Leave", "the owner hands over first")
	got := s.post("owner", "/project/members/update/"+s.Project, "user", s.Users["owner"], "role", string(state.Guest))
	require.Equal(t, http.StatusConflict, got.status)
	require.Contains(t, got.body, "Hand over the ownership instead")
	require.Equal(t, http.StatusFound, s.post("owner", "/project/members/update/"+s.Project, "user", s.Users["guest"], "role", string(state.Contributor)).status)
	require.Equal(t, http.StatusFound, s.post("owner", "/project/members/delete/"+s.Project, "user", s.Users["contributor"]).status)
	require.Equal(t, http.StatusNotFound, s.get("contributor", address).status)

	require.Equal(t, http.StatusForbidden, s.get("guest", "/project/members/transfer/"+s.Project).status)
	require.Equal(t, http.StatusBadRequest, s.post("owner", "/project/members/transfer/"+s.Project, "new_owner", "").status)
	require.Equal(t, http.StatusFound, s.post("owner", "/project/members/transfer/"+s.Project, "new_owner", s.Users["guest"], "old_owner_role", string(state.Guest)).status)
	require.Contains(t, s.get("guest", address).body, "Hand over the ownership")
	require.Contains(t, s.get("owner", address).body, "/project/members/leave/")
	require.Equal(t, http.StatusFound, s.post("owner", "/project/members/leave/"+s.Project).status)
	require.Equal(t, http.StatusNotFound, s.get("owner", address).status)
}

var inviteLink = regexp.MustCompile(`http://[^<]*(/project/invites/accept/[^<]+)<`)

func TestInvitesByLink(t *testing.T) {
	s := newSite(t)
	require.Equal(t, http.StatusForbidden, s.get("contributor", "/project/invites/create/"+s.Project).status)
	got := s.post("owner", "/project/invites/create/"+s.Project, "email", "x@example.org", "role", string(state.Contributor))
	require.Equal(t, http.StatusOK, got.status, got.body)
	link := inviteLink.FindStringSubmatch(got.body)[1]
	members := s.get("owner", "/project/members/"+s.Project).body
	require.Contains(t, members, "x@example.org")
	require.NotContains(t, members, link, "the link is shown once")

	page := s.get("", link).body
	require.Contains(t, page, "Mice")
	require.Contains(t, page, "/login/?next="+strings.ReplaceAll(link, "/", "%2f"))
	require.Contains(t, s.get("outsider", link).body, "Accept as outsider")
	require.Equal(t, http.StatusForbidden, s.send("outsider", http.MethodPost, link, nil).status, "no token")
	require.Equal(t, http.StatusFound, s.post("outsider", link).status)
	require.Equal(t, http.StatusOK, s.get("outsider", "/containers/"+s.Project).status)
	require.Equal(t, http.StatusNotFound, s.post("guest", link).status, "it works once")
	require.Equal(t, http.StatusNotFound, s.get("", link).status)
}

func TestAdministratorsManageUsers(t *testing.T) {
	s := newSite(t)
	for _, address := range []string{"/kioscadmin/overview/users", "/kioscadmin/users/create", "/kioscadmin/users/update/" + s.Users["guest"]} {
		require.Equal(t, http.StatusForbidden, s.get("owner", address).status, address)
	}
	require.Equal(t, http.StatusForbidden, s.post("owner", "/kioscadmin/users/update/"+s.Users["owner"], "is_superuser", "true", "is_active", "true").status)
	got := s.post("root", "/kioscadmin/users/create", "username", "new one", "is_active", "true")
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.body, "A user name has 1 to 150 letters")
	got = s.post("root", "/kioscadmin/users/create", "username", "new", "name", "New One", "is_active", "true")
	require.Equal(t, http.StatusOK, got.status, got.body)
	password := regexp.MustCompile(`user-select-all fs-5">([^<]+)<`).FindStringSubmatch(got.body)[1]
	require.Equal(t, http.StatusFound, s.post("", "/login/", "username", "new", "password", password).status)
	require.Contains(t, s.get("root", "/kioscadmin/overview/users").body, "New One")

	require.Equal(t, http.StatusFound, s.post("root", "/kioscadmin/users/update/"+s.Users["guest"], "name", "Gone").status)
	require.Equal(t, http.StatusFound, s.get("guest", "/").status, "deactivated: to the login")
	require.Equal(t, http.StatusConflict, s.post("root", "/kioscadmin/users/update/"+s.Users["root"], "is_active", "true").status, "the last superuser")
	got = s.post("root", "/kioscadmin/users/password/"+s.Users["contributor"])
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, http.StatusFound, s.get("contributor", "/").status, "logins end")
}
