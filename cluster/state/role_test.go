package state_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

// tree is a fixture with Lab / Group / Rats beside Mice, and with users u1 to u5.
func tree(t *testing.T) *fixture {
	f := newFixture(t)
	for i := 2; i <= 5; i++ {
		f.must(&state.UserCreated{User: state.User{ID: fmt.Sprint("u", i), Name: fmt.Sprint("user", i), Active: true}})
	}
	f.must(&state.ProjectCreated{Project: state.Project{ID: "lab", Title: "Lab", Type: state.TypeCategory}, Owner: "u1", Assignment: "a1"})
	f.must(&state.ProjectCreated{Project: state.Project{ID: "group", Title: "Group", Type: state.TypeCategory, Parent: "lab"}, Owner: "u1"})
	f.must(&state.ProjectCreated{Project: state.Project{ID: "rats", Title: "Rats", Type: state.TypeProject, Parent: "group"}, Owner: "u1"})
	return f
}

func (f *fixture) role(project, user string) (role state.Role) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) (err error) {
		role, err = tx.RoleOf(project, user)
		return err
	}))
	return role
}

func (f *fixture) project(id string) (p state.Project, ok bool) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) (err error) {
		p, ok, err = tx.Project(id)
		return err
	}))
	return p, ok
}

func assign(project, user string, role state.Role) *state.RoleAssigned {
	return &state.RoleAssigned{ID: project + user, Project: project, User: user, Role: role, DelegateLimit: 1}
}

func TestRolesAreInherited(t *testing.T) {
	f := tree(t)
	f.must(assign("lab", "u2", state.Guest))
	f.must(assign("rats", "u2", state.Contributor))
	require.Equal(t, state.Contributor, f.role("rats", "u2"))
	require.Equal(t, state.Guest, f.role("group", "u2"))
	require.Empty(t, f.role("p1", "u2"))
	require.Equal(t, state.Owner, f.role("rats", "u1"))
	f.refused(state.Invalid, assign("group", "u2", state.Guest))
	f.refused(state.Invalid, assign("group", "u2", state.Finder))
	f.must(&state.RoleRemoved{Project: "lab", User: "u2"})
	require.Empty(t, f.role("group", "u2"))

	public := state.Guest
	f.must(&state.ProjectChanged{ID: "rats", PublicAccess: &public, At: t0})
	require.Equal(t, state.Guest, f.role("rats", "u5"), "everybody")
	require.Equal(t, state.Contributor, f.role("rats", "u2"))
	owner := state.Owner
	f.refused(state.Invalid, &state.ProjectChanged{ID: "rats", PublicAccess: &owner})
	f.refused(state.Invalid, &state.ProjectChanged{ID: "lab", PublicAccess: &public})
}

func TestThereIsOneOwner(t *testing.T) {
	f := tree(t)
	f.refused(state.Invalid, assign("rats", "u2", state.Owner))
	f.refused(state.Conflict, assign("rats", "u1", state.Guest))
	f.refused(state.Conflict, &state.RoleRemoved{Project: "rats", User: "u1"})
	f.refused(state.NotFound, &state.RoleRemoved{Project: "rats", User: "u2"})
	f.refused(state.Invalid, assign("rats", "u9", state.Guest))
	f.refused(state.Invalid, assign("rats", "u2", "king"))
	f.refused(state.Invalid, assign("rats", "u2", state.Finder))

	f.must(assign("p1", "u2", state.Delegate))
	f.refused(state.Invalid, assign("p1", "u3", state.Delegate))
	more := assign("p1", "u3", state.Delegate)
	more.DelegateLimit = 0
	f.must(more)
	f.must(assign("p1", "u3", state.Contributor))
	f.must(&state.OwnershipTransferred{Project: "p1", NewOwner: "u2", OldOwnerRole: state.Delegate, DelegateLimit: 1})
	require.Equal(t, state.Owner, f.role("p1", "u2"))
	require.Equal(t, state.Delegate, f.role("p1", "u1"))
	f.refused(state.Invalid, &state.OwnershipTransferred{Project: "p1", NewOwner: "u2"})
	f.refused(state.Invalid, &state.OwnershipTransferred{Project: "p1", NewOwner: "u3", OldOwnerRole: state.Delegate, DelegateLimit: 1})
	require.Equal(t, state.Owner, f.role("p1", "u2"), "nothing of a refused command remains")
	f.must(&state.OwnershipTransferred{Project: "p1", NewOwner: "u4", Assignment: "a4"})
	require.Empty(t, f.role("p1", "u2"))
	require.NoError(t, f.store.View(func(tx *state.Tx) error {
		r, ok, err := tx.AssignmentByID("a4")
		require.True(t, ok)
		require.Equal(t, state.RoleAssignment{ID: "a4", Project: "p1", User: "u4", Role: state.Owner}, r)
		return err
	}))
}

