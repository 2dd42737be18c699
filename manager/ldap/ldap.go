// Package ldap asks an LDAP directory who somebody is, and whether a password is theirs.
//
// It owns the connections to a directory, the filters and what of an entry becomes a Person. It knows nothing of Kiosc's
// accounts, roles and sessions: manager/service decides what follows from an answer. It never writes to a directory, never
// follows a referral, and neither keeps nor logs a password.
//
// What must always hold:
//   - A password reaches a directory over TLS only, except on loopback or where the operator has allowed it.
//   - No bind is made with an empty password or an empty DN, which directories take for nobody and let in.
//   - What a person types becomes the value of a comparison in a filter, and nothing else of it (see filter).
//   - ErrNoSuchUser is the clear answer of a directory that works. All that is unclear is another error.
package ldap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
)

// Person is what a directory says of somebody.
type Person struct {
	// Account is the name in Kiosc: that in the directory in lower case, with @ and the domain if there is one.
	Account string
	DN      string
	// FirstName, LastName and Email are empty where the directory has none.
	FirstName, LastName, Email string
	// Groups are the DNs of the groups, each as NormalDN gives it, sorted.
	Groups []string
	// Disabled says that the directory keeps the entry and lets nobody in with it.
	Disabled bool
}

var (
	// ErrRefused is the answer of Login for a user that the directory doesn't have and for a wrong password alike.
	ErrRefused = errors.New("the directory has no such user, or the password is wrong")
	// ErrNoSuchUser says that the directory works and has no such user.
	ErrNoSuchUser = errors.New("the directory has no such user")
	// ErrUnclear says that the directory works, and that what it says of this user is of no use.
	ErrUnclear = errors.New("the directory's answer is of no use")
	// errNotOne says that what the filter finds isn't the one entry of the name.
	errNotOne = fmt.Errorf("%w: the filter finds", ErrUnclear)
)

// maxName is the longest name that is looked up, in bytes.
const maxName = 255

// steps is how often Config.Timeout a whole method may take.
const steps = 3

// Directory is one directory. Its methods may be called by many goroutines at once, and each ends within three times
// Config.Timeout.
type Directory struct {
	cfg       Config
	user      filter
	group     *filter // nil where only memberOf counts
	servers   servers
	searching *pool
	binding   chan struct{}
	logger    *slog.Logger
}

// maxBinding is how many passwords one manager has checked by one directory at a time.
const maxBinding = 8

// New checks the settings and connects to nothing yet. The error is a sentence for the operator. The caller must Close.
func New(cfg Config, logger *slog.Logger) (*Directory, error) {
	d := &Directory{cfg: cfg, logger: logger, binding: make(chan struct{}, maxBinding)}
	if err := d.configure(); err != nil {
		return nil, err
	}
	d.searching = newPool(d.open)
	return d, nil
}

// Close closes the connections. Nothing may be asked any more.
func (d *Directory) Close() { d.searching.close() }

// Domain is what stands behind the @ in the names of this directory's people, in upper case; empty for plain names.
func (d *Directory) Domain() string { return d.cfg.Domain }

// Printable is how the domain is shown to people.
func (d *Directory) Printable() string { return d.cfg.Printable }

// Account tells whether a login is for this directory to check, and the name that its account has in Kiosc.
func (d *Directory) Account(login string) (account string, ok bool) {
	user, domain := login, ""
	if at := strings.LastIndexByte(login, '@'); at >= 0 {
		user, domain = login[:at], strings.ToUpper(login[at+1:])
		if domain == "" {
			return "", false
		}
	}
	if domain != d.cfg.Domain || user == "" {
		return "", false
	}
	return d.account(user), true
}

func (d *Directory) account(user string) string {
	if d.cfg.Domain == "" {
		return strings.ToLower(user)
	}
	return strings.ToLower(user) + "@" + d.cfg.Domain
}

// name is the part of an account's name that the directory knows.
func (d *Directory) name(account string) (string, bool) {
	name, ok := account, true
	if d.cfg.Domain != "" {
		name, ok = strings.CutSuffix(account, "@"+d.cfg.Domain)
	}
	return name, ok && name != "" && len(name) <= maxName && utf8.ValidString(name)
}

// Login checks the password of an account. The error is ErrRefused where the directory says no, in about the same steps
// whether it has the user or not; any other error means that nobody has said anything of the password.
func (d *Directory) Login(ctx context.Context, account, password string) (Person, error) {
	name, ok := d.name(account)
	if !ok || password == "" {
		return Person{}, ErrRefused
	}
	ctx, cancel := context.WithTimeout(ctx, steps*d.cfg.Timeout)
	defer cancel()
	p, err := d.search(ctx, name)
	if errors.Is(err, errNotOne) {
		d.logger.Warn("a login is refused", "directory", d.label(), "user", account, "reason", err)
	} else if err != nil && !errors.Is(err, ErrNoSuchUser) {
		return Person{}, err
	}
	found := err == nil
	if !found {
		p.DN = "cn=nobody has this name,dc=invalid"
	}
	if err := d.bind(ctx, p.DN, password); err != nil || !found {
		if err == nil {
			err = ErrRefused
		}
		return Person{}, err
	}
	if p.Disabled {
		return Person{}, ErrRefused
	}
	return p, d.addGroups(ctx, name, &p)
}

