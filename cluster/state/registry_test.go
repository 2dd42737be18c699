package state_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

func TestRegistryHosts(t *testing.T) {
	for text, host := range map[string]string{" https://Registry.Example.org/v2/ ": "registry.example.org", "registry.example.org:5000": "registry.example.org:5000",
		"index.docker.io": "docker.io", "https://hub.docker.com": "docker.io", "localhost": "localhost"} {
		require.Equal(t, host, state.RegistryHost(text), text)
		require.NoError(t, (&state.Registry{Host: host, User: "u", Sealed: []byte("x")}).Validate(), text)
	}
	for _, wrong := range []string{"", "registry", "registry.example.org/group", "no host", "a\x00b.org"} {
		err := (&state.Registry{Host: wrong, User: "u", Sealed: []byte("x")}).Validate()
		require.Equal(t, state.Invalid, state.CodeOf(err), wrong)
	}
	for image, host := range map[string]string{"nginx": "docker.io", "group/app:1": "docker.io", "registry.example.org/a/b:1": "registry.example.org",
		"localhost:5000/app": "localhost:5000", "NO IMAGE": ""} {
		require.Equal(t, host, state.RegistryOf(image), image)
	}
}

func TestRegistriesAreOfOneProject(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ProjectCreated{Project: state.Project{ID: "p2", Title: "Rats", Type: state.TypeProject}, Owner: "u1"})
	set := func(project, user string) state.Command {
		return &state.RegistrySet{Registry: state.Registry{Project: project, Host: "registry.example.org", User: user, Sealed: []byte("x"), SetAt: t0}}
	}
	f.must(set("p1", "ana"))
	f.must(set("p1", "ben"))
	f.must(set("p2", "cem"))
	f.refused(state.NotFound, set("none", "ana"))
	f.refused(state.Invalid, set("p1", ""))
	require.NoError(t, f.store.View(func(tx *state.Tx) error {
		list, err := tx.RegistriesOf("p1")
		require.Len(t, list, 1)
		require.Equal(t, "ben", list[0].User)
		return err
	}))
	f.must(&state.RegistryRemoved{Project: "p1", Host: "registry.example.org"})
	f.refused(state.NotFound, &state.RegistryRemoved{Project: "p1", Host: "registry.example.org"})
	require.NoError(t, f.store.View(func(tx *state.Tx) error {
		_, ok, err := tx.Registry("p2", "registry.example.org")
		require.True(t, ok)
		return err
	}))
}
