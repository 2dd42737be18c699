package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHealthAndReadiness(t *testing.T) {
	s := newEmptySite(t)
	nobody := s.with()
	require.Equal(t, 200, nobody.send("GET", "/healthz", "").status, "a manager that cannot serve is alive all the same")
	got := nobody.send("GET", "/readyz", "")
	require.Equal(t, 503, got.status)
	require.Contains(t, got.body, "cannot serve yet")
	require.NotEmpty(t, got.header.Get("Retry-After"))

	s.Bootstrap()
	for _, path := range []string{"/healthz", "/readyz"} {
		got := nobody.send("GET", path, "")
		require.Equal(t, 200, got.status, path)
		require.Equal(t, "ok\n", got.body, path)
		require.Equal(t, "no-store", got.header.Get("Cache-Control"), path)
		require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"), path)
	}
}
