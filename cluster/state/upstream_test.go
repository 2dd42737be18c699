package state_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

// taken applies a part of an answer.
func (f *fixture) taken(c *state.UpstreamTaken) state.UpstreamTally {
	f.Helper()
	c.ID, c.At = "run", t0
	result := f.apply(c)
	require.NoError(f, result.Err)
	return result.Value.(state.UpstreamTally)
}

func TestWhatCantBeTakenOverIsLeftOut(t *testing.T) {
	f := tree(t)
	// The category has another owner, whose role would be inherited.
	project := func(id, title, parent string, kind state.Type) state.UpstreamProject {
		return state.UpstreamProject{ID: id, Title: title, Parent: parent, Type: kind, Owner: "u1", Assignment: "own-" + id}
	}
	category := project("site", "Site", "", state.TypeCategory)
	category.Owner = "u4"
	tally := f.taken(&state.UpstreamTaken{
		Users: []state.UpstreamUser{
			{ID: "n1", Name: "new", AuthType: state.AuthLDAP},
			{ID: "n2", Name: "local"},
			{ID: "u2", Name: "user3", AuthType: state.AuthLDAP}, // whose name another has
		},
		Projects: []state.UpstreamProject{
			category,
			project("p", "P", "site", state.TypeProject),
			project("lost", "Lost", "nowhere", state.TypeProject),
			project("low", "Low", "lab", state.TypeProject), // in a category of this site's own
			project("rats", "Rats", "", state.TypeCategory), // which is a project
			project("twin", "P", "site", state.TypeProject),
		},
		Roles: []state.UpstreamRole{
			{ID: "r1", Project: "p", User: "n1", Role: state.Contributor},
			{ID: "r2", Project: "p", User: "nobody", Role: state.Guest},
			{ID: "r3", Project: "p", User: "u3", Role: "king"},
			{ID: "r4", Project: "p", User: "u3", Role: state.Finder},
			{ID: "r5", Project: "rats", User: "n1", Role: state.Guest}, // not from upstream
			{Project: "p", User: "u1"},                                 // the owner
			{Project: "p", User: "u5"},                                 // who has none
		},
	})
	require.Equal(t, state.UpstreamCounts{Created: 1}, tally.Users)
	require.Equal(t, state.UpstreamCounts{Created: 2}, tally.Projects)
	require.Equal(t, state.UpstreamCounts{Created: 1, Unchanged: 1}, tally.Roles)
	require.Len(t, tally.Skipped, 11)
	require.Equal(t, state.Owner, f.role("p", "u1"))
	require.Equal(t, state.Contributor, f.role("p", "n1"))
	require.Empty(t, f.role("rats", "n1"))

	t.Log("a new owner takes the place of the old one")
	f.taken(&state.UpstreamTaken{Roles: []state.UpstreamRole{{ID: "r1", Project: "p", User: "n1", Role: state.Owner}}})
	require.Equal(t, state.Owner, f.role("p", "n1"))
	f.taken(&state.UpstreamTaken{Roles: []state.UpstreamRole{{ID: "own-p", Project: "p", User: "u1", Role: state.Guest}}})
	require.Equal(t, state.Guest, f.role("p", "u1"))

	t.Log("what is told of it")
	var names []string
	require.NoError(t, f.store.View(func(tx *state.Tx) error {
		events, err := tx.EventPage("p", false, 0, 10, nil)
		ids := make(map[string]bool)
		for _, e := range events {
			names, ids[e.ID] = append(names, e.Name), true
		}
		return err
	}))
	require.Equal(t, []string{"remote_role_update", "remote_role_update", "remote_role_update", "remote_project_create"}, names)
}

func TestRemoteSites(t *testing.T) {
	f := tree(t)
	site := state.RemoteSite{ID: "s", Name: "Site", URL: "https://site.example.org", Hash: []byte("h1")}
	f.must(&state.RemoteSiteSet{Site: site})
	f.refused(state.Invalid, &state.RemoteSiteSet{Site: state.RemoteSite{ID: "t", Name: "Site", URL: "https://t.example.org"}})
	for _, url := range []string{"", "site.example.org", "ftp://site.example.org", "https://u:p@site.example.org", "https://x/?q=1"} {
		f.refused(state.Invalid, &state.RemoteSiteSet{Site: state.RemoteSite{ID: "t", Name: "T", URL: url}})
	}
	f.must(&state.RemoteSiteSet{Site: state.RemoteSite{ID: "up", Name: "Up", URL: "https://up.example.org", Upstream: true}})
	f.refused(state.Conflict, &state.RemoteSiteSet{Site: state.RemoteSite{ID: "up2", Name: "Up 2", URL: "https://up.example.org", Upstream: true}})

	give := func(project string, level state.RemoteLevel) *state.RemoteProjectsGiven {
		return &state.RemoteProjectsGiven{Site: "s", Projects: []state.RemoteProject{{Project: project, Level: level}}}
	}
	f.must(give("rats", state.LevelReadRoles))
	f.refused(state.Invalid, give("lab", state.LevelReadRoles))
	f.refused(state.Invalid, give("rats", "VIEW"))
	f.refused(state.NotFound, give("nowhere", state.LevelReadRoles))
	f.refused(state.NotFound, &state.RemoteProjectsGiven{Site: "up"})

	site.Hash = []byte("h2")
	f.must(&state.RemoteSiteSet{Site: site})
	given := func() (n int, known bool) {
		require.NoError(t, f.store.View(func(tx *state.Tx) error {
			_, old, err := tx.RemoteSiteByHash([]byte("h1"))
			require.False(t, old, "the old secret counts no more")
			require.NoError(t, err)
			_, known, err = tx.RemoteSiteByHash([]byte("h2"))
			require.NoError(t, err)
			all, err := tx.RemoteProjects("s")
			n = len(all)
			return err
		}))
		return n, known
	}
	n, known := given()
	require.Equal(t, 1, n)
	require.True(t, known)
	f.must(&state.ProjectDeleted{ID: "rats", At: t0})
	n, _ = given()
	require.Zero(t, n, "a project that is gone is given to nobody")
	f.must(give("p1", state.LevelReadRoles))
	f.must(&state.RemoteSiteRemoved{ID: "s"})
	n, known = given()
	require.Zero(t, n)
	require.False(t, known)
	f.refused(state.NotFound, &state.RemoteSiteRemoved{ID: "s"})
}
