package state_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

// TestAHeartbeatIsOfTheAppItself says what is asked, and that nothing else is.
func TestAHeartbeatIsOfTheAppItself(t *testing.T) {
	for text, want := range map[string]string{
		"health": "/health", "/health": "/health", "/a%2Fb?full=1&x=%20": "/a%2Fb?full=1&x=%20", "?x": "/?x", "/a#b": "/a",
		"http://localhost/ok": "/ok", "http://127.0.0.1:8080/ok": "/ok", "http://localhost:8080": "/",
		"": "", "http://example.org/": "", "http://localhost:22/": "", "https://localhost/": "", "//example.org/x": "", "http://user@localhost/": "",
		"http://169.254.169.254/latest": "", "file:///etc/passwd": "", "/a b": "", "/a\r\nHost: x": "", "%zz": "",
	} {
		spec := state.Spec{HeartbeatURL: text, Port: 8080}
		got, ok := spec.Heartbeat()
		require.Equal(t, want, got, text)
		require.Equal(t, want != "", ok, text)
	}
}
