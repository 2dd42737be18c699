package manager_test

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
	"kiosc/manager"
	"kiosc/proxy"
)

// TestCookiesUnderTLS logs in over Kiosc's own TLS. Names with __Host- can't be set by apps on other hosts.
func TestCookiesUnderTLS(t *testing.T) {
	t.Parallel()
	cfg := config(t, "m1")
	cfg.Bootstrap = true
	cert, key := testbed.MakeCertificate(t, "kiosc.test")
	cfg.Web.CertFile, cfg.Web.KeyFile = filepath.Join(cfg.DataDir, "cert.pem"), filepath.Join(cfg.DataDir, "key.pem")
	require.NoError(t, os.WriteFile(cfg.Web.CertFile, cert, 0o600))
	require.NoError(t, os.WriteFile(cfg.Web.KeyFile, key, 0o600))
	for url, want := range map[string]string{"": "kiosc_session", "https://kiosc.test": "__Host-kiosc_session"} {
		n := start(t, withSite(t, cfg, url))
		b := newBrowser(t, n)
		b.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
		require.Eventually(t, func() bool {
			answer, _ := b.send("GET", "https://kiosc.test/readyz", nil)
			return answer.StatusCode == 200
		}, soon, 20*time.Millisecond)
		got := logInOverTLS(b)
		require.Equal(t, want, got.Name)
		require.True(t, got.Secure && got.HttpOnly)
		require.Empty(t, got.Domain)
		if url == "" {
			require.True(t, strings.HasPrefix(n.m.URL(), "https://127.0.0.1:"))
		} else {
			require.Equal(t, url, n.m.URL())
		}

		// The next login ends this one, wherever its cookie is.
		require.NoError(t, known(n, got.Value))
		next := logInOverTLS(b)
		require.Error(t, known(n, got.Value))
		require.NoError(t, known(n, next.Value))
		answer, _ := b.send("GET", "https://kiosc.test/", nil)
		require.Equal(t, 200, answer.StatusCode)
		require.NoError(t, n.end())
	}
}

func withSite(t *testing.T, cfg manager.Config, address string) manager.Config {
	if address != "" {
		var err error
		cfg.Web.Site, err = proxy.ParseSite(address)
		require.NoError(t, err)
	}
	return cfg
}

func logInOverTLS(b *browser) *http.Cookie {
	b.Helper()
	got, body := b.send("POST", "https://kiosc.test/login/", url.Values{"username": {"admin"}, "password": {password}})
	require.Equal(b, 302, got.StatusCode, body)
	require.Len(b, got.Cookies(), 1)
	return got.Cookies()[0]
}

func known(n *node, session string) error {
	_, err := n.m.Service().BySession(session)
	return err
}
