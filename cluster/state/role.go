package state

import (
	"cmp"
	"errors"
	"slices"

	"github.com/google/uuid"
)

// Role is what a user may do in a project; see manager/auth for what that is.
type Role string

// The roles, as in SODAR.
const (
	Owner       Role = "project owner"
	Delegate    Role = "project delegate"
	Contributor Role = "project contributor"
	Guest       Role = "project guest"
	// Viewer is known from SODAR and has no right over containers.
	Viewer Role = "project viewer"
	// Finder sees which projects and categories are in a category, and no more of them.
	Finder Role = "project finder"
)

// Roles are all roles, the highest first.
var Roles = []Role{Owner, Delegate, Contributor, Guest, Viewer, Finder}

// Rank orders roles: the lower the higher. It is SODAR's. What is no role ranks below all.
func (r Role) Rank() int {
	return cmp.Or(map[Role]int{Owner: 10, Delegate: 20, Contributor: 30, Guest: 40, Viewer: 45, Finder: 50}[r], 1000)
}

// Best returns the higher of two roles; either may be empty.
func (r Role) Best(other Role) Role {
	if other.Rank() < r.Rank() {
		return other
	}
	return r
}

// RoleAssignment is the role that a user was given in a project or category. A user has one there at most.
type RoleAssignment struct {
	ID      string
	Project string
	User    string // user id
	Role    Role
}

// defaultAssignment is the id of an assignment that was made without one.
func defaultAssignment(project, user string) string {
	return uuid.NewSHA1(uuid.Nil, key(project, user)).String()
}

// save stores the assignment and its index.
func (r *RoleAssignment) save(tx *Tx) error {
	if r.ID == "" {
		r.ID = defaultAssignment(r.Project, r.User)
	}
	at := key(r.Project, r.User)
	old, known, err := get[RoleAssignment](tx, bucketRoles, at)
	if err != nil {
		return err
	}
	if known && old.ID != r.ID {
		if err := tx.delete(bucketRoleIDs, []byte(old.ID)); err != nil {
			return err
		}
	}
	return errors.Join(tx.put(bucketRoles, at, r), tx.putRaw(bucketRoleIDs, []byte(r.ID), at))
}

func (r *RoleAssignment) remove(tx *Tx) error {
	return errors.Join(tx.delete(bucketRoles, key(r.Project, r.User)), tx.delete(bucketRoleIDs, []byte(r.ID)))
}

func (tx *Tx) removeRoles(project string) error {
	roles, err := tx.RolesOf(project)
	if err != nil {
		return err
	}
	for _, r := range roles {
		if err := r.remove(tx); err != nil {
			return err
		}
	}
	var users []string
	err = each(tx, bucketGroupRoles, key(project, ""), func(k []byte, _ Role) bool {
		users = append(users, string(k[len(project)+1:]))
		return true
	})
	for _, user := range users {
		err = errors.Join(err, tx.delete(bucketGroupRoles, key(project, user)), tx.delete(bucketGroupRolesOf, key(user, project)))
	}
	return err
}

// RoleAssigned gives a user a role, or another one. Applied, it returns the RoleAssignment.
type RoleAssigned struct {
	ID      string // of a new assignment
	Project string
	User    string
	Role    Role
	// DelegateLimit is how many delegates a project may have; 0 for any number.
	DelegateLimit int
}

func (c *RoleAssigned) apply(tx *Tx) (any, error) {
	project, err := tx.changeable(c.Project)
	if err != nil {
		return nil, err
	}
	user, known, err := tx.User(c.User)
	if err != nil {
		return nil, err
	}
	if !known || !user.Active {
		return nil, wrongField("user", "There is no such active user.")
	}
	old, had, err := tx.Assignment(c.Project, c.User)
	if err != nil {
		return nil, err
	}
	if err := tx.checkRole(&project, &user, c.Role, old.Role, c.DelegateLimit); err != nil {
		return nil, err
	}
	made := RoleAssignment{ID: c.ID, Project: c.Project, User: c.User, Role: c.Role}
	if had {
		made.ID = old.ID
	}
	return made, made.save(tx)
}

