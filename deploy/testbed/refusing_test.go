package testbed_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

// TestAnAppThatRefusesConnectionsIsNamedInItsLog has a real app that listens on another port than it was said to.
func TestAnAppThatRefusesConnectionsIsNamedInItsLog(t *testing.T) {
	t.Parallel()
	testbed.Image(t, "kiosc-test/bytes:refusing", "kiosc/deploy/testbed/bytesapp")
	k := testbed.Start(t)
	id := k.Create("Refusing", map[string]any{"repository": "kiosc-test/bytes", "tag": "refusing", "container_port": 8081})
	k.Act("start", id)
	k.WaitState(patience, id, "running")
	for range 5 {
		status, body := k.Request(http.MethodGet, "/containers/proxy/"+id+"/", nil)
		require.Equal(t, http.StatusBadGateway, status, string(body))
	}
	const line = "ERROR admin] (Proxy) Access to the app failed: nothing listens on port 8081 in the container."
	k.Wait(patience, "the log tells why", func() bool { return k.LogHas(id, line) })
	require.Len(t, slices.DeleteFunc(k.Log(id), func(l string) bool { return !strings.HasSuffix(l, line) }), 1, "one for all")
	require.False(t, k.LogHas(id, "Accessing"), "it was no visit")
}
