//go:build e2e

package ldap_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
	kioscldap "kiosc/manager/ldap"
)

const aliceSecret = `p(*)\ä, "x" ` + "\u00a0"

// directory is a Directory at a real slapd, with what it logs.
type directory struct {
	*kioscldap.Directory
	testing.TB
	log *bytes.Buffer
}

func configFor(s *testbed.Slapd) kioscldap.Config {
	return kioscldap.Config{Prefix: "AUTH_LDAP_", URIs: []string{s.TLS}, CAFile: s.CA, BindDN: s.BindDN, BindPassword: testbed.SlapdBindPassword,
		SearchBase: s.People, Domain: "ACME"}
}

func open(t testing.TB, cfg kioscldap.Config) directory {
	var log bytes.Buffer
	d, err := kioscldap.New(cfg, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	require.NoError(t, err)
	t.Cleanup(d.Close)
	return directory{d, t, &log}
}

func (d directory) login(account, password string) (kioscldap.Person, error) {
	d.Helper()
	p, err := d.Login(context.Background(), account, password)
	require.NotContains(d, d.log.String()+fmt.Sprint(err), testbed.SlapdBindPassword)
	require.NotContains(d, d.log.String()+fmt.Sprint(err), aliceSecret)
	return p, err
}

func (d directory) find(account string) (kioscldap.Person, error) {
	return d.Find(context.Background(), account)
}

// down says that nobody has judged the password.
func down(t testing.TB, err error, why string) {
	t.Helper()
	require.ErrorContains(t, err, why)
	require.NotErrorIs(t, err, kioscldap.ErrRefused)
	require.NotErrorIs(t, err, kioscldap.ErrNoSuchUser)
}

func TestLogin(t *testing.T) {
	s := testbed.StartSlapd(t, "acme")
	alice := s.AddPerson("Alice_K", aliceSecret, map[string][]string{"givenName": {"Alice"}, "sn": {"Adams"}, "mail": {"alice@acme.test"}})
	s.AddPerson("erin", "erin", nil)
	staff, chiefs := s.AddGroup("Staff, all", alice), s.AddGroup("chiefs", alice)
	for name, cfg := range map[string]kioscldap.Config{"LDAPS": configFor(s), "StartTLS": configFor(s), "plain on loopback": configFor(s)} {
		t.Run(name, func(t *testing.T) {
			if name != "LDAPS" {
				cfg.URIs = []string{s.Plain}
			}
			cfg.StartTLS = name == "StartTLS"
			d := open(t, cfg)
			p, err := d.login("alice_k@ACME", aliceSecret)
			require.NoError(t, err)
			one, _ := kioscldap.NormalDN(staff)
			two, _ := kioscldap.NormalDN(chiefs)
			require.Equal(t, kioscldap.Person{Account: "alice_k@ACME", DN: alice, FirstName: "Alice", LastName: "Adams", Email: "alice@acme.test",
				Groups: []string{two, one}}, p)
			for account, password := range map[string]string{"alice_k@ACME": "wrong", "nobody@ACME": aliceSecret, "*@ACME": aliceSecret,
				"alice*@ACME": aliceSecret, "alice_k)(uid=*@ACME": aliceSecret, `alice\5fk@ACME`: aliceSecret, " alice_k@ACME": aliceSecret,
				"alice_k\x00@ACME": aliceSecret, "ａlice_k@ACME": aliceSecret} {
				_, err := d.login(account, password)
				require.ErrorIs(t, err, kioscldap.ErrRefused, account)
			}
			require.Contains(t, d.log.String(), "does not show the name", "what is equal to a directory isn't to Kiosc")
			for _, password := range []string{"", "\x00", aliceSecret + "\x00", strings.Repeat("x", 1<<10)} {
				_, err := d.login("alice_k@ACME", password)
				require.ErrorIs(t, err, kioscldap.ErrRefused, "%q", password)
			}
		})
	}
}

func TestOddNames(t *testing.T) {
	s := testbed.StartSlapd(t, "acme")
	d := open(t, configFor(s))
	for i, name := range []string{"zoë", "o'neil", "müller, zoë", "star*", "a(b)c", `back\slash`, "two words", "plus+equals=", "<q>;\"", "#hash", "日本"} {
		secret := fmt.Sprintf(`*()\ %s %d`, name, i)
		dn := s.AddPerson(name, secret, map[string][]string{"givenName": {"Zoë"}, "sn": {"Müller"}})
		group := s.AddGroup("group of "+name, dn)
		p, err := d.login(name+"@ACME", secret)
		require.NoError(t, err, name)
		require.Equal(t, []string{name + "@ACME", "Zoë", "Müller"}, []string{p.Account, p.FirstName, p.LastName})
		want, err := kioscldap.NormalDN(group)
		require.NoError(t, err)
		require.Equal(t, []string{want}, p.Groups)
		_, err = d.login(name+"@ACME", secret+"x")
		require.ErrorIs(t, err, kioscldap.ErrRefused, name)
		p, err = d.find(name + "@ACME")
		require.NoError(t, err)
		require.Equal(t, []string{want}, p.Groups)
	}
}

func TestGroupsBySearch(t *testing.T) {
	s := testbed.StartSlapd(t, "acme")
	alice := s.AddPerson("alice", "alice", nil)
	s.AddPerson("a)(b", "odd", map[string][]string{"cn": {"x"}})
	cfg := configFor(s)
	cfg.GroupSearchBase = s.Groups
	s.Add("cn=unix,"+s.Groups, map[string][]string{"objectClass": {"posixGroup"}, "cn": {"unix"}, "gidNumber": {"1000"}, "memberUid": {"alice", "a)(b"}})
	s.Add("cn=unique,"+s.Groups, map[string][]string{"objectClass": {"groupOfUniqueNames"}, "cn": {"unique"}, "uniqueMember": {alice}})
	s.AddGroup("both", alice)
	d := open(t, cfg)
	p, err := d.login("alice@ACME", "alice")
	require.NoError(t, err)
	require.Equal(t, []string{"cn=both," + s.Groups, "cn=unique," + s.Groups, "cn=unix," + s.Groups}, p.Groups)
	p, err = d.login("a)(b@ACME", "odd")
	require.NoError(t, err)
	require.Equal(t, []string{"cn=unix," + s.Groups}, p.Groups)

	s.Delete("cn=both," + s.Groups)
	s.Set("cn=unix,"+s.Groups, "memberUid", "a)(b")
	p, err = d.find("alice@ACME")
	require.NoError(t, err)
	require.Equal(t, []string{"cn=unique," + s.Groups}, p.Groups)

	cfg.GroupSearchBase = "ou=gone," + s.Base
	_, err = open(t, cfg).login("alice@ACME", "alice")
	down(t, err, "reading the groups")
}

func TestMoreThanOneEntry(t *testing.T) {
	s := testbed.StartSlapd(t, "acme")
	for _, name := range []string{"one", "two", "three"} {
		s.AddPerson(name, "same", map[string][]string{"mail": {"shared@acme.test"}})
	}
	cfg := configFor(s)
	cfg.UserFilter = "(|(uid=%(user)s)(mail=%(user)s))"
	d := open(t, cfg)
	_, err := d.login("shared@acme.test@ACME", "same")
	require.ErrorIs(t, err, kioscldap.ErrRefused)
	require.Contains(t, d.log.String(), "more than one entry")
	_, err = d.find("shared@acme.test@ACME")
	require.ErrorIs(t, err, kioscldap.ErrUnclear)
	_, err = d.login("two@ACME", "same")
	require.NoError(t, err)
}

func TestWhoIsGone(t *testing.T) {
	s := testbed.StartSlapd(t, "acme")
	alice := s.AddPerson("alice", "alice", nil)
	cfg := configFor(s)
	cfg.Timeout = time.Second
	d := open(t, cfg)
	p, err := d.find("alice@ACME")
	require.NoError(t, err)
	require.False(t, p.Disabled)
	s.Set(alice, "userAccountControl", "514")
	p, err = d.find("alice@ACME")
	require.NoError(t, err)
	require.True(t, p.Disabled)
	_, err = d.login("alice@ACME", "alice")
	require.ErrorIs(t, err, kioscldap.ErrRefused)
	s.Set(alice, "userAccountControl", "512")
	_, err = d.login("alice@ACME", "alice")
	require.NoError(t, err)
	s.Delete(alice)
	_, err = d.find("alice@ACME")
	require.ErrorIs(t, err, kioscldap.ErrNoSuchUser)

	s.AddPerson("alice", "alice", nil)
	s.Stop()
	_, err = d.find("alice@ACME")
	down(t, err, "")
	_, err = d.login("alice@ACME", "alice")
	down(t, err, "")
	s.Run()
	_, err = d.find("alice@ACME")
	require.NoError(t, err, "the connection is made again")
	_, err = d.login("alice@ACME", "alice")
	require.NoError(t, err)

	// An account that may no longer read finds nobody.
	blind := cfg
	blind.BindDN = s.BlindDN
	_, err = open(t, blind).find("alice@ACME")
	down(t, err, "does not show the entry")
	blind.BindDN, blind.BindPassword = "", ""
	_, err = open(t, blind).find("alice@ACME")
	down(t, err, "")
	elsewhere := cfg
	elsewhere.SearchBase = "ou=gone," + s.Base
	_, err = open(t, elsewhere).find("alice@ACME")
	down(t, err, "No Such Object")
}

// TestConnectionsOutliveRestarts has idle connections that the server has closed.
func TestConnectionsOutliveRestarts(t *testing.T) {
	s := testbed.StartSlapd(t, "acme")
	s.AddPerson("alice", "alice", nil)
	d := open(t, configFor(s))
	for range 3 {
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				_, err := d.Find(context.Background(), "alice@ACME")
				require.NoError(t, err)
			})
		}
		all.Wait()
		s.Stop()
		s.Run()
	}
}