// checkRole refuses a role that a user can't be given, who has old in the project itself.
func (tx *Tx) checkRole(p *Project, u *User, role, old Role, delegateLimit int) error {
	switch {
	case old == Owner:
		return Errorf(Conflict, "The owner's role can't be changed. Hand over the ownership instead.")
	case role == Owner:
		return wrongField("role", "There is exactly one owner. Hand over the ownership instead.")
	case !slices.Contains(Roles, role):
		return wrongField("role", "There is no such role.")
	case role == Finder && p.Type != TypeCategory:
		return wrongField("role", "Finders are for categories only.")
	}
	inherited, err := tx.inherited(p, u.ID)
	if err != nil {
		return err
	}
	if inherited.Rank() <= role.Rank() && inherited != "" {
		return wrongField("role", u.Name+" has the role "+string(inherited)+" from a category above. A role here can only be a higher one.")
	}
	if role != Delegate || old == Delegate || delegateLimit == 0 {
		return nil
	}
	roles, err := tx.RolesOf(p.ID)
	if err != nil {
		return err
	}
	delegates := 0
	for _, r := range roles {
		if r.Role == Delegate {
			delegates++
		}
	}
	if delegates >= delegateLimit {
		return wrongField("role", "There can be "+itoa(delegateLimit)+" delegates at most. Give the present one another role first.")
	}
	return nil
}

// RoleRemoved takes from a user the role in a project. It isn't for owners.
type RoleRemoved struct {
	Project, User string
}

func (c *RoleRemoved) apply(tx *Tx) (any, error) {
	if _, err := tx.changeable(c.Project); err != nil {
		return nil, err
	}
	r, ok, err := tx.Assignment(c.Project, c.User)
	if err != nil || !ok {
		return nil, orNotFound(err, "This user has no role of their own here.")
	}
	if r.Role == Owner {
		return nil, Errorf(Conflict, "The owner can't be removed. Hand over the ownership first.")
	}
	return nil, r.remove(tx)
}

// OwnershipTransferred makes another user the owner.
type OwnershipTransferred struct {
	Project  string
	NewOwner string // user id
	// OldOwnerRole is what the old owner becomes; empty for nothing.
	OldOwnerRole  Role
	DelegateLimit int
	// Assignment is the id of a new assignment, where the new owner had none.
	Assignment string
}

func (c *OwnershipTransferred) apply(tx *Tx) (any, error) {
	project, err := tx.changeable(c.Project)
	if err != nil {
		return nil, err
	}
	user, known, err := tx.User(c.NewOwner)
	if err != nil {
		return nil, err
	}
	if !known || !user.Active {
		return nil, wrongField("new_owner", "There is no such active user.")
	}
	old, ok, err := tx.OwnerOf(c.Project)
	if err != nil {
		return nil, err
	}
	if !ok || old.User == c.NewOwner {
		return nil, wrongField("new_owner", user.Name+" is the owner already.")
	}
	next, had, err := tx.Assignment(c.Project, c.NewOwner)
	if err != nil {
		return nil, err
	}
	if !had {
		next = RoleAssignment{ID: c.Assignment, Project: c.Project, User: c.NewOwner}
	}
	next.Role = Owner
	if err := next.save(tx); err != nil {
		return nil, err
	}
	if c.OldOwnerRole == "" {
		return nil, old.remove(tx)
	}
	previous, _, err := tx.User(old.User)
	if err != nil {
		return nil, err
	}
	if err := tx.checkRole(&project, &previous, c.OldOwnerRole, "", c.DelegateLimit); err != nil {
		return nil, renameField(err, "role", "old_owner_role")
	}
	old.Role = c.OldOwnerRole
	return nil, old.save(tx)
}

// renameField gives the messages of one field to another.
func renameField(err error, from, to string) error {
	var e *Error
	if errors.As(err, &e) && e.Fields[from] != nil {
		e.Fields[to] = e.Fields[from]
		delete(e.Fields, from)
	}
	return err
}

// Assignment returns the role that a user was given in this very project.
func (tx *Tx) Assignment(project, user string) (r RoleAssignment, ok bool, err error) {
	return get[RoleAssignment](tx, bucketRoles, key(project, user))
}

