package upstream_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/upstream"
)

var admin = options.DefaultAdmin

func TestASiteTakesOverWhatAnotherHas(t *testing.T) {
	t.Parallel()
	source, target := newSite(t), newSite(t)
	source.do(
		&state.UserCreated{User: state.User{ID: id("mona"), Name: "mona@ACME", FullName: "Mona Lee", FirstName: "Mona", LastName: "Lee", Email: "m@acme.example",
			AuthType: state.AuthLDAP, Active: true, Groups: []string{"cn=lab,dc=acme"}}},
		&state.UserCreated{User: state.User{ID: id("olga"), Name: "olga", FullName: "Olga", AuthType: state.AuthOIDC, Active: false}},
		&state.UserCreated{User: state.User{ID: id("local"), Name: "local", PasswordHash: "$argon2id$secret", Active: true}},
		&state.UserCreated{User: state.User{ID: id("stranger"), Name: "stranger@ACME", AuthType: state.AuthLDAP, Active: true}},
		&state.ProjectCreated{Project: state.Project{ID: id("lab"), Title: "Lab", Type: state.TypeCategory}, Owner: id("mona"), Assignment: id("a1")},
		&state.ProjectCreated{Project: state.Project{ID: id("mice"), Title: "Mice", Type: state.TypeProject, Parent: id("lab"), Description: "d", Readme: "# r",
			PublicAccess: state.Guest}, Owner: id("mona"), Assignment: id("a2")},
		&state.ProjectCreated{Project: state.Project{ID: id("empty"), Title: "Empty", Type: state.TypeCategory}, Owner: id("mona")},
		&state.RoleAssigned{ID: id("a3"), Project: id("mice"), User: id("local"), Role: state.Guest},
	)
	url := source.serve()
	summary := target.mustSync(url, options)
	require.Equal(t, "users: 1 created, 0 changed, 0 unchanged; projects: 2 created, 0 changed, 0 unchanged; "+
		"roles: 0 created, 0 changed, 0 removed, 2 unchanged; 2 skipped", summary)

	mona, ok := target.user("mona@ACME")
	require.True(t, ok)
	require.Equal(t, state.User{ID: id("mona"), Name: "mona@ACME", FullName: "Mona Lee", FirstName: "Mona", LastName: "Lee", Email: "m@acme.example",
		AuthType: state.AuthLDAP, Active: true, Upstream: true, UpstreamGroups: []string{"acme"}, CreatedAt: mona.CreatedAt}, mona)
	_, ok = target.user("local")
	require.False(t, ok, "users with a password of the other site's own are never made")
	_, ok = target.user("stranger@ACME")
	require.False(t, ok, "who is in no project is nobody's business")

	mice, ok := target.project("Lab / Mice")
	require.True(t, ok)
	require.True(t, mice.Upstream)
	require.Equal(t, id("mice"), mice.ID)
	require.Equal(t, state.Guest, mice.PublicAccess)
	_, ok = target.project("Empty")
	require.False(t, ok)
	target.node.View(func(tx *state.Tx) error {
		r, _, err := tx.AssignmentByID(id("a2"))
		require.Equal(t, state.RoleAssignment{ID: id("a2"), Project: id("mice"), User: id("mona"), Role: state.Owner}, r)
		return err
	})
	require.Equal(t, 2, target.result().Skipped)
	require.Empty(t, target.result().Error)

	// The other way round, a site that has taken everything over gives the same on.
	source.do(&state.RoleRemoved{Project: id("mice"), User: id("local")})
	target.mustSync(url, options)
	third := newSite(t)
	third.mustSync(target.serve(), options)
	require.Equal(t, target.tree(), third.tree())
}

