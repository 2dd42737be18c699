package ldap_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	kioscldap "kiosc/manager/ldap"
)

func logger(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

func testConfig(domain string) kioscldap.Config {
	return kioscldap.Config{Prefix: "AUTH_LDAP_", URIs: []string{"ldaps://ldap.example.org"}, SearchBase: "ou=people,dc=example,dc=org", Domain: domain}
}

func TestSettings(t *testing.T) {
	pem := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(pem, []byte("no certificate"), 0o600))
	for why, change := range map[string]func(c *kioscldap.Config){
		"AUTH_LDAP_SERVER_URI is missing":        func(c *kioscldap.Config) { c.URIs = nil },
		"AUTH_LDAP_SERVER_URI is an address":     func(c *kioscldap.Config) { c.URIs = []string{"https://ldap.example.org"} },
		"AUTH_LDAP_SERVER_URI would send":        func(c *kioscldap.Config) { c.URIs = []string{"ldap://ldap.example.org"} },
		"AUTH_LDAP_START_TLS does not go":        func(c *kioscldap.Config) { c.StartTLS = true },
		"AUTH_LDAP_USER_SEARCH_BASE is missing":  func(c *kioscldap.Config) { c.SearchBase = "" },
		"AUTH_LDAP_USER_SEARCH_BASE is not":      func(c *kioscldap.Config) { c.SearchBase = "people" },
		"AUTH_LDAP_GROUP_SEARCH_BASE is not":     func(c *kioscldap.Config) { c.GroupSearchBase = "groups" },
		"AUTH_LDAP_USER_FILTER has no %(user)s":  func(c *kioscldap.Config) { c.UserFilter = "(uid=alice)" },
		"AUTH_LDAP_USER_FILTER must name":        func(c *kioscldap.Config) { c.UserFilter = "(:caseExactMatch:=%(user)s)" },
		"AUTH_LDAP_GROUP_FILTER has a %":         func(c *kioscldap.Config) { c.GroupSearchBase, c.GroupFilter = "dc=x", "(member=%(who)s)" },
		"AUTH_LDAP_BIND_DN and AUTH_LDAP_BIND_P": func(c *kioscldap.Config) { c.BindDN = "cn=kiosc" },
		"AUTH_LDAP_USERNAME_DOMAIN is what":      func(c *kioscldap.Config) { c.Domain = "@ACME" },
		"AUTH_LDAP_CA_CERT_FILE can't be read":   func(c *kioscldap.Config) { c.CAFile = pem + "x" },
		"AUTH_LDAP_CA_CERT_FILE has no":          func(c *kioscldap.Config) { c.CAFile = pem },
	} {
		cfg := testConfig("ACME")
		change(&cfg)
		_, err := kioscldap.New(cfg, logger(t))
		require.ErrorContains(t, err, why)
	}
	for _, change := range []func(c *kioscldap.Config){
		func(c *kioscldap.Config) {},
		func(c *kioscldap.Config) { c.URIs, c.StartTLS = []string{"ldap://ldap.example.org"}, true },
		func(c *kioscldap.Config) { c.URIs, c.AllowPlain = []string{"ldap://ldap.example.org:389/"}, true },
		func(c *kioscldap.Config) { c.URIs = []string{"ldap://localhost", "ldap://[::1]:3389"} },
		func(c *kioscldap.Config) { c.BindDN, c.BindPassword = "kiosc@example.org", "secret" },
	} {
		cfg := testConfig(" acme ")
		change(&cfg)
		d, err := kioscldap.New(cfg, logger(t))
		require.NoError(t, err)
		require.Equal(t, "ACME", d.Domain())
		require.Equal(t, "ACME", d.Printable())
		d.Close()
	}
}

// silent accepts connections and never answers. It counts nothing and keeps all open until the test ends.
func silent(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(io.Discard, c)
			t.Cleanup(func() { c.Close() })
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

func TestSilentServers(t *testing.T) {
	addr := silent(t)
	for name, change := range map[string]func(c *kioscldap.Config){
		"plain":    func(c *kioscldap.Config) { c.URIs = []string{"ldap://" + addr} },
		"StartTLS": func(c *kioscldap.Config) { c.URIs, c.StartTLS = []string{"ldap://" + addr}, true },
		"LDAPS":    func(c *kioscldap.Config) { c.URIs = []string{"ldaps://" + addr} },
		"bound": func(c *kioscldap.Config) {
			c.URIs, c.BindDN, c.BindPassword = []string{"ldap://" + addr}, "cn=kiosc", "kiosc-secret"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig("ACME")
			cfg.Timeout = 100 * time.Millisecond
			change(&cfg)
			d, err := kioscldap.New(cfg, logger(t))
			require.NoError(t, err)
			defer d.Close()
			began := time.Now()
			_, err = d.Login(context.Background(), "alice@ACME", "alice-secret")
			require.Error(t, err)
			require.NotErrorIs(t, err, kioscldap.ErrRefused)
			require.NotContains(t, err.Error(), "secret")
			_, err = d.Find(context.Background(), "alice@ACME")
			require.Error(t, err)
			require.NotErrorIs(t, err, kioscldap.ErrNoSuchUser)
			require.Less(t, time.Since(began), 5*time.Second)
			ended, cancel := context.WithCancel(context.Background())
			cancel()
			_, err = d.Login(ended, "alice@ACME", "x")
			require.ErrorIs(t, err, context.Canceled)
		})
	}
}

// TestTLSThatNeverBegins has a server that agrees to StartTLS and says nothing more.
func TestTLSThatNeverBegins(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 256)
		c.Read(buf)
		// ExtendedResponse to message 1: success.
		c.Write([]byte{0x30, 0x0c, 0x02, 0x01, 0x01, 0x78, 0x07, 0x0a, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00})
		io.Copy(io.Discard, c)
	}()
	cfg := testConfig("ACME")
	cfg.URIs, cfg.StartTLS, cfg.Timeout = []string{"ldap://" + l.Addr().String()}, true, 200*time.Millisecond
	d, err := kioscldap.New(cfg, logger(t))
	require.NoError(t, err)
	defer d.Close()
	began := time.Now()
	_, err = d.Find(context.Background(), "alice@ACME")
	require.ErrorContains(t, err, "StartTLS")
	require.Less(t, time.Since(began), 5*time.Second)
	l.Close()
	<-done
}
