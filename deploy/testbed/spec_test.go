package testbed_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

const patience = 2 * time.Minute

// TestAnUpdateRestartsAndAVolumeStays goes through the real program and the real Docker.
func TestAnUpdateRestartsAndAVolumeStays(t *testing.T) {
	t.Parallel()
	k := testbed.Start(t)
	volumes := func() []string { return k.Docker("volume", "ls", "-q", "--filter", "label=kiosc.project="+k.Project()) }
	fields := map[string]any{"volumes": map[string]string{"data": "/data"}, "read_only_root": true, "shared_memory": 100 << 20}
	id := k.Create("App", fields)
	other := k.Create("Other", fields)
	k.Act("start", id)
	k.WaitState(patience, id, "running")
	first := k.Containers(id)
	require.Len(t, first, 1)
	require.Len(t, volumes(), 1)
	require.Equal(t, []string{"true", "104857600", "nofile"}, k.Docker("inspect", "--format",
		"{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.ShmSize}} {{(index .HostConfig.Ulimits 0).Name}}", first[0]))

	status, body := k.Request(http.MethodPatch, "/containers/api/update/"+id, map[string]any{"environment": map[string]any{"NEW": []string{"a"}}})
	require.Equal(t, http.StatusOK, status, string(body))
	k.Wait(patience, "the container to run anew", func() bool {
		now := k.Containers(id)
		return len(now) == 1 && now[0] != first[0] && k.State(id) == "running"
	})
	require.Contains(t, k.Docker("inspect", "--format", "{{json .Config.Env}}", k.Containers(id)[0])[0], `"NEW=['a']"`)
	require.True(t, k.LogHas(id, "(Object) Updated [API]"))

	remove := func(id string) {
		t.Helper()
		status, body := k.Request(http.MethodDelete, "/containers/api/delete/"+id, nil)
		require.Equal(t, http.StatusNoContent, status, string(body))
	}
	remove(id)
	require.Len(t, volumes(), 1, "another container names it")
	k.Act("start", other)
	k.WaitState(patience, other, "running")
	remove(other)
	require.Empty(t, volumes(), "it goes with the last one")
}