// Find looks an account up. ErrNoSuchUser is only said by a directory that shows the search base.
func (d *Directory) Find(ctx context.Context, account string) (Person, error) {
	name, ok := d.name(account)
	if !ok {
		return Person{}, fmt.Errorf("%s is no name of the directory %s", account, d.label())
	}
	ctx, cancel := context.WithTimeout(ctx, steps*d.cfg.Timeout)
	defer cancel()
	p, err := d.search(ctx, name)
	if errors.Is(err, ErrNoSuchUser) {
		if err := d.showsBase(ctx); err != nil {
			return p, err
		}
	}
	if err != nil {
		return p, err
	}
	return p, d.addGroups(ctx, name, &p)
}

// What the entry of a person is read for.
const (
	attrFirst    = "givenName"
	attrLast     = "sn"
	attrMail     = "mail"
	attrMemberOf = "memberOf"
)

// search finds the one entry of a name, without its groups by search.
func (d *Directory) search(ctx context.Context, name string) (Person, error) {
	attributes := append([]string{attrFirst, attrLast, attrMail, attrMemberOf}, disabledAttributes()...)
	for _, o := range d.user.operands {
		attributes = append(attributes, o.attribute)
	}
	entries, err := d.find(ctx, &ldap.SearchRequest{BaseDN: d.cfg.SearchBase, Scope: ldap.ScopeWholeSubtree, SizeLimit: 2,
		Filter: d.user.expand(map[string]string{wordUser: name}), Attributes: attributes})
	if ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) || len(entries) > 1 {
		return Person{}, fmt.Errorf("%w more than one entry for %q", errNotOne, name)
	}
	if err != nil {
		return Person{}, err
	}
	if len(entries) == 0 {
		return Person{}, ErrNoSuchUser
	}
	e := entries[0]
	if e.DN == "" || !d.names(e, name) {
		return Person{}, fmt.Errorf("%w the entry %q, which does not show the name %q in what the filter compares", errNotOne, e.DN, name)
	}
	p := Person{Account: d.account(name), DN: e.DN, FirstName: e.GetEqualFoldAttributeValue(attrFirst), LastName: e.GetEqualFoldAttributeValue(attrLast),
		Email: e.GetEqualFoldAttributeValue(attrMail), Disabled: disabled(e)}
	for _, a := range e.Attributes {
		if strings.HasPrefix(strings.ToLower(a.Name), strings.ToLower(attrMemberOf)+";range=") {
			return Person{}, fmt.Errorf("%w: %s gives only a part of the groups of %q", ErrUnclear, d.label(), e.DN)
		}
	}
	p.Groups = e.GetEqualFoldAttributeValues(attrMemberOf)
	return p, nil
}

// names tells whether an entry has the name in one of the attributes that the filter compares with it. A directory takes
// more for equal than Kiosc does, such as other spaces and other forms of a letter; each would be an account of its own.
func (d *Directory) names(e *ldap.Entry, name string) bool {
	for _, o := range d.user.operands {
		want := strings.ToLower(o.before + name + o.after) // as in the account's name
		if slices.ContainsFunc(e.GetEqualFoldAttributeValues(o.attribute), func(v string) bool { return strings.ToLower(v) == want }) {
			return true
		}
	}
	return false
}

// maxGroups is how many groups a person may have by search.
const maxGroups = 5000

// addGroups adds the groups that name the person as a member, and brings all into one form.
func (d *Directory) addGroups(ctx context.Context, name string, p *Person) error {
	if d.group != nil {
		entries, err := d.find(ctx, &ldap.SearchRequest{BaseDN: d.cfg.GroupSearchBase, Scope: ldap.ScopeWholeSubtree, SizeLimit: maxGroups,
			Filter: d.group.expand(map[string]string{wordUser: name, wordDN: p.DN}), Attributes: []string{"1.1"}})
		if err != nil {
			return fmt.Errorf("reading the groups of %q: %w", p.DN, err)
		}
		for _, e := range entries {
			p.Groups = append(p.Groups, e.DN)
		}
	}
	for i, g := range p.Groups {
		// One that is no DN stays as it is. It is no group of any setting, which are all DNs.
		if dn, err := NormalDN(g); err == nil {
			p.Groups[i] = dn
		}
	}
	slices.Sort(p.Groups)
	p.Groups = slices.Compact(p.Groups)
	return nil
}