func TestRolesOfGroupsAreApart(t *testing.T) {
	f := tree(t)
	f.must(assign("p1", "u2", state.Guest))
	f.must(&state.GroupRolesSet{User: "u2", Superuser: true, Roles: []state.GroupRole{
		{Project: "p1", Role: state.Contributor}, {Project: "lab", Role: state.Guest}, {Project: "lab", Role: state.Delegate}, {Project: "gone", Role: state.Guest}}})
	require.Equal(t, state.Contributor, f.role("p1", "u2"))
	require.Equal(t, state.Delegate, f.role("rats", "u2"))
	u := f.must(&state.UserChanged{ID: "u2"}).(state.User)
	require.True(t, u.Superuser && u.SuperuserByGroup)
	f.refused(state.Invalid, &state.GroupRolesSet{User: "u2", Roles: []state.GroupRole{{Project: "p1", Role: state.Owner}}})

	f.must(&state.GroupRolesSet{User: "u2"})
	require.True(t, f.must(&state.UserChanged{ID: "u2"}).(state.User).Superuser, "the last superuser stays")
	yes := true
	f.must(&state.UserChanged{ID: "u1", Superuser: &yes})
	f.must(&state.GroupRolesSet{User: "u2"})
	require.Equal(t, state.Guest, f.role("p1", "u2"))
	require.Empty(t, f.role("rats", "u2"))
	require.False(t, f.must(&state.UserChanged{ID: "u2"}).(state.User).Superuser)
	f.must(&state.GroupRolesSet{User: "u1"})
	require.True(t, f.must(&state.UserChanged{ID: "u1"}).(state.User).Superuser, "no group has made this one")
}

func TestMembersTellWhereTheirRolesAreFrom(t *testing.T) {
	f := tree(t)
	f.must(assign("group", "u3", state.Guest))
	f.must(assign("rats", "u2", state.Contributor))
	f.must(&state.GroupRolesSet{User: "u4", Roles: []state.GroupRole{{Project: "rats", Role: state.Guest}}})
	require.NoError(t, f.store.View(func(tx *state.Tx) error {
		members, err := tx.Members("rats")
		require.Len(t, members, 4)
		var text []string
		for _, m := range members {
			text = append(text, fmt.Sprintf("%s %s own=%v group=%s from=%s", m.User.Name, m.Role, m.Own != nil, m.ByGroup, m.From.ID))
		}
		require.Equal(t, []string{"ana project owner own=true group= from=group", "user2 project contributor own=true group= from=",
			"user3 project guest own=false group= from=group", "user4 project guest own=false group=project guest from="}, text)
		title, err2 := tx.FullTitle("rats")
		require.Equal(t, "Lab / Group / Rats", title)
		p, ok, err3 := tx.ProjectByPath(title)
		require.True(t, ok)
		require.Equal(t, "rats", p.ID)
		require.NoError(t, err2)
		require.NoError(t, err3)
		return err
	}))
}

