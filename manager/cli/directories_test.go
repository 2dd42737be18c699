package cli_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/manager"
	"kiosc/manager/cli"
	"kiosc/manager/ldap"
	"kiosc/manager/service"
)

// both are the settings of two directories, as in the original's manual.
const both = `ENABLE_LDAP=True
AUTH_LDAP_SERVER_URI=ldaps://one.example.org ldaps://two.example.org
AUTH_LDAP_BIND_DN=cn=kiosc,dc=acme,dc=test
AUTH_LDAP_BIND_PASSWORD= secret with blanks 
AUTH_LDAP_USER_SEARCH_BASE=ou=people,dc=acme,dc=test
AUTH_LDAP_USERNAME_DOMAIN=ACME
AUTH_LDAP_DOMAIN_PRINTABLE=Acme Institute
KIOSC_LDAP_GROUP_ROLES=[{"group": "CN=Mice, OU=Groups,dc=acme,dc=test", "project": "Lab / Mice", "role": "contributor"}]
KIOSC_LDAP_SUPERUSER_GROUP=cn=Chiefs,dc=acme,dc=test
ENABLE_LDAP_SECONDARY=1
AUTH_LDAP2_SERVER_URI=ldap://ldap.example.net
AUTH_LDAP2_START_TLS=yes
AUTH_LDAP2_CA_CERT_FILE=/etc/ca.pem
AUTH_LDAP2_BIND_DN=kiosc
AUTH_LDAP2_BIND_PASSWORD=x
AUTH_LDAP2_USER_FILTER=(uid=%(user)s)
AUTH_LDAP2_USER_SEARCH_BASE=dc=other
AUTH_LDAP2_USERNAME_DOMAIN=OTHER
AUTH_LDAP2_GROUP_SEARCH_BASE=ou=groups,dc=other
AUTH_LDAP2_GROUP_FILTER=(member=%(dn)s)
AUTH_LDAP2_ALLOW_PLAIN=no
AUTH_LDAP2_TIMEOUT=2s`

// lookup answers as an environment with these lines, of which the later ones win.
func lookup(lines string) func(string) (string, bool) {
	return func(name string) (value string, ok bool) {
		for _, line := range strings.Split(lines, "\n") {
			if before, after, _ := strings.Cut(line, "="); before == name {
				value, ok = after, true
			}
		}
		return value, ok
	}
}

func TestSettingsOfDirectories(t *testing.T) {
	got, err := cli.Directories(lookup(both))
	require.NoError(t, err)
	require.Equal(t, []manager.DirectoryConfig{{
		LDAP: ldap.Config{Prefix: "AUTH_LDAP_", URIs: []string{"ldaps://one.example.org", "ldaps://two.example.org"},
			BindDN: "cn=kiosc,dc=acme,dc=test", BindPassword: " secret with blanks ", SearchBase: "ou=people,dc=acme,dc=test",
			Domain: "ACME", Printable: "Acme Institute"},
		Rules: service.GroupRules{Superuser: "cn=chiefs,dc=acme,dc=test", Roles: []service.GroupRule{
			{Group: "cn=mice,ou=groups,dc=acme,dc=test", Project: "Lab / Mice", Role: "project contributor"}}},
	}, {
		LDAP: ldap.Config{Prefix: "AUTH_LDAP2_", URIs: []string{"ldap://ldap.example.net"}, StartTLS: true, CAFile: "/etc/ca.pem",
			BindDN: "kiosc", BindPassword: "x", UserFilter: "(uid=%(user)s)", SearchBase: "dc=other", Domain: "OTHER",
			GroupSearchBase: "ou=groups,dc=other", GroupFilter: "(member=%(dn)s)", Timeout: 2 * time.Second},
	}}, got)
	none, err := cli.Directories(lookup(both + "\nENABLE_LDAP=false\nENABLE_LDAP_SECONDARY="))
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestMistakesInTheSettingsOfDirectories(t *testing.T) {
	for line, want := range map[string]string{
		"ENABLE_LDAP=maybe":           "ENABLE_LDAP is either true or false",
		"ENABLE_LDAP=false":           "ENABLE_LDAP_SECONDARY needs ENABLE_LDAP",
		"AUTH_LDAP2_START_TLS=2":      "AUTH_LDAP2_START_TLS is either",
		"AUTH_LDAP2_USERNAME_DOMAIN=": "AUTH_LDAP2_USERNAME_DOMAIN is missing",
		"AUTH_LDAP_TIMEOUT=5":         "AUTH_LDAP_TIMEOUT is a time",
		"KIOSC_LDAP_GROUP_ROLES={}":   "KIOSC_LDAP_GROUP_ROLES is not of the form",
		`KIOSC_LDAP_GROUP_ROLES=[{"group": "dc=x", "project": "p", "rol": "guest"}]`:   "unknown field",
		`KIOSC_LDAP_GROUP_ROLES=[{"group": "dc=x", "role": "guest"}]`:                  "without a project",
		`KIOSC_LDAP_GROUP_ROLES=[{"group": "mice", "project": "p", "role": "guest"}]`:  "no DN",
		`KIOSC_LDAP_GROUP_ROLES=[{"group": "dc=x", "project": "p", "role": "owner"}]`:  `the role "project owner"`,
		`KIOSC_LDAP_GROUP_ROLES=[{"group": "dc=x", "project": "p", "role": "guest"}]]`: "behind its end",
		"KIOSC_LDAP2_SUPERUSER_GROUP=chiefs":                                           "KIOSC_LDAP2_SUPERUSER_GROUP is not valid",
	} {
		_, err := cli.Directories(lookup(both + "\n" + line))
		require.ErrorContains(t, err, want)
	}
}

func TestAManagerRefusesWrongDirectories(t *testing.T) {
	for _, line := range strings.Split(both, "\n") {
		name, value, _ := strings.Cut(line, "=")
		t.Setenv(name, value)
	}
	start := func() string {
		_, stderr, code := run("manager", "--bootstrap", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0")
		require.Equal(t, 1, code)
		require.NotContains(t, stderr, "secret")
		return stderr
	}
	require.Contains(t, start(), "AUTH_LDAP2_CA_CERT_FILE can't be read")
	t.Setenv("AUTH_LDAP2_CA_CERT_FILE", "")
	t.Setenv("AUTH_LDAP2_USERNAME_DOMAIN", "acme")
	require.Contains(t, start(), "AUTH_LDAP2_USERNAME_DOMAIN must differ")
	t.Setenv("AUTH_LDAP_USER_FILTER", "(uid=%s)")
	require.Contains(t, start(), "AUTH_LDAP_USER_FILTER has a %")
}
