package cli_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMistakesInTheWebPortsSettings(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.pem")
	for want, args := range map[string][]string{
		"--app-domain needs --url":                {"--app-domain", "apps.test"},
		"is none such as https:":                  {"--url", "kiosc.test"},
		"must not be at or below":                 {"--url", "https://kiosc.apps.test", "--app-domain", "apps.test"},
		"TLS needs both --tls-cert and --tls-key": {"--tls-cert", none},
		"reading the TLS certificate":             {"--tls-cert", none, "--tls-key", none},
		`the trusted proxy "10.0.0.0/40" is no`:   {"--trusted-proxies", "127.0.0.1,10.0.0.0/40"},
	} {
		_, stderr, code := run(append([]string{"manager", "--bootstrap", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0"}, args...)...)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, want)
	}
}
