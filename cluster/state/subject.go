package state

// A provider that numbers people says who somebody is whatever the name; see User.Subject. A subject belongs to one user.

// userOf finds the user whom somebody from outside is: by the subject, and else by the name.
func (tx *Tx) userOf(o *Outside) (u User, known bool, err error) {
	if o.Subject != "" {
		if id := tx.btx.Bucket(bucketSubjects).Get([]byte(o.Subject)); id != nil {
			return get[User](tx, bucketUsers, id)
		}
	}
	return tx.UserByName(o.Name)
}

// SubjectForgotten makes the next login with a user's name say who the user is, as after a move to another provider.
type SubjectForgotten struct {
	User string // id; empty for all users
}

// apply returns how many users it concerns.
func (c *SubjectForgotten) apply(tx *Tx) (any, error) {
	var users []User
	if c.User == "" {
		all, err := tx.Users()
		if err != nil {
			return nil, err
		}
		users = all
	} else {
		u, ok, err := tx.User(c.User)
		if err != nil || !ok {
			return nil, orNotFound(err, "There is no such user.")
		}
		users = append(users, u)
	}
	forgotten := 0
	for _, u := range users {
		if u.Subject == "" {
			continue
		}
		if err := tx.delete(bucketSubjects, []byte(u.Subject)); err != nil {
			return nil, err
		}
		u.Subject = ""
		if err := tx.put(bucketUsers, []byte(u.ID), u); err != nil {
			return nil, err
		}
		forgotten++
	}
	return forgotten, nil
}
