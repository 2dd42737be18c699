package state

import (
	"errors"
	"slices"
)

// GroupRole is a role in a project that a user has by being in a group of a directory.
type GroupRole struct {
	Project string
	Role    Role
}

// GroupRolesSet replaces all that a user has by groups of a directory, which is apart from what people have given.
type GroupRolesSet struct {
	User  string
	Roles []GroupRole
	// Superuser says that a group makes the user a superuser.
	Superuser bool
}

func (c *GroupRolesSet) apply(tx *Tx) (any, error) {
	user, ok, err := tx.User(c.User)
	if err != nil || !ok {
		return nil, orNotFound(err, "There is no such user.")
	}
	had, err := tx.groupRolesOf(c.User)
	if err != nil {
		return nil, err
	}
	for _, project := range had {
		err = errors.Join(err, tx.delete(bucketGroupRoles, key(project, c.User)), tx.delete(bucketGroupRolesOf, key(c.User, project)))
	}
	if err != nil {
		return nil, err
	}
	for _, r := range c.Roles {
		if err := tx.putGroupRole(c.User, r); err != nil {
			return nil, err
		}
	}
	return nil, tx.setGroupSuperuser(user, c.Superuser)
}

// putGroupRole adds a role; of two in one project the higher counts. Projects that aren't there are passed over.
func (tx *Tx) putGroupRole(user string, r GroupRole) error {
	if r.Role == Owner || !slices.Contains(Roles, r.Role) {
		return Errorf(Invalid, "A group can't give the role "+string(r.Role)+".")
	}
	_, known, err := tx.Project(r.Project)
	if err != nil || !known {
		return err
	}
	other, _, err := get[Role](tx, bucketGroupRoles, key(r.Project, user))
	if err != nil {
		return err
	}
	return errors.Join(tx.put(bucketGroupRoles, key(r.Project, user), r.Role.Best(other)),
		tx.putRaw(bucketGroupRolesOf, key(user, r.Project), nil))
}

// setGroupSuperuser leaves alone who is a superuser by other means, and the last superuser.
func (tx *Tx) setGroupSuperuser(old User, superuser bool) error {
	u := old
	switch {
	case superuser && !u.Superuser:
		u.Superuser, u.SuperuserByGroup = true, true
	case !superuser && u.SuperuserByGroup:
		u.Superuser, u.SuperuserByGroup = false, false
	default:
		return nil
	}
	if err := tx.keepASuperuser(&old, &u); CodeOf(err) == Conflict {
		return nil
	} else if err != nil {
		return err
	}
	return tx.put(bucketUsers, []byte(u.ID), u)
}

// groupRolesOf returns the projects in which groups give a user a role.
func (tx *Tx) groupRolesOf(user string) (projects []string, err error) {
	c := tx.btx.Bucket(bucketGroupRolesOf).Cursor()
	prefix := key(user, "")
	for k, _ := c.Seek(prefix); k != nil && hasPrefix(k, prefix); k, _ = c.Next() {
		projects = append(projects, string(k[len(prefix):]))
	}
	return projects, nil
}

// GroupRolesOf returns what groups give a user.
func (tx *Tx) GroupRolesOf(user string) (roles []GroupRole, err error) {
	projects, err := tx.groupRolesOf(user)
	if err != nil {
		return nil, err
	}
	for _, project := range projects {
		role, _, err := get[Role](tx, bucketGroupRoles, key(project, user))
		if err != nil {
			return nil, err
		}
		roles = append(roles, GroupRole{project, role})
	}
	return roles, nil
}
