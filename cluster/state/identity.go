package state

import (
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Outside is what a directory or an OpenID provider says of somebody.
type Outside struct {
	// AuthType is never AuthLocal.
	AuthType                             AuthType
	Name                                 string
	FullName, FirstName, LastName, Email string
	// Subject is who it is whatever the name, as the provider numbers people; empty where only the name counts.
	Subject string
	// Groups are those that mean something to Kiosc.
	Groups []string
	// Roles and Superuser are what the groups give.
	Roles     []GroupRole
	Superuser bool
}

// IdentityTaken takes over who somebody is: it makes the user at the first login, and else brings names, mail address, groups
// and what the groups give to what they are now. A user who was gone is back.
type IdentityTaken struct {
	Outside Outside
	// ID and At are for a new user.
	ID string
	At time.Time
}

// apply returns the User.
func (c *IdentityTaken) apply(tx *Tx) (any, error) {
	o := &c.Outside
	if o.AuthType != AuthLDAP && o.AuthType != AuthOIDC {
		return nil, Errorf(Invalid, "There is no such way to log in.")
	}
	u, known, err := tx.userOf(o)
	if err != nil {
		return nil, err
	}
	if !known {
		u = User{ID: c.ID, Name: o.Name, AuthType: o.AuthType, Active: true, CreatedAt: c.At}
	}
	if err := u.admits(o); err != nil {
		return nil, err
	}
	u.take(o)
	if u.Gone {
		u.Active, u.Gone = true, false
	}
	if err := u.Validate(); err != nil {
		return nil, err
	}
	if u.Subject != "" {
		if err := tx.putRaw(bucketSubjects, []byte(u.Subject), []byte(u.ID)); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(tx.putRaw(bucketUserNames, []byte(u.Name), []byte(u.ID)), tx.put(bucketUsers, []byte(u.ID), u)); err != nil {
		return nil, err
	}
	if _, err := (&GroupRolesSet{User: u.ID, Roles: o.Roles, Superuser: o.Superuser}).apply(tx); err != nil {
		return nil, err
	}
	u, _, err = tx.User(u.ID)
	return u, err
}

// admits refuses somebody who isn't the user, or whom an admin has deactivated.
func (u *User) admits(o *Outside) error {
	switch {
	case u.Auth() != o.AuthType:
		return Errorf(Conflict, "There is a user "+u.Name+" already who logs in another way. An admin has to rename or remove one of the two.")
	case u.Subject != "" && o.Subject != "" && u.Subject != o.Subject:
		return Errorf(Conflict, "The name "+u.Name+" belonged to somebody else when it was first used here. Ask an admin.")
	case !u.Active && !u.Gone:
		return Errorf(Forbidden, "Your account has been deactivated. Ask an admin.")
	}
	return nil
}

// take fills in what is said of the user. Names and mail address of one who comes from an upstream site are that site's, or
// the two would change them in turn.
func (u *User) take(o *Outside) {
	if !u.Upstream {
		u.FullName, u.FirstName, u.LastName, u.Email = o.FullName, o.FirstName, o.LastName, o.Email
	}
	u.Groups = slices.Clone(o.Groups)
	if o.Subject != "" {
		u.Subject = o.Subject
	}
}

// IdentityKnown tells whether taking an identity over would change nothing.
func (tx *Tx) IdentityKnown(o Outside) (u User, same bool, err error) {
	u, known, err := tx.userOf(&o)
	if err != nil || !known || !u.Active || u.admits(&o) != nil {
		return u, false, err
	}
	taken := u
	taken.take(&o)
	if !slices.Equal(taken.Groups, u.Groups) {
		return u, false, nil
	}
	taken.Groups = u.Groups
	roles, err := tx.GroupRolesOf(u.ID)
	if err != nil {
		return u, false, err
	}
	want, err := tx.resulting(o.Roles)
	if err != nil {
		return u, false, err
	}
	sameRoles := len(want) == len(roles) && !slices.ContainsFunc(roles, func(r GroupRole) bool { return want[r.Project] != r.Role })
	return u, reflect.DeepEqual(taken, u) && sameRoles && (o.Superuser && u.Superuser || !o.Superuser && !u.SuperuserByGroup), nil
}

// resulting is what becomes of roles by groups: the highest for each project that is there.
func (tx *Tx) resulting(roles []GroupRole) (map[string]Role, error) {
	best := make(map[string]Role)
	for _, r := range roles {
		_, known, err := tx.Project(r.Project)
		if err != nil {
			return nil, err
		}
		if known {
			best[r.Project] = r.Role.Best(best[r.Project])
		}
	}
	return best, nil
}

// UserGone deactivates a user whom the directory doesn't have any more: it ends the sessions, and takes what groups have
// given. API tokens stay, and count for nothing until the user is back.
type UserGone struct {
	ID string
}

func (c *UserGone) apply(tx *Tx) (any, error) {
	old, ok, err := tx.User(c.ID)
	if err != nil || !ok {
		return nil, orNotFound(err, "There is no such user.")
	}
	if old.Auth() == AuthLocal || !old.Active {
		return nil, nil
	}
	u := old
	u.Active, u.Gone = false, true
	if err := tx.keepASuperuser(&old, &u); err != nil {
		return nil, err
	}
	if err := tx.put(bucketUsers, []byte(u.ID), u); err != nil {
		return nil, err
	}
	if err := tx.forgetSessions(u.ID, nil); err != nil {
		return nil, err
	}
	return (&GroupRolesSet{User: u.ID}).apply(tx)
}

// outsideName are the names that directories may have beside those of local users: letters of all scripts, and blanks and
// apostrophes within.
var outsideName = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{M}\p{N}._@+' -]{0,149}$`)

// ValidName tells whether somebody who logs in in this way can have this name.
func ValidName(name string, auth AuthType) bool {
	if auth == "" || auth == AuthLocal {
		return userName.MatchString(name)
	}
	return outsideName.MatchString(name) && !strings.HasSuffix(name, " ")
}
