package ldap

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
)

// Config is one directory's settings, named as those of the original without their prefix.
type Config struct {
	// Prefix is how the settings are called where one is wrong: AUTH_LDAP_ or AUTH_LDAP2_.
	Prefix string
	// URIs are the servers, ldap:// or ldaps://, tried in this order.
	URIs []string
	// BindDN and BindPassword are for searches; both empty to search as nobody.
	BindDN, BindPassword string
	SearchBase           string
	// UserFilter has %(user)s for the name; empty for (sAMAccountName=%(user)s).
	UserFilter string
	// Domain is empty for people who log in with a plain name.
	Domain string
	// Printable is how the domain is shown; empty for Domain.
	Printable string
	StartTLS  bool
	// CAFile is a PEM file with the CAs that may have signed the server's certificate; empty for those of the system.
	CAFile string
	// AllowPlain lets passwords go without TLS to other machines.
	AllowPlain bool
	// GroupSearchBase is below which groups are looked for by GroupFilter; empty for those in memberOf alone. GroupFilter has
	// %(dn)s for the person's DN and %(user)s for the name; empty for the usual kinds of groups.
	GroupSearchBase, GroupFilter string
	// Timeout bounds each step: connecting, and each exchange; 0 for five seconds.
	Timeout time.Duration
}

const (
	defaultUserFilter  = "(sAMAccountName=%(user)s)"
	defaultGroupFilter = "(|(member=%(dn)s)(uniqueMember=%(dn)s)(memberUid=%(user)s))"
	defaultTimeout     = 5 * time.Second
)

// configure checks the settings and fills in what follows from them.
func (d *Directory) configure() (err error) {
	c := &d.cfg
	bad := func(name, format string, args ...any) error { return fmt.Errorf(c.Prefix+name+" "+format, args...) }
	c.Domain = strings.ToUpper(strings.TrimSpace(c.Domain))
	c.Printable = strings.TrimSpace(c.Printable)
	if c.Printable == "" {
		c.Printable = c.Domain
	}
	if c.UserFilter == "" {
		c.UserFilter = defaultUserFilter
	}
	if c.GroupFilter == "" {
		c.GroupFilter = defaultGroupFilter
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	switch {
	case strings.ContainsFunc(c.Domain, func(r rune) bool { return r == '@' || unicode.IsSpace(r) || unicode.IsControl(r) }):
		return bad("USERNAME_DOMAIN", "is what stands behind the @ in a user name, such as EXAMPLE, and can hold neither an @ nor a space")
	case (c.BindDN == "") != (c.BindPassword == ""):
		return bad("BIND_DN", "and %sBIND_PASSWORD go together; set both, or none of them to search as nobody", c.Prefix)
	case c.SearchBase == "":
		return bad("USER_SEARCH_BASE", "is missing: the DN below which people are, such as ou=people,dc=example,dc=org")
	case c.Timeout < 0:
		return errors.New("the time limit of a directory can't be negative")
	}
	for name, dn := range map[string]string{"BIND_DN": c.BindDN, "USER_SEARCH_BASE": c.SearchBase, "GROUP_SEARCH_BASE": c.GroupSearchBase} {
		// Active Directory also takes a name such as kiosc@example.org to bind with.
		if _, err := NormalDN(dn); err != nil && dn != "" && name != "BIND_DN" {
			return bad(name, "is not valid: %w", err)
		}
	}
	if d.user, err = parseFilter(c.UserFilter, wordUser); err != nil {
		return bad("USER_FILTER", "%w", err)
	}
	for _, o := range d.user.operands {
		if o.attribute == "" {
			return bad("USER_FILTER", "must name the attribute that %%(user)s is compared with")
		}
	}
	if c.GroupSearchBase != "" {
		group, err := parseFilter(c.GroupFilter, wordDN, wordUser)
		if err != nil {
			return bad("GROUP_FILTER", "%w", err)
		}
		d.group = &group
	}
	return d.configureServers(bad)
}

func (d *Directory) configureServers(bad func(name, format string, args ...any) error) error {
	c := d.cfg
	if len(c.URIs) == 0 {
		return bad("SERVER_URI", "is missing: the directory's address, such as ldaps://ldap.example.org")
	}
	cas, err := loadCAs(c.CAFile)
	if err != nil {
		return bad("CA_CERT_FILE", "%w", err)
	}
	d.servers = servers{timeout: c.Timeout, good: new(atomic.Int32)}
	for _, uri := range c.URIs {
		u, err := url.Parse(uri)
		if err != nil || u.Hostname() == "" || u.Scheme != "ldap" && u.Scheme != "ldaps" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return bad("SERVER_URI", "is an address such as ldaps://ldap.example.org or ldap://ldap.example.org:389, or several with spaces between them")
		}
		s := server{direct: u.Scheme == "ldaps", startTLS: c.StartTLS,
			tls: &tls.Config{ServerName: u.Hostname(), RootCAs: cas, MinVersion: tls.VersionTLS12}}
		switch {
		case s.direct && s.startTLS:
			return bad("START_TLS", "does not go with ldaps://, which speaks TLS anyway; unset it, or use ldap://")
		case !s.direct && !s.startTLS && !c.AllowPlain && !loopback(u.Hostname()):
			return bad("SERVER_URI", "would send passwords over the network without TLS; use ldaps://, or set %[1]sSTART_TLS=true, or, if that is what you want, %[1]sALLOW_PLAIN=true", c.Prefix)
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"ldap": "389", "ldaps": "636"}[u.Scheme]
		}
		s.address = net.JoinHostPort(u.Hostname(), port)
		d.servers.all = append(d.servers.all, s)
	}
	return nil
}

// loopback tells whether a host is this machine.
func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}

// loadCAs reads the certificates of CAs; nil, for those of the system, where there is no file.
func loadCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("can't be read: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("has no certificate in it: %s is no PEM file of CAs", file)
	}
	return pool, nil
}
