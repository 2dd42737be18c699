package manager_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/manager"
)

func TestOperatorsSetLoginsForRegistries(t *testing.T) {
	t.Parallel()
	n := bootstrapped(t)
	var list []manager.RegistryLogin
	ask := func(command string, in manager.RegistryRequest) []manager.RegistryLogin {
		require.NoError(t, n.admin(command, in, &list))
		return list
	}
	require.Empty(t, ask("registry-ls", manager.RegistryRequest{Project: "Demo"}))
	set := ask("registry-set", manager.RegistryRequest{Project: "Demo", Host: "registry.example.org", User: "robot", Password: "secret"})
	require.Len(t, set, 1)
	require.Equal(t, "robot", set[0].User)
	require.ErrorContains(t, n.admin("registry-set", manager.RegistryRequest{Project: "Demo", Host: "registry.example.org", User: "robot"}, &list), "400")
	require.Equal(t, set, ask("registry-ls", manager.RegistryRequest{Project: "Demo"}))
	require.Empty(t, ask("registry-rm", manager.RegistryRequest{Project: "Demo", Host: "registry.example.org"}))
	require.ErrorContains(t, n.admin("registry-rm", manager.RegistryRequest{Project: "Demo", Host: "registry.example.org"}, &list), "404")
	require.ErrorContains(t, n.admin("registry-ls", manager.RegistryRequest{Project: "Rats"}, &list), "404")
	require.ErrorContains(t, n.admin("registry-ls", manager.RegistryRequest{Project: "site"}, &list), "not of the whole site")
}
