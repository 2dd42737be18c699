package state

import (
	"cmp"
	"regexp"
	"slices"
	"time"
)

// User is a person, or a program that acts for one.
type User struct {
	ID           string
	Name         string // unique; what the person types at login
	FullName     string
	FirstName    string
	LastName     string
	Email        string
	PasswordHash string // argon2id in PHC form; empty for who can't log in by a password of Kiosc's own
	// AuthType says who knows the user's password; empty for AuthLocal.
	AuthType  AuthType
	Groups    []string // of the directory, as it names them
	Superuser bool     // may do everything
	// SuperuserByGroup says that only a group of a directory makes the user a superuser.
	SuperuserByGroup bool
	Active           bool
	// Gone says that the user isn't active because the directory doesn't have them any more.
	Gone bool
	// Subject is who the user is at an OpenID provider, whatever the name; empty where only the name counts.
	Subject   string
	CreatedAt time.Time
	// Upstream says that the user comes from an upstream site, where alone names and mail addresses are changed.
	// UpstreamGroups are the groups there, UpstreamInactive says that only that site has made the user inactive.
	Upstream         bool
	UpstreamGroups   []string
	UpstreamInactive bool
	// AdditionalEmails are the user's further mail addresses.
	AdditionalEmails []string
}

// AuthType says who knows a user's password.
type AuthType string

// The ways to log in, as SODAR names them.
const (
	AuthLocal AuthType = "LOCAL"
	AuthLDAP  AuthType = "LDAP"
	AuthOIDC  AuthType = "OIDC"
)

// Auth is AuthType with its default.
func (u *User) Auth() AuthType { return cmp.Or(u.AuthType, AuthLocal) }

var userName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,149}$`)

// Validate checks the rules that hold for every user.
func (u *User) Validate() error {
	f := fieldErrors{}
	if !ValidName(u.Name, u.Auth()) {
		f.add("username", "A user name has 1 to 150 letters, digits or the characters . _ @ + - and begins with a letter or digit.")
	}
	checkText(f, "name", u.FullName, 255)
	checkText(f, "first_name", u.FirstName, 150)
	checkText(f, "last_name", u.LastName, 150)
	checkText(f, "email", u.Email, 254)
	for _, email := range u.AdditionalEmails {
		checkText(f, "additional_emails", email, 254)
	}
	return f.err()
}

// UserCreated adds a user.
type UserCreated struct {
	User User
}

func (c *UserCreated) apply(tx *Tx) (any, error) {
	if err := c.User.Validate(); err != nil {
		return nil, err
	}
	if tx.btx.Bucket(bucketUserNames).Get([]byte(c.User.Name)) != nil {
		return nil, Errorf(Conflict, "There is a user of this name already.")
	}
	if err := tx.putRaw(bucketUserNames, []byte(c.User.Name), []byte(c.User.ID)); err != nil {
		return nil, err
	}
	return nil, tx.put(bucketUsers, []byte(c.User.ID), c.User)
}

// UserChanged changes of a user what isn't nil. A new password, and deactivation, end the user's sessions.
type UserChanged struct {
	ID              string
	FullName, Email *string
	PasswordHash    *string
	Superuser       *bool
	Active          *bool
	// Keep is the hash of a session that stays; nil for none.
	Keep []byte
}

// apply returns the changed User.
func (c *UserChanged) apply(tx *Tx) (any, error) {
	old, ok, err := tx.User(c.ID)
	if err != nil || !ok {
		return nil, orNotFound(err, "There is no such user.")
	}
	u := old
	set(&u.FullName, c.FullName)
	set(&u.Email, c.Email)
	set(&u.PasswordHash, c.PasswordHash)
	if c.Superuser != nil {
		u.Superuser, u.SuperuserByGroup = *c.Superuser, false
	}
	if c.Active != nil {
		u.Active, u.Gone = *c.Active, false
	}
	if err := u.Validate(); err != nil {
		return nil, err
	}
	if err := tx.keepASuperuser(&old, &u); err != nil {
		return nil, err
	}
	if c.PasswordHash != nil || !u.Active {
		if err := tx.forgetSessions(u.ID, c.Keep); err != nil {
			return nil, err
		}
	}
	return u, tx.put(bucketUsers, []byte(u.ID), u)
}

func set[T any](field, to *T) {
	if to != nil {
		*field = *to
	}
}

// keepASuperuser refuses a change after which nobody could change anything any more.
func (tx *Tx) keepASuperuser(old, u *User) error {
	if !old.Superuser || !old.Active || u.Superuser && u.Active {
		return nil
	}
	others := 0
	err := each(tx, bucketUsers, nil, func(_ []byte, other User) bool {
		if other.ID != u.ID && other.Superuser && other.Active {
			others++
		}
		return true
	})
	if err == nil && others == 0 {
		err = Errorf(Conflict, "This is the last superuser who is active. Make another one first.")
	}
	return err
}

// Users returns all users by name.
func (tx *Tx) Users() (users []User, err error) {
	err = each(tx, bucketUsers, nil, func(_ []byte, u User) bool {
		users = append(users, u)
		return true
	})
	slices.SortFunc(users, func(a, b User) int { return cmp.Compare(a.Name, b.Name) })
	return users, err
}

// User returns a user by id.
func (tx *Tx) User(id string) (u User, ok bool, err error) {
	return get[User](tx, bucketUsers, []byte(id))
}

// UserByName returns a user by the name typed at login.
func (tx *Tx) UserByName(name string) (u User, ok bool, err error) {
	if name == "" {
		return u, false, nil
	}
	id := tx.btx.Bucket(bucketUserNames).Get([]byte(name))
	if id == nil {
		return u, false, nil
	}
	return get[User](tx, bucketUsers, id)
}
