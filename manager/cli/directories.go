package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"kiosc/manager"
	"kiosc/manager/ldap"
	"kiosc/manager/service"
)

// settings reads the variables that have no flag: those of the directories are many, and one is a password. It keeps the
// first mistake.
type settings struct {
	lookup func(string) (string, bool)
	err    error
}

func (s *settings) text(name string) string {
	value, _ := s.lookup(name)
	return strings.TrimSpace(value)
}

// truth reads what the original takes for true and false.
func (s *settings) truth(name string) bool {
	switch value := strings.ToLower(s.text(name)); value {
	case "true", "on", "ok", "y", "yes", "1":
		return true
	case "", "false", "off", "n", "no", "0", "none":
		return false
	}
	s.fail(errors.New(name + " is either true or false"))
	return false
}

func (s *settings) duration(name string) time.Duration {
	value := s.text(name)
	if value == "" {
		return 0
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		s.fail(errors.New(name + " is a time such as 5s"))
	}
	return d
}

func (s *settings) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// directories reads the settings of LDAP.
func directories(lookup func(string) (string, bool)) (list []manager.DirectoryConfig, err error) {
	s := &settings{lookup: lookup}
	first, second := s.truth("ENABLE_LDAP"), s.truth("ENABLE_LDAP_SECONDARY")
	if second && !first {
		s.fail(errors.New("ENABLE_LDAP_SECONDARY needs ENABLE_LDAP; a single directory is the first"))
	}
	if first {
		list = append(list, s.directory("AUTH_LDAP_", "KIOSC_LDAP_"))
	}
	if first && second {
		list = append(list, s.directory("AUTH_LDAP2_", "KIOSC_LDAP2_"))
		if list[1].LDAP.Domain == "" {
			s.fail(errors.New("AUTH_LDAP2_USERNAME_DOMAIN is missing: the people of the second directory log in as name@DOMAIN"))
		}
	}
	return list, s.err
}

// directory reads the settings of one: those with the prefix theirs say how to ask it, those with ours what Kiosc makes of it.
func (s *settings) directory(theirs, ours string) manager.DirectoryConfig {
	password, _ := s.lookup(theirs + "BIND_PASSWORD") // may begin or end with a blank
	c := ldap.Config{
		Prefix: theirs, URIs: strings.FieldsFunc(s.text(theirs+"SERVER_URI"), func(r rune) bool { return r == ' ' || r == ',' }),
		BindDN: s.text(theirs + "BIND_DN"), BindPassword: password,
		SearchBase: s.text(theirs + "USER_SEARCH_BASE"), UserFilter: s.text(theirs + "USER_FILTER"),
		Domain: s.text(theirs + "USERNAME_DOMAIN"), Printable: s.text(theirs + "DOMAIN_PRINTABLE"),
		StartTLS: s.truth(theirs + "START_TLS"), CAFile: s.text(theirs + "CA_CERT_FILE"), AllowPlain: s.truth(theirs + "ALLOW_PLAIN"),
		GroupSearchBase: s.text(theirs + "GROUP_SEARCH_BASE"), GroupFilter: s.text(theirs + "GROUP_FILTER"),
		Timeout: s.duration(theirs + "TIMEOUT"),
	}
	roles, superuser := ours+"GROUP_ROLES", ours+"SUPERUSER_GROUP"
	rules, err := service.ParseGroupRules(s.text(roles), "", ldap.NormalDN)
	if err != nil {
		s.fail(fmt.Errorf("%s %w", roles, err))
	}
	if group := s.text(superuser); group != "" {
		if rules.Superuser, err = ldap.NormalDN(group); err != nil {
			s.fail(fmt.Errorf("%s is not valid: %w", superuser, err))
		}
	}
	return manager.DirectoryConfig{LDAP: c, Rules: rules}
}