func TestTheTreeStaysATree(t *testing.T) {
	f := tree(t)
	to := func(id, parent string) *state.ProjectChanged {
		return &state.ProjectChanged{ID: id, Parent: &parent, At: t0}
	}
	title := func(id, title string) *state.ProjectChanged {
		return &state.ProjectChanged{ID: id, Title: &title, At: t0}
	}
	f.refused(state.Invalid, to("lab", "group"))
	f.refused(state.Invalid, to("lab", "lab"))
	f.refused(state.Invalid, to("rats", "p1"))
	f.refused(state.Invalid, title("p1", "Lab"))
	f.refused(state.Invalid, title("rats", "Group"))
	f.refused(state.Invalid, title("group", "Rats"))
	f.refused(state.Invalid, title("rats", "a / b"))
	f.must(title("rats", "Mice"))
	f.refused(state.Invalid, to("rats", ""))
	f.must(title("rats", "Rats"))
	f.must(to("group", ""))
	require.Equal(t, state.Owner, f.role("rats", "u1"))
	f.refused(state.Invalid, &state.ProjectCreated{Project: state.Project{ID: "x", Title: "X", Type: state.TypeProject, Parent: "rats"}, Owner: "u1"})
	f.refused(state.Conflict, &state.ProjectCreated{Project: state.Project{ID: "rats", Title: "X", Type: state.TypeProject}, Owner: "u1"})

	parent := "lab"
	for i := range state.MaxDepth - 1 {
		id := fmt.Sprint("deep", i)
		f.must(&state.ProjectCreated{Project: state.Project{ID: id, Title: id, Type: state.TypeCategory, Parent: parent}, Owner: "u1"})
		parent = id
	}
	f.must(&state.ProjectCreated{Project: state.Project{ID: "leaf", Title: "leaf", Type: state.TypeProject, Parent: parent}, Owner: "u1"})
	f.refused(state.Invalid, to("group", parent))
	f.refused(state.Invalid, to("lab", "group"))
}

func TestUpstreamProjectsAreChangedThere(t *testing.T) {
	f := tree(t)
	f.must(&state.ProjectCreated{Project: state.Project{ID: "up", Title: "Up", Type: state.TypeCategory, Upstream: true}, Owner: "u1"})
	text := "x"
	for _, c := range []state.Command{assign("up", "u2", state.Guest), &state.RoleRemoved{Project: "up", User: "u2"},
		&state.OwnershipTransferred{Project: "up", NewOwner: "u2"}, &state.ProjectChanged{ID: "up", Description: &text},
		&state.ProjectDeleted{ID: "up"}, &state.InviteCreated{Invite: state.Invite{Project: "up"}},
		&state.ProjectCreated{Project: state.Project{ID: "x", Title: "X", Type: state.TypeProject, Parent: "up"}, Owner: "u1"}} {
		f.refused(state.Conflict, c)
	}
}

func TestAProjectGoesWithItsLastContainer(t *testing.T) {
	f := tree(t)
	f.refused(state.Conflict, &state.ProjectDeleted{ID: "lab"})
	f.must(&state.ContainerCreated{Container: container("c1"), User: "ana"})
	f.must(&state.ContainerCreated{Container: container("c2"), User: "ana"})
	f.start("c1", "d1")
	f.must(&state.ProjectDeleted{ID: "p1", User: "ana", At: t0})
	_, there := f.container("c2")
	require.False(t, there, "no host has it")
	p, _ := f.project("p1")
	require.True(t, p.Deleting)
	f.refused(state.Conflict, &state.ContainerCreated{Container: container("c3"), User: "ana"})
	f.refused(state.Conflict, assign("p1", "u2", state.Guest))
	c, _ := f.container("c1")
	require.True(t, c.Pending() && c.Action == state.Delete)
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", Generation: c.Generation, Seq: 1, Done: true, State: state.Failed, DockerID: "d1", Time: t0})
	f.must(&state.ProjectDeleted{ID: "p1", User: "ana", At: t0})
	again, _ := f.container("c1")
	require.True(t, again.Pending() && again.Generation > c.Generation, "asked for again")
	f.must(&state.ContainerReported{Container: "c1", Node: "n1", Generation: again.Generation, Seq: 1, Done: true, State: state.Deleted, Time: t0})
	_, there = f.project("p1")
	require.False(t, there)
	require.Empty(t, f.role("p1", "u1"))
	f.must(&state.ProjectCreated{Project: state.Project{ID: "p2", Title: "Mice", Type: state.TypeProject}, Owner: "u1"})
	f.must(&state.ProjectDeleted{ID: "p2", At: t0})
	_, there = f.project("p2")
	require.False(t, there, "it had no container")
}