func TestNothingSecretIsGivenAway(t *testing.T) {
	t.Parallel()
	source := newSite(t)
	source.do(
		&state.UserCreated{User: state.User{ID: id("ana"), Name: "ana", PasswordHash: "$argon2id$secret", Groups: []string{"cn=inner"}, Active: true}},
		&state.TokenCreated{Token: state.Token{ID: "t", Hash: []byte("token-hash"), User: id("ana"), Name: "token-name"}},
		&state.ProjectCreated{Project: state.Project{ID: id("p"), Title: "Given", Type: state.TypeProject}, Owner: id("ana")},
		&state.ProjectCreated{Project: state.Project{ID: id("q"), Title: "Hidden", Type: state.TypeProject}, Owner: id("admin")},
		&state.RemoteSiteSet{Site: state.RemoteSite{ID: "s", Name: "S", URL: "https://s.example.org", Hash: []byte("site-hash")}},
		&state.RemoteSiteSet{Site: state.RemoteSite{ID: "o", Name: "Other", URL: "https://o.example.org", Hash: []byte("other-hash"), All: true}},
		&state.RemoteProjectsGiven{Site: "s", Projects: []state.RemoteProject{{Project: id("p"), Level: state.LevelReadRoles}}})
	encode := func(version string) string {
		var raw []byte
		source.node.View(func(tx *state.Tx) error {
			site, _, err := tx.RemoteSite("s")
			require.NoError(t, err)
			raw, err = upstream.Encode(tx, site, upstream.Wants{Version: version})
			return err
		})
		for _, inner := range []string{"argon2id", "token", "hash", "Hidden", "cn=inner", "public", id("admin")} {
			require.NotContains(t, string(raw), inner)
		}
		return string(raw)
	}
	assignment := ""
	source.node.View(func(tx *state.Tx) error {
		r, _, err := tx.OwnerOf(id("p"))
		assignment = r.ID
		return err
	})
	require.JSONEq(t, `{"users":{"`+id("ana")+`":{"username":"ana","name":"","first_name":"","last_name":"","email":"","additional_emails":[],
		"groups":["system"],"sodar_uuid":"`+id("ana")+`","is_active":true}},
		"projects":{"`+id("p")+`":{"title":"Given","type":"PROJECT","level":"READ_ROLES","parent_uuid":null,"description":"","readme":"","remote_sites":["o"],
		"roles":{"`+assignment+`":{"user":"ana","role":"project owner"}}}},
		"peer_sites":{"o":{"name":"Other","url":"https://o.example.org","description":"","user_display":true}},"app_settings":{}}`, encode("2.1"))
	require.NotContains(t, encode("2.0"), "is_active")
	source.do(&state.RemoteProjectsGiven{Site: "s", Projects: []state.RemoteProject{{Project: id("p"), Level: state.LevelRevoked}}})
	require.JSONEq(t, `{"users":{},"projects":{"`+id("p")+`":{"title":"Given","type":"PROJECT","level":"REVOKED","parent_uuid":null,"description":"",
		"readme":"","remote_sites":[]}},"peer_sites":{},"app_settings":{}}`, encode("2.1"))
}

