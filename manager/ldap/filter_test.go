package ldap_test

import (
	"context"
	"fmt"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	kioscldap "kiosc/manager/ldap"
)

func TestFiltersOfTheSettings(t *testing.T) {
	for filter, want := range map[string]string{
		"(uid=%(user)s)": `(uid=a\29\28b)`,
		"uid=%(user)s":   `(uid=a\29\28b)`,
		"(&(objectClass=person)(|(uid=%(user)s)(mail=%(user)s@example.org)))": `(&(objectClass=person)(|(uid=a\29\28b)(mail=a\29\28b@example.org)))`,
		"(&(uid=%(user)s)(description=100%%))":                                `(&(uid=a\29\28b)(description=100%))`,
		"(uid:caseExactMatch:=%(user)s)":                                      `(uid:caseExactMatch:=a\29\28b)`,
		"(!(uid=%(user)s))":                                                   `(!(uid=a\29\28b))`,
	} {
		got, err := kioscldap.Expand(filter, "a)(b")
		require.NoError(t, err, filter)
		require.Equal(t, want, got)
	}
	for filter, why := range map[string]string{
		"(uid=alice)":                              "%(user)s",
		"(uid=%(user)s":                            "no LDAP filter",
		"(uid=%(user)s))(x=y":                      "no LDAP filter",
		"(uid=%s)":                                 "a % that is neither",
		"(uid=%(name)s)":                           "a % that is neither",
		"(uid=%(user)s*)":                          "compared with",
		"(%(user)s=alice)":                         "compared with",
		"(uid>=%(user)s)":                          "compared with",
		"(uid=%(user)s%(user)s)":                   "compared with",
		"(:dn:%(user)s:=x)":                        "compared with",
		"(uid=kiosc-value-of-user)":                "%(user)s",
		"(&(a=kiosc-value-of-user)(uid=%(user)s))": "must not contain",
		"": "%(user)s",
	} {
		_, err := kioscldap.Expand(filter, "alice")
		require.ErrorContains(t, err, why, filter)
	}
}

// FuzzFilter fills in anything and compares what a directory gets with the one comparison that it is meant to be.
func FuzzFilter(f *testing.F) {
	for _, name := range []string{"alice", "*", "a*b", ")(uid=*", `\2a`, `\`, "a\x00b", "Zoë", "\xff\xfe", "(|(a=b))", "%(user)s", "%", " x ", ""} {
		f.Add(name)
	}
	const filter = "(&(objectClass=person)(|(uid=%(user)s)(cn:caseExactMatch:=%(user)s)(mail=%(user)s@x)))"
	f.Fuzz(func(t *testing.T, name string) {
		text, err := kioscldap.Expand(filter, name)
		require.NoError(t, err)
		packet, err := ldap.CompileFilter(text)
		require.NoError(t, err)
		require.EqualValues(t, ldap.FilterAnd, packet.Tag)
		require.Len(t, packet.Children, 2)
		or := packet.Children[1]
		require.EqualValues(t, ldap.FilterOr, or.Tag)
		require.Len(t, or.Children, 3)
		uid, cn, mail := or.Children[0], or.Children[1], or.Children[2]
		require.EqualValues(t, ldap.FilterEqualityMatch, uid.Tag)
		require.Equal(t, "uid", uid.Children[0].Data.String())
		require.Equal(t, name, uid.Children[1].Data.String())
		require.EqualValues(t, ldap.FilterExtensibleMatch, cn.Tag)
		require.Equal(t, name, cn.Children[len(cn.Children)-1].Data.String())
		require.EqualValues(t, ldap.FilterEqualityMatch, mail.Tag)
		require.Equal(t, name+"@x", mail.Children[1].Data.String())
	})
}

// FuzzSettings reads any filter of the settings; one that is taken has what is filled in as values only.
func FuzzSettings(f *testing.F) {
	for _, filter := range []string{"(uid=%(user)s)", "(&(a=b)(c=%(user)s))", "%(user)s", "((%(user)s", "(a=%(user)s*)", "(a:dn:=%(user)s)", `(a=\%(user)s)`} {
		f.Add(filter)
	}
	f.Fuzz(func(t *testing.T, filter string) {
		plain, err := kioscldap.Expand(filter, "alice")
		if err != nil {
			return
		}
		nasty, err := kioscldap.Expand(filter, `*)(|(x=\00`)
		require.NoError(t, err)
		one, err := ldap.CompileFilter(plain)
		require.NoError(t, err, plain)
		two, err := ldap.CompileFilter(nasty)
		require.NoError(t, err, nasty)
		require.Equal(t, shape(one), shape(two))
	})
}

// shape is what a filter consists of, without the values.
func shape(p *ber.Packet) string {
	s := fmt.Sprint(p.Tag, "[")
	if p.Tag != ldap.FilterEqualityMatch && p.Tag != ldap.FilterExtensibleMatch {
		for _, child := range p.Children {
			s += shape(child)
		}
	}
	return s + "]"
}

func TestNamesOfAccounts(t *testing.T) {
	plain, domain := testConfig(""), testConfig("acme")
	for _, c := range []struct {
		cfg         kioscldap.Config
		login, want string
	}{
		{plain, "Alice", "alice"}, {plain, "alice@ACME", ""}, {plain, "alice@", ""}, {plain, "@", ""}, {plain, "", ""},
		{domain, "Alice@acme", "alice@ACME"}, {domain, "alice@ACME", "alice@ACME"}, {domain, "a@b@AcMe", "a@b@ACME"},
		{domain, "alice", ""}, {domain, "alice@ACME2", ""}, {domain, "@ACME", ""}, {domain, "Zoë@acme", "zoë@ACME"},
	} {
		d, err := kioscldap.New(c.cfg, logger(t))
		require.NoError(t, err)
		defer d.Close()
		account, ok := d.Account(c.login)
		require.Equal(t, c.want, account, c.login)
		require.Equal(t, c.want != "", ok, c.login)
	}
}

func TestNoPasswordAsksNobody(t *testing.T) {
	cfg := testConfig("ACME")
	cfg.URIs = []string{"ldap://127.0.0.1:1"} // would be an error of the network
	d, err := kioscldap.New(cfg, logger(t))
	require.NoError(t, err)
	defer d.Close()
	_, err = d.Login(context.Background(), "alice@ACME", "")
	require.ErrorIs(t, err, kioscldap.ErrRefused)
	_, err = d.Login(context.Background(), "alice@OTHER", "x")
	require.ErrorIs(t, err, kioscldap.ErrRefused)
	_, err = d.Login(context.Background(), "alice@ACME", "x")
	require.NotErrorIs(t, err, kioscldap.ErrRefused)
}

func TestNormalDN(t *testing.T) {
	for in, want := range map[string]string{
		"CN=Staff, OU=Groups,DC=Example,DC=org": "cn=staff,ou=groups,dc=example,dc=org",
		`cn=A\2c B,dc=x`:                        `cn=a\, b,dc=x`,
		`CN=Müller\, Zoë,dc=x`:                  `cn=m\c3\bcller\, zo\c3\ab,dc=x`,
		"b=2+A=1,dc=x":                          "a=1+b=2,dc=x",
	} {
		got, err := kioscldap.NormalDN(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got)
	}
	for _, bad := range []string{"", " ", "staff", "cn", "cn=a,,dc=b"} {
		_, err := kioscldap.NormalDN(bad)
		require.Error(t, err, bad)
	}
}
