//go:build e2e

package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

// TestLoginsForRegistries pulls an image from a real registry that asks for a login: without one, with a wrong one, with
// the right one, and when the registry is down.
func TestLoginsForRegistries(t *testing.T) {
	k := testbed.Start(t)
	r := testbed.StartRegistry(t)
	testbed.Image(t, "kiosc-registry-test:1", "kiosc/deploy/testbed/bytesapp")
	image := strings.TrimSuffix(r.Push("kiosc-registry-test:1"), ":1")
	registries := "/containers/api/registries/" + k.Project()
	id := k.Create("Private", map[string]any{"repository": image, "tag": "1", "pull_policy": "always"})
	fails := func(text string) {
		t.Helper()
		k.Act("start", id)
		k.Wait(time.Minute, "the start to fail: "+text, func() bool { return k.State(id) == "failed" && k.LogHas(id, text) })
	}
	login := func(password string) {
		t.Helper()
		status, body := k.Request(http.MethodPost, registries, map[string]any{"host": r.Addr, "user": testbed.RegistryUser, "password": password})
		require.Equal(t, http.StatusOK, status, string(body))
		require.NotContains(t, string(body), password)
	}
	fails("gives no access to the image " + image + ":1 without a login")
	login("wrong-password")
	fails("the registry " + r.Addr + " gives the user " + testbed.RegistryUser + " no access")
	login(testbed.RegistryPassword)
	k.Act("start", id)
	k.WaitState(time.Minute, id, "running")
	require.True(t, k.LogHas(id, "Pulling image succeeded"))

	missing := k.Create("Missing", map[string]any{"repository": image, "tag": "2"})
	k.Act("start", missing)
	k.Wait(time.Minute, "a tag that isn't there to fail", func() bool { return k.State(missing) == "failed" })
	require.True(t, k.LogHas(missing, "there is no image "+image+":2 in its registry"))

	k.Act("stop", id)
	k.WaitState(time.Minute, id, "exited")
	r.Stop()
	fails("the registry of the image " + image + ":1 can't be reached")

	// The password is in no log and, in plain, in no file of Kiosc's.
	for _, line := range k.Log(id) {
		require.NotContains(t, line, testbed.RegistryPassword)
	}
	k.Stop()
	require.NoError(t, filepath.WalkDir(k.Dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		require.NotContains(t, string(raw), testbed.RegistryPassword, path)
		return err
	}))
}
