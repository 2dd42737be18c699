package state_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

func outside(name string, roles ...state.GroupRole) state.Outside {
	return state.Outside{AuthType: state.AuthLDAP, Name: name, FullName: "Zoë Müller", FirstName: "Zoë", LastName: "Müller",
		Email: "zoe@acme.test", Groups: []string{"cn=mice"}, Roles: roles}
}

// known tells whether taking somebody over would change nothing.
func (f *fixture) known(o state.Outside) (same bool) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) (err error) {
		_, same, err = tx.IdentityKnown(o)
		return err
	}))
	return same
}

func TestSomebodyFromOutside(t *testing.T) {
	f := tree(t)
	f.must(&state.UserCreated{User: state.User{ID: "root", Name: "root", Active: true, Superuser: true}})
	take := func(o state.Outside) *state.IdentityTaken { return &state.IdentityTaken{Outside: o, ID: "new", At: t0} }
	guest := state.GroupRole{Project: "lab", Role: state.Guest}
	o := outside("zoë@ACME", guest, state.GroupRole{Project: "rats", Role: state.Contributor}, state.GroupRole{Project: "gone", Role: state.Guest})
	require.False(t, f.known(o))
	f.must(take(o))
	want := state.User{ID: "new", Name: "zoë@ACME", FullName: "Zoë Müller", FirstName: "Zoë", LastName: "Müller", Email: "zoe@acme.test",
		AuthType: state.AuthLDAP, Groups: []string{"cn=mice"}, Active: true, CreatedAt: t0}
	require.Equal(t, want, f.user("new"))
	require.True(t, f.known(o))
	require.Equal(t, state.Guest, f.role("group", "new"))
	require.Equal(t, state.Contributor, f.role("rats", "new"))

	// Each thing that may change is seen, and taken over.
	for name, change := range map[string]func(o *state.Outside){
		"name": func(o *state.Outside) { o.FullName = "Zoë M." }, "email": func(o *state.Outside) { o.Email = "" },
		"groups": func(o *state.Outside) { o.Groups = nil }, "superuser": func(o *state.Outside) { o.Superuser = true },
		"a role less": func(o *state.Outside) { o.Roles = o.Roles[:1] }, "another role": func(o *state.Outside) { o.Roles[0].Role = state.Viewer },
		"no role": func(o *state.Outside) { o.Roles = nil }, "subject": func(o *state.Outside) { o.Subject = "17" },
	} {
		o := outside("zoë@ACME", guest, state.GroupRole{Project: "rats", Role: state.Contributor})
		change(&o)
		require.False(t, f.known(o), name)
		f.must(take(o))
		require.True(t, f.known(o), name)
		require.Equal(t, o.Superuser, f.user("new").Superuser)
		f.must(take(outside("zoë@ACME", guest, state.GroupRole{Project: "rats", Role: state.Contributor})))
	}
	// What people have given stays.
	f.must(assign("p1", "new", state.Delegate))
	f.must(take(outside("zoë@ACME")))
	require.Equal(t, state.Delegate, f.role("p1", "new"))
	require.Empty(t, f.role("rats", "new"))
	f.must(&state.UserChanged{ID: "new", Superuser: ptr(true)})
	f.must(take(outside("zoë@ACME")))
	require.True(t, f.user("new").Superuser, "an admin has made it one")

	f.must(&state.UserCreated{User: state.User{ID: "up", Name: "up@ACME", FullName: "Upstream's", AuthType: state.AuthLDAP, Upstream: true, Active: true}})
	f.must(take(outside("up@ACME", guest)))
	require.Equal(t, "Upstream's", f.user("up").FullName)
	require.Equal(t, state.Guest, f.role("lab", "up"))
	require.True(t, f.known(outside("up@ACME", guest)))

	f.refused(state.Invalid, take(outside("a*b@ACME")))
	f.refused(state.Invalid, take(outside("")))
	f.refused(state.Invalid, take(outside("eve@ACME", state.GroupRole{Project: "lab", Role: state.Owner})))
	require.Empty(t, f.user("eve").ID)
	f.refused(state.Conflict, take(outside("root")))
	other := outside("zoë@ACME")
	other.AuthType = state.AuthOIDC
	f.refused(state.Conflict, take(other))
	other.AuthType = state.AuthLocal
	f.refused(state.Invalid, take(other))
	other = outside("zoë@ACME")
	other.Subject = "18"
	f.refused(state.Conflict, take(other))
}