func TestInvites(t *testing.T) {
	f := tree(t)
	invite := state.Invite{ID: "i1", Hash: hash('i', 1), Project: "rats", Role: state.Contributor, Email: "x@example.org", Issuer: "ana",
		CreatedAt: t0, ExpiresAt: t0.Add(time.Hour)}
	f.must(&state.InviteCreated{Invite: invite})
	owner := invite
	owner.Role = state.Owner
	f.refused(state.Invalid, &state.InviteCreated{Invite: owner})
	accept := func(i int, user string, at time.Time) *state.InviteAccepted {
		return &state.InviteAccepted{Hash: hash('i', i), User: user, Assignment: "ai", At: at}
	}
	f.refused(state.NotFound, accept(1, "u2", t0.Add(time.Hour)))
	f.refused(state.NotFound, accept(2, "u2", t0))
	resent := invite
	resent.Hash = hash('i', 3)
	f.must(&state.InviteCreated{Invite: resent})
	f.refused(state.NotFound, accept(1, "u2", t0))
	f.must(accept(3, "u2", t0))
	require.Equal(t, state.Contributor, f.role("rats", "u2"))
	f.refused(state.NotFound, accept(3, "u3", t0))

	f.must(&state.InviteCreated{Invite: invite})
	f.must(accept(1, "u1", t0))
	require.Equal(t, state.Owner, f.role("rats", "u1"), "an invite takes nothing away")
	f.must(&state.InviteCreated{Invite: invite})
	withAccount := accept(1, "u7", t0)
	withAccount.NewUser = &state.User{ID: "u7", Name: "new", Active: true}
	f.must(withAccount)
	require.Equal(t, state.Contributor, f.role("rats", "u7"))
	f.must(&state.InviteCreated{Invite: invite})
	f.must(&state.InviteRevoked{Project: "rats", ID: "i1"})
	f.refused(state.NotFound, accept(1, "u3", t0))
	f.refused(state.NotFound, &state.InviteRevoked{Project: "rats", ID: "i1"})
}

func TestEventsStandWithTheirCommands(t *testing.T) {
	f := tree(t)
	record := func(name, project string, c state.Command) *state.Recorded {
		r, err := state.Record(state.Event{ID: name, Time: t0, User: "ana", Project: project, Name: name, Status: state.EventOK}, c)
		require.NoError(t, err)
		return r
	}
	made := f.must(record("one", "rats", assign("rats", "u2", state.Guest)))
	require.Equal(t, state.Guest, made.(state.RoleAssignment).Role, "what the command returns")
	f.refused(state.Conflict, record("refused", "rats", &state.RoleRemoved{Project: "rats", User: "u1"}))
	f.must(record("two", "p1", assign("p1", "u2", state.Guest)))
	f.must(&state.Recorded{Event: state.Event{ID: "three", Name: "three"}})
	names := func(project string, all bool, before uint64, limit int) (names []string) {
		require.NoError(t, f.store.View(func(tx *state.Tx) error {
			events, err := tx.EventPage(project, all, before, limit, nil)
			for _, e := range events {
				names = append(names, fmt.Sprint(e.Number, e.Name))
			}
			return err
		}))
		return names
	}
	require.Equal(t, []string{"3three", "2two", "1one"}, names("", true, 0, 10))
	require.Equal(t, []string{"2two"}, names("", true, 3, 1))
	require.Equal(t, []string{"1one"}, names("rats", false, 0, 10))
	require.Equal(t, []string{"3three"}, names("", false, 0, 10))
	require.Empty(t, names("rats", false, 1, 10))
}
