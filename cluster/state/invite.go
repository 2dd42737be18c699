package state

import (
	"errors"
	"slices"
	"time"
)

// Invite lets whoever has its link take a role in a project.
type Invite struct {
	ID        string
	Hash      []byte // of the secret in the link
	Project   string
	Role      Role
	Email     string // whom it was made for
	Message   string
	Issuer    string // user name
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Limits of invites.
const (
	maxInvites       = 500 // open ones of a project
	MaxInviteMessage = 4096
)

// InviteCreated adds an invite, or replaces the one with its id, whose link then no longer counts.
type InviteCreated struct {
	Invite        Invite
	DelegateLimit int
}

func (c *InviteCreated) apply(tx *Tx) (any, error) {
	p, err := tx.changeable(c.Invite.Project)
	if err != nil {
		return nil, err
	}
	f := fieldErrors{}
	requireText(f, "email", c.Invite.Email, 254)
	checkText(f, "message", c.Invite.Message, MaxInviteMessage)
	switch {
	case c.Invite.Role == Owner || !slices.Contains(Roles, c.Invite.Role):
		f.add("role", "Nobody can be invited with this role.")
	case c.Invite.Role == Finder && p.Type != TypeCategory:
		f.add("role", "Finders are for categories only.")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	others, err := tx.InvitesOf(p.ID)
	if err != nil {
		return nil, err
	}
	for _, other := range others {
		if other.ID == c.Invite.ID || !other.ExpiresAt.After(c.Invite.CreatedAt) {
			if err := other.remove(tx); err != nil {
				return nil, err
			}
		}
	}
	if len(others) >= maxInvites {
		return nil, Errorf(TooMany, "The project has "+itoa(maxInvites)+" open invites. Revoke some first.")
	}
	return nil, errors.Join(tx.put(bucketInvites, key(p.ID, c.Invite.ID), c.Invite),
		tx.putRaw(bucketInviteHashes, c.Invite.Hash, key(p.ID, c.Invite.ID)))
}

func (i *Invite) remove(tx *Tx) error {
	return errors.Join(tx.delete(bucketInvites, key(i.Project, i.ID)), tx.delete(bucketInviteHashes, i.Hash))
}

func (tx *Tx) removeInvites(project string) error {
	invites, err := tx.InvitesOf(project)
	for _, i := range invites {
		err = errors.Join(err, i.remove(tx))
	}
	return err
}

// InviteRevoked takes back an invite.
type InviteRevoked struct {
	Project, ID string
}

func (c *InviteRevoked) apply(tx *Tx) (any, error) {
	i, ok, err := get[Invite](tx, bucketInvites, key(c.Project, c.ID))
	if err != nil || !ok {
		return nil, orNotFound(err, "There is no such invite.")
	}
	return nil, i.remove(tx)
}

// InviteAccepted gives a user the invite's role and uses it up. Applied, it returns the Invite.
type InviteAccepted struct {
	Hash          []byte
	User          string // user id
	Assignment    string // id of the new assignment
	DelegateLimit int
	At            time.Time
	// NewUser is added first, where the invited has no account; nil otherwise.
	NewUser *User
}

func (c *InviteAccepted) apply(tx *Tx) (any, error) {
	i, ok, err := tx.Invite(c.Hash)
	if err != nil {
		return nil, err
	}
	if !ok || !i.ExpiresAt.After(c.At) {
		return nil, Errorf(NotFound, "This invite is not valid any more. Ask for a new one.")
	}
	if c.NewUser != nil {
		if _, err := (&UserCreated{User: *c.NewUser}).apply(tx); err != nil {
			return nil, err
		}
	}
	role, err := tx.RoleOf(i.Project, c.User)
	if err != nil {
		return nil, err
	}
	if role == "" || i.Role.Rank() < role.Rank() {
		assigned := RoleAssigned{ID: c.Assignment, Project: i.Project, User: c.User, Role: i.Role, DelegateLimit: c.DelegateLimit}
		if _, err := assigned.apply(tx); err != nil {
			return nil, err
		}
	}
	return i, i.remove(tx)
}

// Invite returns the invite with this hash. The caller checks ExpiresAt.
func (tx *Tx) Invite(hash []byte) (i Invite, ok bool, err error) {
	at := tx.btx.Bucket(bucketInviteHashes).Get(hash)
	if at == nil {
		return i, false, nil
	}
	return get[Invite](tx, bucketInvites, at)
}

// InvitesOf returns a project's invites, the newest first. The caller checks ExpiresAt.
func (tx *Tx) InvitesOf(project string) (invites []Invite, err error) {
	err = each(tx, bucketInvites, key(project, ""), func(_ []byte, i Invite) bool {
		invites = append(invites, i)
		return true
	})
	slices.SortStableFunc(invites, func(a, b Invite) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return invites, err
}

// InviteByID returns an invite, whichever project it is to.
func (tx *Tx) InviteByID(id string) (found Invite, ok bool, err error) {
	err = each(tx, bucketInvites, nil, func(_ []byte, i Invite) bool {
		if ok = i.ID == id; ok {
			found = i
		}
		return !ok
	})
	return found, ok, err
}