func TestWhomKioscTrusts(t *testing.T) {
	s := testbed.StartSlapd(t, "acme")
	s.AddPerson("alice", "alice", nil)
	other := filepath.Join(t.TempDir(), "other.pem")
	cert, _ := testbed.MakeCertificate(t, "localhost")
	require.NoError(t, os.WriteFile(other, cert, 0o600))
	for name, c := range map[string]struct {
		change func(c *kioscldap.Config)
		why    string
	}{
		"wrong CA by LDAPS":     {func(c *kioscldap.Config) { c.CAFile = other }, "certificate"},
		"wrong CA by StartTLS":  {func(c *kioscldap.Config) { c.CAFile, c.URIs, c.StartTLS = other, []string{s.Plain}, true }, "certificate"},
		"the system's CAs":      {func(c *kioscldap.Config) { c.CAFile = "" }, "certificate"},
		"another name":          {func(c *kioscldap.Config) { c.URIs = []string{strings.Replace(s.TLS, "localhost", "127.0.0.1", 1)} }, "certificate"},
		"wrong bind password":   {func(c *kioscldap.Config) { c.BindPassword = "wrong" }, "AUTH_LDAP_BIND_DN"},
		"wrong bind DN":         {func(c *kioscldap.Config) { c.BindDN = "cn=nobody," + s.Base }, "AUTH_LDAP_BIND_DN"},
		"TLS to the plain port": {func(c *kioscldap.Config) { c.URIs = []string{strings.Replace(s.Plain, "ldap:", "ldaps:", 1)} }, "TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configFor(s)
			c.change(&cfg)
			d := open(t, cfg)
			_, err := d.login("alice@ACME", "alice")
			down(t, err, c.why)
			require.NotContains(t, err.Error(), "wrong")
		})
	}
	both := configFor(s)
	both.URIs = []string{"ldaps://127.0.0.1:1", s.TLS}
	_, err := open(t, both).login("alice@ACME", "alice")
	require.NoError(t, err, "the second server stands in")
}