func TestWhoIsGoneComesBack(t *testing.T) {
	f := tree(t)
	f.must(&state.IdentityTaken{Outside: outside("zoe@ACME", state.GroupRole{Project: "lab", Role: state.Guest}), ID: "zoe", At: t0})
	f.must(assign("p1", "zoe", state.Guest))
	session := state.Session{Hash: hash('1', 1), User: "zoe", CreatedAt: t0, ExpiresAt: t0.Add(time.Hour)}
	f.must(&state.SessionOpened{Session: session})
	f.must(&state.UserGone{ID: "zoe"})
	require.False(t, f.session(session.Hash))
	require.True(t, !f.user("zoe").Active && f.user("zoe").Gone)
	require.Empty(t, f.role("lab", "zoe"))
	require.Equal(t, state.Guest, f.role("p1", "zoe"))
	f.must(&state.UserGone{ID: "zoe"})

	back := outside("zoe@ACME", state.GroupRole{Project: "lab", Role: state.Guest})
	require.False(t, f.known(back))
	f.must(&state.IdentityTaken{Outside: back})
	require.True(t, f.user("zoe").Active && !f.user("zoe").Gone)
	require.Equal(t, state.Guest, f.role("lab", "zoe"))

	f.must(&state.UserGone{ID: "zoe"})
	f.must(&state.UserChanged{ID: "zoe", Active: ptr(false)})
	f.refused(state.Forbidden, &state.IdentityTaken{Outside: back})
	require.False(t, f.user("zoe").Active, "an admin's word counts")
	f.refused(state.NotFound, &state.UserGone{ID: "nobody"})
	f.must(&state.UserGone{ID: "u2"})
	require.True(t, f.user("u2").Active, "local users are not of a directory")
}

func TestTheLastSuperuserIsNeverGone(t *testing.T) {
	f := newFixture(t)
	o := outside("zoe@ACME")
	o.Superuser = true
	f.must(&state.IdentityTaken{Outside: o, ID: "zoe", At: t0})
	require.True(t, f.user("zoe").Superuser)
	f.refused(state.Conflict, &state.UserGone{ID: "zoe"})
	require.True(t, f.user("zoe").Active)
	f.must(&state.UserCreated{User: state.User{ID: "root", Name: "root", Active: true, Superuser: true}})
	f.must(&state.UserGone{ID: "zoe"})
	require.False(t, f.user("zoe").Superuser)
}

func TestNamesFromOutside(t *testing.T) {
	for name, want := range map[string][2]bool{"ana": {true, true}, "ana@ACME": {true, true}, "zoë": {false, true}, "two words": {false, true},
		"o'neil": {false, true}, "日本@ACME": {false, true}, "": {}, " ana": {}, "ana ": {}, "a*b": {}, "a\x00b": {}, "a\nb": {}, "a(b": {}, "@": {}, "a/b": {}, "\xff": {}} {
		require.Equal(t, want, [2]bool{state.ValidName(name, ""), state.ValidName(name, state.AuthLDAP)}, "%q", name)
	}
}

// TestWhoComesFromUpstreamKeepsItsNames has somebody log in at a provider that spells the name otherwise than the upstream site.
func TestWhoComesFromUpstreamKeepsItsNames(t *testing.T) {
	f := tree(t)
	brought := state.User{ID: "mona", Name: "mona", FullName: "Mona Lee", FirstName: "Mona", LastName: "Lee", Email: "mona@upstream.test",
		AuthType: state.AuthOIDC, Upstream: true, Active: true, CreatedAt: t0}
	f.must(&state.UserCreated{User: brought})
	o := state.Outside{AuthType: state.AuthOIDC, Name: "mona", FullName: "M. Lee", FirstName: "M.", LastName: "Lee", Email: "ml@provider.test",
		Subject: "17", Groups: []string{"mice"}}
	f.must(&state.IdentityTaken{Outside: o, ID: "new", At: t0})
	brought.Subject, brought.Groups = "17", []string{"mice"}
	require.Equal(t, brought, f.user("mona"))
	require.True(t, f.known(o), "no login is a change")
}
