package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kiosc/cluster/state"
	"kiosc/manager/ldap"
)

// Directory knows people, and checks their passwords. Its methods end within ctx and may be called by many goroutines.
type Directory interface {
	// Domain is what stands behind the @ in its people's names; empty for plain names. Printable is how people call it.
	Domain() string
	Printable() string
	// Account tells whether a login is for this directory, and the name of its account in Kiosc.
	Account(login string) (account string, ok bool)
	// Login and Find are as those of ldap.Directory.
	Login(ctx context.Context, account, password string) (ldap.Person, error)
	Find(ctx context.Context, account string) (ldap.Person, error)
}

// DirectoryWithRules is a directory and what its groups give.
type DirectoryWithRules struct {
	Directory
	Rules GroupRules
}

// UseDirectories names the directories that people log in with. It must be called before anything else.
func (s *Service) UseDirectories(directories []DirectoryWithRules) { s.directories = directories }

// Domain is one that people can log in with.
type Domain struct {
	// Name stands behind the @; empty for plain names. Printable is how people call it; may be empty where Name is.
	Name, Printable string
}

// Domains lists what people can log in with besides local accounts.
func (s *Service) Domains() (domains []Domain) {
	for _, d := range s.directories {
		domains = append(domains, Domain{d.Domain(), d.Printable()})
	}
	return domains
}

// PasswordElsewhere says in a sentence who keeps a user's password; it is empty for those that Kiosc keeps.
func (s *Service) PasswordElsewhere(u state.User) string {
	switch u.Auth() {
	case state.AuthLDAP:
		return "You log in with your password of the directory" + of(s.directoryOf(u)) + ", and change it there."
	case state.AuthOIDC:
		return "You log in at another site, which keeps your password."
	}
	return ""
}

// of says whose directory it is, with a blank before it; empty where nobody has said.
func of(d *DirectoryWithRules) string {
	if d == nil || d.Printable() == "" {
		return ""
	}
	return " of " + d.Printable()
}

// directoryFor finds the directory that is to check a login, and the name of the account in Kiosc. Local users are never
// asked for in a directory, which else could let somebody in as one of them.
func (s *Service) directoryFor(name string) (d *DirectoryWithRules, account string, user state.User, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		known, found, err := tx.UserByName(name)
		if err != nil || found && known.Auth() != state.AuthLDAP {
			user = known
			return err
		}
		for i := range s.directories {
			at, ok := s.directories[i].Account(name)
			if !ok || !state.ValidName(at, state.AuthLDAP) {
				continue
			}
			known, found, err := tx.UserByName(at)
			if err != nil || found && known.Auth() != state.AuthLDAP {
				user, account = known, at
				return err
			}
			d, account = &s.directories[i], at
			return nil
		}
		return nil
	})
	return d, account, user, err
}

// refusal is the least time that a login takes which is refused, where there are directories: each takes its own time to
// say that a password is wrong, and another to say that it has no such user.
const refusal = 700 * time.Millisecond

// holdBack waits until a refused login has taken its time.
func (s *Service) holdBack(ctx context.Context, began time.Time) {
	if len(s.directories) == 0 {
		return
	}
	wait := time.NewTimer(refusal - time.Since(began))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}

// askDirectory checks a password, and takes over who has the right one.
func (s *Service) askDirectory(ctx context.Context, d *DirectoryWithRules, account, password string) (right bool, user state.User, err error) {
	p, err := d.Login(ctx, account, password)
	switch {
	case errors.Is(err, ldap.ErrRefused):
		return false, user, nil
	case err != nil:
		s.logger.Warn("a directory does not answer a login", "user", account, "error", err)
		return false, user, errDirectory(d)
	}
	user, err = s.TakeOver(ctx, identity(p), d.Rules)
	return true, user, err
}

func identity(p ldap.Person) Identity {
	return Identity{Name: p.Account, FirstName: p.FirstName, LastName: p.LastName, Email: p.Email, AuthType: state.AuthLDAP, Groups: p.Groups}
}

// errDirectory is the answer where nobody could be asked.
func errDirectory(d *DirectoryWithRules) error {
	return state.Errorf(state.Unavailable, fmt.Sprintf("The directory%s does not answer; your password was not checked. "+
		"Try again in a few minutes. Local accounts of this Kiosc still work.", of(d)))
}
