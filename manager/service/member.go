package service

import (
	"context"

	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// Members lists the users with a role in a project, the highest role first.
func (s *Service) Members(a Actor, project string) (members []state.Member, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if err := may(tx, a, project, auth.ViewMembers); err != nil {
			return err
		}
		members, err = tx.Members(project)
		return err
	})
	return members, err
}

// Assignments lists the roles that were given in a project and, inherited, in the categories above.
func (s *Service) Assignments(a Actor, project string) (roles []state.RoleAssignment, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if err := may(tx, a, project, auth.ViewMembers); err != nil {
			return err
		}
		chain, err := tx.Ancestors(project)
		if err != nil {
			return err
		}
		for _, p := range chain {
			here, err := tx.RolesOf(p.ID)
			if err != nil {
				return err
			}
			roles = append(roles, here...)
		}
		return nil
	})
	return roles, err
}

// Assignment returns a role assignment of a project whose members the actor may see.
func (s *Service) Assignment(a Actor, id string) (r state.RoleAssignment, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		var ok bool
		if r, ok, err = tx.AssignmentByID(id); err != nil {
			return err
		}
		if !ok || may(tx, a, r.Project, auth.ViewMembers) != nil {
			return state.Errorf(state.NotFound, "There is no such role assignment, or you have no access to it.")
		}
		return nil
	})
	return r, err
}

// mayAssign refuses what the actor may not do with a user's role, which is old now ("" for none) and shall be next.
func (s *Service) mayAssign(a Actor, project, user string, next state.Role) (p state.Project, u state.User, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if err := may(tx, a, project, auth.UpdateMembers); err != nil {
			return err
		}
		old, _, err := tx.Assignment(project, user)
		if err != nil {
			return err
		}
		if old.Role == state.Delegate || next == state.Delegate {
			if err := may(tx, a, project, auth.UpdateDelegates); err != nil {
				return err
			}
		}
		var ok bool
		if u, ok, err = tx.User(user); err != nil {
			return err
		}
		if !ok {
			return wrongField("user", "There is no such user.")
		}
		p, _, err = tx.Project(project)
		return err
	})
	return p, u, err
}

// SetRole gives a user a role in a project, or another one. Only owners can choose delegates.
func (s *Service) SetRole(ctx context.Context, a Actor, project, user string, role state.Role) (r state.RoleAssignment, err error) {
	p, u, err := s.mayAssign(a, project, user, role)
	if err != nil {
		return r, err
	}
	e := projectEvent(a, p, "role_update", "give {user} the role "+string(role)+" in {project}", userObject(u))
	return act[state.RoleAssignment](ctx, s, &state.RoleAssigned{ID: uuid.NewString(), Project: project, User: user, Role: role,
		DelegateLimit: s.settings.DelegateLimit}, e)
}

// RemoveRole takes a user's role in a project away.
func (s *Service) RemoveRole(ctx context.Context, a Actor, project, user string) error {
	p, u, err := s.mayAssign(a, project, user, "")
	if err != nil {
		return err
	}
	e := projectEvent(a, p, "role_delete", "remove {user} from {project}", userObject(u))
	_, err = act[any](ctx, s, &state.RoleRemoved{Project: project, User: user}, e)
	return err
}

// LeaveProject gives up the actor's own role in a project.
func (s *Service) LeaveProject(ctx context.Context, a Actor, project string) error {
	p, err := s.projectFor(a, project, auth.ViewProject)
	if err != nil {
		return err
	}
	if !a.within(project, auth.UpdateMembers) {
		return errScope
	}
	if err := a.hindrance(p, auth.UpdateMembers); err != nil {
		return err
	}
	e := projectEvent(a, p, "role_delete_own", "{user} leaves {project}", userObject(a.User))
	_, err = act[any](ctx, s, &state.RoleRemoved{Project: project, User: a.User.ID}, e)
	return err
}

// TransferOwnership makes another user the owner; the old one gets a role, or none for "".
func (s *Service) TransferOwnership(ctx context.Context, a Actor, project, newOwner string, oldOwnerRole state.Role) error {
	return s.transfer(ctx, a, project, oldOwnerRole, func(tx *state.Tx) (state.User, bool, error) { return tx.User(newOwner) })
}

// TransferOwnershipTo is TransferOwnership for a user by name.
func (s *Service) TransferOwnershipTo(ctx context.Context, a Actor, project, name string, oldOwnerRole state.Role) error {
	return s.transfer(ctx, a, project, oldOwnerRole, func(tx *state.Tx) (state.User, bool, error) { return tx.UserByName(name) })
}

func (s *Service) transfer(ctx context.Context, a Actor, project string, oldOwnerRole state.Role,
	find func(tx *state.Tx) (state.User, bool, error)) error {
	var p state.Project
	var u state.User
	err := s.store.View(func(tx *state.Tx) error {
		err := may(tx, a, project, auth.UpdateOwner)
		if err != nil {
			return err
		}
		var ok bool
		if u, ok, err = find(tx); err != nil {
			return err
		}
		if !ok {
			return wrongField("new_owner", "There is no such user.")
		}
		p, _, err = tx.Project(project)
		return err
	})
	if err != nil {
		return err
	}
	e := projectEvent(a, p, "role_owner_transfer", "make {user} the owner of {project}", userObject(u))
	_, err = act[any](ctx, s, &state.OwnershipTransferred{Project: project, NewOwner: u.ID, OldOwnerRole: oldOwnerRole,
		DelegateLimit: s.settings.DelegateLimit, Assignment: uuid.NewString()}, e)
	return err
}

// FoundUser is a user as everybody who is logged in may find one.
type FoundUser struct {
	ID, Name, FullName, Email string
	AdditionalEmails          []string
	Superuser                 bool
	AuthType                  state.AuthType
}

// FindUsers lists the active users, by name, for those who choose one: to add a member, or to hand something over.
func (s *Service) FindUsers(a Actor) (found []FoundUser, err error) {
	if !a.within("", auth.ListContainers) {
		return nil, errScope
	}
	err = s.store.View(func(tx *state.Tx) error {
		users, err := tx.Users()
		for _, u := range users {
			if u.Active {
				found = append(found, Found(u))
			}
		}
		return err
	})
	return found, err
}

// Found is what everybody who is logged in may know of a user.
func Found(u state.User) FoundUser {
	return FoundUser{ID: u.ID, Name: u.Name, FullName: u.FullName, Email: u.Email,
		AdditionalEmails: u.AdditionalEmails, Superuser: u.Superuser, AuthType: u.Auth()}
}
