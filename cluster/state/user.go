package state

import (
	"regexp"
	"time"
)

// User is a person, or a program that acts for one.
type User struct {
	ID           string
	Name         string // unique; what the person types at login
	FullName     string
	Email        string
	PasswordHash string // argon2id in PHC form
	Superuser    bool   // may do everything
	Active       bool
	CreatedAt    time.Time
}

var userName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,149}$`)

// Validate checks the rules that hold for every user.
func (u *User) Validate() error {
	f := fieldErrors{}
	if !userName.MatchString(u.Name) {
		f.add("username", "A user name has 1 to 150 letters, digits or the characters . _ @ + - and begins with a letter or digit.")
	}
	checkText(f, "name", u.FullName, 255)
	checkText(f, "email", u.Email, 254)
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