func TestUsers(t *testing.T) {
	t.Parallel()
	a := usual()
	url := a.serve(t)
	s := newSite(t)
	s.do(&state.UserCreated{User: state.User{ID: "own", Name: "otto@ACME", PasswordHash: "hash", Active: true}},
		&state.UserCreated{User: state.User{ID: "boss", Name: "olga", PasswordHash: "hash", Superuser: true, Active: true}},
		&state.SessionOpened{Session: state.Session{Hash: []byte("s"), User: "own", ExpiresAt: time.Now().Add(time.Hour)}})
	s.mustSync(url, options)
	otto, _ := s.user("otto@ACME")
	require.Equal(t, "own", otto.ID, "who is known by name keeps the id, to which tokens and roles refer")
	require.Equal(t, state.AuthLDAP, otto.Auth())
	require.Empty(t, otto.PasswordHash, "the password of before doesn't count any more")
	s.node.View(func(tx *state.Tx) error {
		_, ok, err := tx.Session([]byte("s"))
		require.False(t, ok)
		return err
	})
	boss, _ := s.user("olga")
	require.Equal(t, "hash", boss.PasswordHash, "nobody takes the place of a superuser")
	require.Equal(t, state.AuthLocal, boss.Auth())
	require.Equal(t, map[string]state.Role{"mona@ACME": state.Owner, "otto@ACME": state.Contributor, "olga": state.Guest}, s.roles("Lab / Mice"))
	_, ok := s.user("root")
	require.False(t, ok)

	t.Log("inactive and active again")
	for _, name := range []string{"mona@ACME", "olga"} {
		a.users[id(name)].(m)["is_active"] = false
	}
	s.mustSync(url, options)
	mona, _ := s.user("mona@ACME")
	require.False(t, mona.Active)
	boss, _ = s.user("olga")
	require.True(t, boss.Active, "superusers are never deactivated")
	delete(a.users[id("mona@ACME")].(m), "is_active")
	s.mustSync(url, options)
	mona, _ = s.user("mona@ACME")
	require.False(t, mona.Active, "older answers don't tell")
	a.users[id("mona@ACME")].(m)["is_active"] = true
	s.mustSync(url, options)
	mona, _ = s.user("mona@ACME")
	require.True(t, mona.Active)
	s.do(&state.UserChanged{ID: mona.ID, Active: new(bool)})
	s.mustSync(url, options)
	mona, _ = s.user("mona@ACME")
	require.False(t, mona.Active, "who was deactivated here stays so")

	t.Log("a new name")
	a.users[id("mona@ACME")].(m)["username"] = "monika@ACME"
	a.projects[id("Mice")].(m)["roles"] = m{id("r"): m{"user": "monika@ACME", "role": "project owner"}}
	setRoles(a.projects[id("Lab/")].(m), id("Lab/"), "monika@ACME=owner")
	s.mustSync(url, options)
	monika, _ := s.user("monika@ACME")
	require.Equal(t, mona.ID, monika.ID)
	_, ok = s.user("mona@ACME")
	require.False(t, ok)
	require.Equal(t, map[string]state.Role{"monika@ACME": state.Owner}, s.roles("Lab / Mice"))

	t.Log("who is no longer listed stays")
	delete(a.users, id("otto@ACME"))
	s.mustSync(url, options)
	_, ok = s.user("otto@ACME")
	require.True(t, ok)

	t.Log("what can't be a user")
	a.user("-bad name", "acme")
	a.user("long@ACME", "acme")["email"] = strings.Repeat("x", 255)
	u := a.user("taken@ACME", "acme")
	delete(a.users, id("taken@ACME"))
	u["sodar_uuid"] = id("admin")
	a.users[id("admin")] = u
	s.mustSync(url, options)
	require.Len(t, s.result().Skips, 4)
	require.Equal(t, "Another user here, admin, has the same UUID.", s.result().Skips[len(s.result().Skips)-1].Reason)
	_, ok = s.user("long@ACME")
	require.False(t, ok)
}

func TestLocalUsers(t *testing.T) {
	t.Parallel()
	a := newAnswer()
	a.user("root", "system")
	a.user("lola")
	a.user("mona@ACME", "acme")
	a.project("Own", "", "root=owner", "lola=guest", "mona@ACME=delegate")
	url := a.serve(t)
	s := newSite(t)
	s.do(&state.UserCreated{User: state.User{ID: "r", Name: "root", PasswordHash: "hash", FullName: "Here", Active: true}})
	s.mustSync(url, options)
	require.Equal(t, map[string]state.Role{admin: state.Owner, "mona@ACME": state.Delegate}, s.roles("Own"), "the default admin owns what a local user owns there")
	root, _ := s.user("root")
	require.Equal(t, "Here", root.FullName)
	var role state.RoleAssignment
	s.node.View(func(tx *state.Tx) (err error) {
		role, _, err = tx.OwnerOf(id("Own"))
		return err
	})
	require.Equal(t, id(id("Own")+"root"), role.ID)

	allowed := upstream.Options{DefaultAdmin: admin, LocalUsers: true}
	s.mustSync(url, allowed)
	require.Equal(t, map[string]state.Role{"root": state.Owner, "mona@ACME": state.Delegate}, s.roles("Own"))
	root, _ = s.user("root")
	require.Equal(t, "Name of root", root.FullName)
	require.Equal(t, "hash", root.PasswordHash)
	require.Equal(t, state.AuthLocal, root.Auth())
	_, ok := s.user("lola")
	require.False(t, ok, "never created")
	s.mustSync(url, options)
	require.Equal(t, map[string]state.Role{admin: state.Owner, "mona@ACME": state.Delegate}, s.roles("Own"), "what isn't allowed any more is taken back")

	_, err := s.sync(url, upstream.Options{DefaultAdmin: "nobody"})
	require.Equal(t, state.Conflict, state.CodeOf(err))
	require.Contains(t, s.result().Error, "PROJECTROLES_DEFAULT_ADMIN")
}