// showsBase fails where the search base can't be read. A directory that has taken this right from Kiosc's account, or was
// set up anew and empty, has no such user either.
func (d *Directory) showsBase(ctx context.Context) error {
	entries, err := d.find(ctx, &ldap.SearchRequest{BaseDN: d.cfg.SearchBase, Scope: ldap.ScopeBaseObject, SizeLimit: 1,
		Filter: "(objectClass=*)", Attributes: []string{"1.1"}})
	if err == nil && len(entries) != 1 {
		err = fmt.Errorf("the directory %s does not show the entry %q of %sUSER_SEARCH_BASE", d.label(), d.cfg.SearchBase, d.cfg.Prefix)
	}
	return err
}

// find runs a search as Kiosc's account. References to other directories are left out.
func (d *Directory) find(ctx context.Context, r *ldap.SearchRequest) (entries []*ldap.Entry, err error) {
	r.TimeLimit = max(1, int(d.cfg.Timeout/time.Second))
	err = d.searching.with(ctx, func(c *conn) error {
		return c.do(ctx, func(l *ldap.Conn) error {
			found, err := l.Search(r)
			if found != nil {
				entries = found.Entries
			}
			return err
		})
	})
	if err != nil {
		return entries, fmt.Errorf("asking the directory %s: %w", d.label(), err)
	}
	return entries, nil
}

// refusals are the results of a bind that say that it is the password, or the account, which isn't taken.
var refusals = []uint16{ldap.LDAPResultInvalidCredentials, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInappropriateAuthentication,
	ldap.LDAPResultConstraintViolation, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultUnwillingToPerform,
	ldap.LDAPResultInvalidDNSyntax}

// bind checks a password on a connection of its own, which is closed then.
func (d *Directory) bind(ctx context.Context, dn, password string) error {
	select {
	case d.binding <- struct{}{}:
		defer func() { <-d.binding }()
	case <-ctx.Done():
		return fmt.Errorf("waiting to ask the directory %s: %w", d.label(), ctx.Err())
	}
	c, err := d.servers.dial(ctx)
	if err != nil {
		return fmt.Errorf("reaching the directory %s: %w", d.label(), err)
	}
	defer c.close()
	err = c.do(ctx, func(l *ldap.Conn) error { return l.Bind(dn, password) })
	for _, code := range refusals {
		if ldap.IsErrorWithCode(err, code) {
			d.logger.Info("the directory refuses a login", "directory", d.label(), "dn", dn, "reason", err)
			return ErrRefused
		}
	}
	if err != nil {
		return fmt.Errorf("checking a password with the directory %s: %w", d.label(), err)
	}
	return nil
}

// open makes a connection for searches.
func (d *Directory) open(ctx context.Context) (*conn, error) {
	c, err := d.servers.dial(ctx)
	if err != nil || d.cfg.BindDN == "" {
		return c, err
	}
	if err := c.do(ctx, func(l *ldap.Conn) error { return l.Bind(d.cfg.BindDN, d.cfg.BindPassword) }); err != nil {
		c.close()
		return nil, fmt.Errorf("the directory refuses %sBIND_DN with its password: %w", d.cfg.Prefix, err)
	}
	return c, nil
}

// label is how the log calls this directory.
func (d *Directory) label() string {
	if d.cfg.Domain != "" {
		return d.cfg.Domain
	}
	return strings.Join(d.cfg.URIs, " ")
}

// accountDisable is the bit of Active Directory's userAccountControl for an account that is switched off.
const accountDisable = 2

// disabling tells for each attribute whether its value says that the account is switched off: Active Directory, 389
// Directory Server, eDirectory, and OpenLDAP's password policy, where this time means for good.
var disabling = map[string]func(string) bool{
	"userAccountControl": func(v string) bool {
		bits, err := strconv.ParseInt(v, 10, 64)
		return err == nil && bits&accountDisable != 0
	},
	"nsAccountLock":        func(v string) bool { return strings.EqualFold(v, "true") },
	"loginDisabled":        func(v string) bool { return strings.EqualFold(v, "true") },
	"pwdAccountLockedTime": func(v string) bool { return v == "000001010000Z" },
}

func disabledAttributes() (names []string) {
	for name := range disabling {
		names = append(names, name)
	}
	return names
}

func disabled(e *ldap.Entry) bool {
	for name, says := range disabling {
		if slices.ContainsFunc(e.GetEqualFoldAttributeValues(name), says) {
			return true
		}
	}
	return false
}

// NormalDN brings a DN into the one form in which DNs of groups are compared: without insignificant spaces, in lower case.
func NormalDN(dn string) (string, error) {
	parsed, err := ldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 {
		return "", fmt.Errorf("%q is no DN such as cn=staff,ou=groups,dc=example,dc=org", dn)
	}
	for _, rdn := range parsed.RDNs {
		for _, a := range rdn.Attributes {
			a.Value = strings.ToLower(a.Value)
		}
	}
	return parsed.String(), nil
}
