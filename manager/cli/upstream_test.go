package cli

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"kiosc/manager/service"
)

// upstreamSettings reads the settings from arguments and variables.
func upstreamSettings(t *testing.T, variables map[string]string, args ...string) (service.UpstreamSettings, error) {
	t.Helper()
	var f upstreamFlags
	cmd := &cobra.Command{}
	f.add(cmd)
	f.fromVariable = func(name string) string { return variables[name] }
	require.NoError(t, cmd.ParseFlags(args))
	return f.settings()
}

func TestUpstreamSettings(t *testing.T) {
	set, err := upstreamSettings(t, nil)
	require.NoError(t, err)
	require.Equal(t, service.UpstreamSettings{Interval: 5 * time.Minute, DefaultAdmin: "admin"}, set)

	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("the-secret\n"), 0o600))
	set, err = upstreamSettings(t, nil, "--site-mode", "target", "--target-sync", "--target-sync-interval", "1", "--target-create=false",
		"--default-admin", "root", "--upstream-url", "https://sodar.example.org/", "--upstream-secret-file", secret)
	require.NoError(t, err)
	require.Equal(t, service.UpstreamSettings{Target: true, Enable: true, Interval: time.Minute, NoCreate: true, DefaultAdmin: "root",
		URL: "https://sodar.example.org", Secret: "the-secret"}, set)

	for want, args := range map[string][]string{
		"give SOURCE or TARGET": {"--site-mode", "BOTH"},
		"1 to 10080 minutes":    {"--target-sync-interval", "0"},
		"go together":           {"--upstream-url", "https://sodar.example.org"},
		"without TLS":           {"--upstream-url", "http://sodar.example.org", "--upstream-secret-file", secret},
		"can't be read":         {"--upstream-ca-file", "/nowhere"},
		"no certificate in it":  {"--upstream-ca-file", secret},
	} {
		_, err := upstreamSettings(t, nil, args...)
		require.ErrorContains(t, err, want)
	}
	given := map[string]string{secretVariable: "s"}
	_, err = upstreamSettings(t, given, "--upstream-url", "https://sodar.example.org", "--upstream-secret-file", secret)
	require.ErrorContains(t, err, "given twice")
	set, err = upstreamSettings(t, given, "--upstream-url", "http://sodar.example.org", "--upstream-allow-plain")
	require.NoError(t, err)
	require.Equal(t, "s", set.Secret)
}