func TestProjects(t *testing.T) {
	t.Parallel()
	a := usual()
	url := a.serve(t)
	s := newSite(t)
	s.do(&state.ProjectCreated{Project: state.Project{ID: "own", Title: "Own", Type: state.TypeCategory}, Owner: id("admin")},
		&state.ProjectCreated{Project: state.Project{ID: "other", Title: "Mine", Type: state.TypeProject}, Owner: id("admin")})
	s.mustSync(url, options)
	c := state.Container{ID: "c", Project: id("Mice"), Spec: state.Spec{Port: 80, Timeout: 60, MaxRetries: 5, InactivityDays: 7}}
	c.Title, c.Repository, c.Tag = "App", "r", "t"
	s.do(&state.ContainerCreated{Container: c})

	t.Log("moved, renamed, described, and more of them, whose titles make way for each other")
	mice := a.projects[id("Mice")].(m)
	mice["title"], mice["description"], mice["readme"] = "Rats", nil, "new"
	a.project("Group/", "Lab/", "mona@ACME=owner")
	mice["parent_uuid"] = id("Group/")
	second := a.project("Second", "Lab/", "otto@ACME=owner")
	second["title"] = "Mice"
	s.mustSync(url, options)
	rats, ok := s.project("Lab / Group / Rats")
	require.True(t, ok)
	require.Equal(t, id("Mice"), rats.ID)
	require.Empty(t, rats.Description)
	require.Equal(t, "new", rats.Readme)
	_, ok = s.project("Lab / Mice")
	require.True(t, ok)
	a.project("Third", "Lab/", "otto@ACME=owner")["title"] = "Mice" // takes the title of the second, which comes later by id or earlier
	second["title"] = "Beavers"
	s.mustSync(url, options)
	third, _ := s.project("Lab / Mice")
	require.Equal(t, id("Third"), third.ID)
	s.node.View(func(tx *state.Tx) error {
		c, ok, err := tx.Container("c")
		require.True(t, ok)
		require.Equal(t, id("Mice"), c.Project)
		return err
	})

	t.Log("local edits are refused")
	for _, c := range []state.Command{
		&state.ProjectChanged{ID: rats.ID, Title: new("x")}, &state.ProjectDeleted{ID: rats.ID}, &state.RoleAssigned{Project: rats.ID, User: id("admin"), Role: state.Guest},
		&state.RoleRemoved{Project: rats.ID, User: id("olga")}, &state.OwnershipTransferred{Project: rats.ID, NewOwner: id("admin")},
		&state.ProjectCreated{Project: state.Project{ID: "new", Title: "New", Type: state.TypeProject, Parent: id("Group/")}, Owner: id("admin")},
	} {
		_, err := s.node.Propose(context.Background(), c)
		require.ErrorContains(t, err, "comes from the upstream SODAR site", "%T", c)
	}

	t.Log("a title that is taken here keeps one out, and what is below")
	a.project("Own/", "", "mona@ACME=owner")["title"] = "Mine"
	a.project("Below", "Own/", "mona@ACME=owner")
	s.mustSync(url, options)
	mine, _ := s.project("Mine")
	require.Equal(t, "other", mine.ID)
	_, ok = s.project("Mine / Below")
	require.False(t, ok)
	require.Equal(t, []state.UpstreamSkip{
		{Kind: "project", Name: "Mine", Reason: "There is one of this site's own of this title already. Rename one of the two."},
		{Kind: "project", Name: "Below", Reason: "Its category could not be taken over."}}, only(s.result().Skips, "project"))

	t.Log("a category of this site's own at the place of one of theirs ends it all")
	a.projects[id("Own/")].(m)["title"] = "Own"
	before := s.tree()
	_, err := s.sync(url, options)
	require.Equal(t, state.Conflict, state.CodeOf(err))
	require.Equal(t, before, s.tree())
	require.Contains(t, s.result().Error, "There is a category of this site's own, \"Own\"")
	delete(a.projects, id("Own/"))
	delete(a.projects, id("Below"))
	s.mustSync(url, options)
	require.Empty(t, s.result().Error)

	t.Log("what is no longer listed stays, and is in the way of what comes to its place until it is released")
	delete(a.projects, id("Third"))
	a.project("Fourth", "Lab/", "mona@ACME=owner")["title"] = "Mice"
	s.mustSync(url, options)
	require.Contains(t, only(s.result().Skips, "project")[0].Reason, "kiosc sync release")
	s.do(&state.UpstreamTaken{ID: id("x"), At: time.Now().UTC(), Released: []string{id("Third")}})
	s.do(&state.ProjectChanged{ID: id("Third"), Title: new("Old mice")})
	s.mustSync(url, options)
	fourth, _ := s.project("Lab / Mice")
	require.Equal(t, id("Fourth"), fourth.ID)

	t.Log("of another type, or with a title that can't be")
	a.project("Lab2/", "", "mona@ACME=owner")["title"] = "A / B"
	a.project("Low", "Lab2/", "mona@ACME=owner")
	s.do(&state.ProjectCreated{Project: state.Project{ID: id("Low2"), Title: "Low two", Type: state.TypeCategory}, Owner: id("admin")})
	a.project("Low2", "Lab/", "mona@ACME=owner")
	s.mustSync(url, options)
	require.Len(t, only(s.result().Skips, "project"), 3)
}

