package testbed

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// The passwords of a Slapd's two accounts that are no people.
const (
	slapdRoot = "root-password"
	// SlapdBindPassword is that of Slapd.BindDN and BlindDN.
	SlapdBindPassword = "service password (*)"
)

// slapdConfig has the classes of Active Directory that Kiosc knows; the numbers are Microsoft's. Only the service account
// may read, and nobody may see a password.
const slapdConfig = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch
  SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.99999.1.1 NAME 'activeUser' SUP top AUXILIARY MAY ( sAMAccountName $ userAccountControl ) )
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile %[1]s/pid
TLSCertificateFile %[1]s/cert.pem
TLSCertificateKeyFile %[1]s/key.pem
TLSVerifyClient never
database mdb
suffix "%[2]s"
rootdn "cn=root,%[2]s"
rootpw %[3]s
directory %[1]s/db
maxsize 67108864
dbnosync
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=kiosc,%[2]s" read by dn.exact="cn=blind,%[2]s" search by anonymous auth by * none
overlay memberof
memberof-group-oc groupOfNames
memberof-member-ad member
memberof-memberof-ad memberOf
`

// Slapd is an OpenLDAP server on this machine with a directory that is gone when the test ends. It has memberOf.
type Slapd struct {
	testing.TB
	// Base is the directory's suffix, People and Groups what is below it, BindDN an account that may read, BlindDN one to which
	// searches show nothing.
	Base, People, Groups, BindDN, BlindDN string
	// Plain is ldap:// with StartTLS, TLS is ldaps://, both by the name that is in the certificate.
	Plain, TLS string
	// CA is the PEM file of the certificate.
	CA string

	addr    string // of Plain
	dir     string
	process process
}

// StartSlapd starts one for dc=domain,dc=test.
func StartSlapd(t testing.TB, domain string) *Slapd {
	t.Helper()
	s := &Slapd{TB: t, Base: "dc=" + domain + ",dc=test", dir: t.TempDir(), addr: freeAddr(t)}
	s.People, s.Groups = "ou=people,"+s.Base, "ou=groups,"+s.Base
	s.BindDN, s.BlindDN = "cn=kiosc,"+s.Base, "cn=blind,"+s.Base
	s.Plain, s.TLS = "ldap://"+localhost(t, s.addr), "ldaps://"+localhost(t, freeAddr(t))
	s.CA = filepath.Join(s.dir, "cert.pem")
	cert, key := MakeCertificate(t, "localhost")
	config := fmt.Sprintf(slapdConfig, s.dir, s.Base, slapdRoot)
	for name, content := range map[string][]byte{"cert.pem": cert, "key.pem": key, "conf": []byte(config)} {
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, name), content, 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(s.dir, "db"), 0o700))
	s.process = process{t: t, name: "slapd", out: filepath.Join(t.TempDir(), "out")}
	t.Cleanup(s.process.kill)
	s.Run()
	s.Add(s.Base, map[string][]string{"objectClass": {"domain"}, "dc": {domain}})
	for name, dn := range map[string]string{"kiosc": s.BindDN, "blind": s.BlindDN} {
		s.Add(dn, map[string][]string{"objectClass": {"organizationalRole", "simpleSecurityObject"}, "cn": {name}, "userPassword": {SlapdBindPassword}})
	}
	s.Add(s.People, map[string][]string{"objectClass": {"organizationalUnit"}, "ou": {"people"}})
	s.Add(s.Groups, map[string][]string{"objectClass": {"organizationalUnit"}, "ou": {"groups"}})
	return s
}

func localhost(t testing.TB, addr string) string {
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	return "localhost:" + port
}

// Run starts the server, again if Stop has ended it.
func (s *Slapd) Run() {
	s.Helper()
	s.process.start(exec.Command("/usr/sbin/slapd", "-d", "0", "-f", filepath.Join(s.dir, "conf"), "-h", s.Plain+"/ "+s.TLS+"/"))
	s.process.waitFor(func() bool {
		c, err := net.DialTimeout("tcp", s.addr, pollEvery)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// Stop ends the server; its directory stays.
func (s *Slapd) Stop() { s.process.kill() }

func (s *Slapd) do(f func(c *ldap.Conn) error) {
	s.Helper()
	c, err := ldap.DialURL("ldap://" + s.addr)
	require.NoError(s, err)
	defer c.Close()
	require.NoError(s, c.Bind("cn=root,"+s.Base, slapdRoot))
	require.NoError(s, f(c))
}

// Add adds an entry.
func (s *Slapd) Add(dn string, attributes map[string][]string) {
	s.Helper()
	r := ldap.NewAddRequest(dn, nil)
	for name, values := range attributes {
		r.Attribute(name, values)
	}
	s.do(func(c *ldap.Conn) error { return c.Add(r) })
}

// AddPerson adds somebody whose uid and sAMAccountName is name, and returns the DN.
func (s *Slapd) AddPerson(name, password string, attributes map[string][]string) (dn string) {
	s.Helper()
	all := map[string][]string{"objectClass": {"inetOrgPerson", "activeUser"}, "uid": {name}, "sAMAccountName": {name}, "cn": {name},
		"sn": {"Nobody"}, "userPassword": {password}}
	for k, v := range attributes {
		all[k] = v
	}
	dn = "uid=" + ldap.EscapeDN(name) + "," + s.People
	s.Add(dn, all)
	return dn
}

// AddGroup adds a group with members, of whom there must be one at least, and returns its DN.
func (s *Slapd) AddGroup(name string, members ...string) (dn string) {
	s.Helper()
	dn = "cn=" + ldap.EscapeDN(name) + "," + s.Groups
	s.Add(dn, map[string][]string{"objectClass": {"groupOfNames"}, "cn": {name}, "member": members})
	return dn
}

// Set replaces an attribute's values; none removes it.
func (s *Slapd) Set(dn, attribute string, values ...string) {
	s.Helper()
	r := ldap.NewModifyRequest(dn, nil)
	r.Replace(attribute, values)
	s.do(func(c *ldap.Conn) error { return c.Modify(r) })
}

// Delete removes an entry.
func (s *Slapd) Delete(dn string) {
	s.Helper()
	s.do(func(c *ldap.Conn) error { return c.Del(ldap.NewDelRequest(dn, nil)) })
}