// AssignmentByID returns a role assignment.
func (tx *Tx) AssignmentByID(id string) (r RoleAssignment, ok bool, err error) {
	at := tx.btx.Bucket(bucketRoleIDs).Get([]byte(id))
	if at == nil {
		return r, false, nil
	}
	return get[RoleAssignment](tx, bucketRoles, at)
}

// RolesOf returns the roles that were given in this very project, in an order that stays the same.
func (tx *Tx) RolesOf(project string) (roles []RoleAssignment, err error) {
	err = each(tx, bucketRoles, key(project, ""), func(_ []byte, r RoleAssignment) bool {
		roles = append(roles, r)
		return true
	})
	return roles, err
}

// OwnerOf returns the owner's role in a project.
func (tx *Tx) OwnerOf(project string) (owner RoleAssignment, ok bool, err error) {
	err = each(tx, bucketRoles, key(project, ""), func(_ []byte, r RoleAssignment) bool {
		if r.Role == Owner {
			owner, ok = r, true
		}
		return !ok
	})
	return owner, ok, err
}

// RoleOf returns the highest role that a user has in a project: given there, by a group, by a category above, or as
// everybody; "" for none.
func (tx *Tx) RoleOf(project, user string) (Role, error) {
	p, ok, err := tx.Project(project)
	if err != nil || !ok {
		return "", err
	}
	own, err := tx.roleHere(project, user)
	if err != nil {
		return "", err
	}
	inherited, err := tx.inherited(&p, user)
	return own.Best(inherited).Best(p.PublicAccess), err
}

// roleHere is what a user has in this very project, given or by a group.
func (tx *Tx) roleHere(project, user string) (Role, error) {
	given, _, err := tx.Assignment(project, user)
	if err != nil {
		return "", err
	}
	byGroup, _, err := get[Role](tx, bucketGroupRoles, key(project, user))
	return given.Role.Best(byGroup), err
}

// inherited is the highest role that a user has in the categories above a project.
func (tx *Tx) inherited(p *Project, user string) (role Role, err error) {
	above := p.Parent
	for range MaxDepth + 1 {
		category, ok, err := tx.Project(above)
		if err != nil || !ok {
			return role, err
		}
		here, err := tx.roleHere(category.ID, user)
		if err != nil {
			return role, err
		}
		role, above = role.Best(here), category.Parent
	}
	return role, nil
}

// Member is a user with the roles in a project.
type Member struct {
	User User
	// Role is the highest.
	Role Role
	// Own is the role given in the project itself; nil for none.
	Own *RoleAssignment
	// ByGroup is the role by a group in the project itself, Inherited the highest from the categories above, which From is
	// the one of; empty for none.
	ByGroup, Inherited Role
	From               Project
}

// Members returns the users with a role in a project, the highest first, then by name. Who has one as everybody isn't
// among them.
func (tx *Tx) Members(project string) ([]Member, error) {
	chain, err := tx.Ancestors(project)
	if err != nil {
		return nil, err
	}
	members := make(map[string]*Member)
	of := func(user string) *Member {
		if members[user] == nil {
			members[user] = &Member{}
		}
		return members[user]
	}
	for i, place := range chain {
		roles, err := tx.RolesOf(place.ID)
		if err != nil {
			return nil, err
		}
		for _, r := range roles {
			m := of(r.User)
			if i == 0 {
				m.Own = &r
			} else if r.Role.Rank() < m.Inherited.Rank() {
				m.Inherited, m.From = r.Role, place
			}
		}
		err = each(tx, bucketGroupRoles, key(place.ID, ""), func(k []byte, role Role) bool {
			m := of(string(k[len(place.ID)+1:]))
			if i == 0 {
				m.ByGroup = role
			} else if role.Rank() < m.Inherited.Rank() {
				m.Inherited, m.From = role, place
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]Member, 0, len(members))
	for id, m := range members {
		user, ok, err := tx.User(id)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		m.User, m.Role = user, m.ByGroup.Best(m.Inherited)
		if m.Own != nil {
			m.Role = m.Own.Role.Best(m.Role)
		}
		list = append(list, *m)
	}
	slices.SortFunc(list, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Role.Rank(), b.Role.Rank()), cmp.Compare(a.User.Name, b.User.Name))
	})
	return list, nil
}