func only(all []state.UpstreamSkip, kind string) (some []state.UpstreamSkip) {
	for _, s := range all {
		if s.Kind == kind {
			some = append(some, s)
		}
	}
	return some
}

func TestRoles(t *testing.T) {
	t.Parallel()
	a := usual()
	url := a.serve(t)
	s := newSite(t)
	s.mustSync(url, options)
	mice := a.projects[id("Mice")].(m)
	steps := []struct {
		what  string
		roles []string
		want  map[string]state.Role
	}{
		{"changed", []string{"mona@ACME=owner", "otto@ACME=guest", "olga=delegate"}, map[string]state.Role{"mona@ACME": state.Owner, "otto@ACME": state.Guest, "olga": state.Delegate}},
		{"taken away", []string{"mona@ACME=owner", "olga=viewer"}, map[string]state.Role{"mona@ACME": state.Owner, "olga": state.Viewer}},
		{"another owner", []string{"mona@ACME=contributor", "olga=owner"}, map[string]state.Role{"mona@ACME": state.Contributor, "olga": state.Owner}},
		{"the old owner gone", []string{"otto@ACME=owner"}, map[string]state.Role{"otto@ACME": state.Owner}},
		{"an owner whom nobody knows", []string{"ghost@ACME=owner", "otto@ACME=guest"}, map[string]state.Role{admin: state.Owner, "otto@ACME": state.Guest}},
		{"no owner, an unknown role, a finder", []string{"otto@ACME=king", "olga=finder", "mona@ACME=guest"}, map[string]state.Role{admin: state.Owner, "mona@ACME": state.Guest}},
	}
	for _, step := range steps {
		setRoles(mice, id("Mice"), step.roles...)
		s.mustSync(url, options)
		require.Equal(t, step.want, s.roles("Lab / Mice"), step.what)
	}
	require.Len(t, only(s.result().Skips, "role"), 2)
	require.Equal(t, map[string]state.Role{"mona@ACME": state.Owner, "otto@ACME": state.Finder}, s.roles("Lab"), "a category has its own")

	t.Log("an id that goes from one user to another")
	mice["roles"] = m{id("same"): m{"user": "otto@ACME", "role": "project owner"}, id("x"): m{"user": "olga", "role": "project guest"}}
	s.mustSync(url, options)
	mice["roles"] = m{id("same"): m{"user": "mona@ACME", "role": "project owner"}, id("x"): m{"user": "otto@ACME", "role": "project guest"}}
	s.mustSync(url, options)
	require.Equal(t, map[string]state.Role{"mona@ACME": state.Owner, "otto@ACME": state.Guest}, s.roles("Lab / Mice"))
	s.node.View(func(tx *state.Tx) error {
		r, ok, err := tx.AssignmentByID(id("same"))
		require.True(t, ok)
		require.Equal(t, id("mona@ACME"), r.User)
		return err
	})

	t.Log("an id that a project of this site's own has")
	s.do(&state.ProjectCreated{Project: state.Project{ID: "own", Title: "Own", Type: state.TypeProject}, Owner: id("admin"), Assignment: id("mine")})
	mice["roles"] = m{id("mine"): m{"user": "mona@ACME", "role": "project owner"}}
	s.mustSync(url, options)
	s.node.View(func(tx *state.Tx) error {
		r, _, err := tx.AssignmentByID(id("mine"))
		require.Equal(t, "own", r.Project)
		return err
	})

	t.Log("revoked")
	setRoles(mice, id("Mice"), "mona@ACME=owner", "otto@ACME=delegate", "olga=contributor")
	mice["public_access"] = "project guest"
	s.mustSync(url, options)
	p, _ := s.project("Lab / Mice")
	require.Equal(t, state.Guest, p.PublicAccess)
	delete(mice, "public_access")
	s.mustSync(url, options)
	p, _ = s.project("Lab / Mice")
	require.Equal(t, state.Guest, p.PublicAccess, "SODAR Core up to 1.4 doesn't tell")
	mice["level"] = "REVOKED"
	s.mustSync(url, options)
	require.Equal(t, map[string]state.Role{"mona@ACME": state.Owner, "otto@ACME": state.Delegate}, s.roles("Lab / Mice"))
	p, _ = s.project("Lab / Mice")
	require.Empty(t, p.PublicAccess)
	require.True(t, p.Upstream)
	mice["level"] = "READ_ROLES"
	mice["public_guest_access"] = true
	s.mustSync(url, options)
	p, _ = s.project("Lab / Mice")
	require.Equal(t, state.Guest, p.PublicAccess)
	require.Len(t, s.roles("Lab / Mice"), 3)

	t.Log("another level is not for this site to act upon")
	mice["level"] = "READ_INFO"
	a.project("More", "Lab/", "mona@ACME=owner")
	before := s.roles("Lab / Mice")
	s.mustSync(url, options)
	require.Equal(t, before, s.roles("Lab / Mice"))
}

func TestAnAnswerWithoutProjectsChangesNothing(t *testing.T) {
	t.Parallel()
	a := usual()
	url := a.serve(t)
	s := newSite(t)
	s.mustSync(url, options)
	before := s.tree()
	a.projects = m{}
	a.user("new@ACME", "acme")
	_, err := s.sync(url, options)
	require.Equal(t, state.Conflict, state.CodeOf(err))
	require.Equal(t, before, s.tree())
	_, ok := s.user("new@ACME")
	require.False(t, ok)
	index := s.node.Store().AppliedIndex()
	_, err = s.sync(url, options)
	require.Error(t, err)
	require.Equal(t, index, s.node.Store().AppliedIndex(), "what is the same is told once")
}
