package upstream

import (
	"maps"
	"slices"

	"kiosc/cluster/state"
)

// member finds the user here that a role is for.
func (p *planner) member(name string) (id string, err error) {
	u := p.answer.byName[name]
	switch {
	case u == nil:
		return "", errUnlisted
	case u.local && !p.options.LocalUsers:
		return "", errLocalUser
	}
	id, ok := p.ids[name]
	if !ok {
		return "", errNoUser
	}
	return id, nil
}

// owner is the owner's role: the default admin's where the owner can't be taken over.
func (p *planner) owner(in *project) state.UpstreamRole {
	owner := state.UpstreamRole{Project: in.ID, User: p.admin, Role: state.Owner}
	for _, r := range in.roles {
		if r.role != state.Owner {
			continue
		}
		owner.ID = r.id
		if id, err := p.member(r.user); err == nil {
			owner.User = id
		}
	}
	return owner
}

func (p *planner) readRoles() error {
	for _, in := range p.answer.projects {
		if !p.placed[in.ID] || in.roles == nil {
			continue
		}
		current, err := p.current(in)
		if err != nil {
			return err
		}
		if err := p.compareRoles(in, current); err != nil {
			return err
		}
	}
	return nil
}

// current are the roles in a project by user; a new one begins with its owner's.
func (p *planner) current(in *project) (map[string]state.RoleAssignment, error) {
	roles := make(map[string]state.RoleAssignment)
	if p.fresh[in.ID] {
		owner := p.owner(in)
		id, err := p.tx.FreeAssignment(asAssignment(owner))
		owner.ID = id
		roles[owner.User] = asAssignment(owner)
		return roles, err
	}
	all, err := p.tx.RolesOf(in.ID)
	for _, r := range all {
		roles[r.User] = r
	}
	return roles, err
}

func asAssignment(r state.UpstreamRole) state.RoleAssignment {
	return state.RoleAssignment(r)
}

// wanted are the roles that a project is to have, by user.
func (p *planner) wanted(in *project) map[string]state.UpstreamRole {
	roles := make(map[string]state.UpstreamRole, len(in.roles))
	for _, r := range in.roles {
		if r.role == state.Owner {
			continue
		}
		id, err := p.member(r.user)
		switch {
		case err != nil:
		case !slices.Contains(state.Roles, r.role):
			err = state.Errorf(state.Invalid, "There is no role \""+cut(string(r.role), 100)+"\" here.")
		case r.role == state.Finder && in.Type != state.TypeCategory:
			err = state.Errorf(state.Invalid, "Finders are for categories only.")
		}
		if err != nil {
			p.skip("role", r.user+" in "+in.Title, err)
			continue
		}
		roles[id] = state.UpstreamRole{ID: r.id, Project: in.ID, User: id, Role: r.role}
	}
	owner := p.owner(in)
	roles[owner.User] = owner
	return roles
}

// compareRoles adds what changes: the owner first, so that there always is one, and what is taken away last.
func (p *planner) compareRoles(in *project, current map[string]state.RoleAssignment) error {
	wanted := p.wanted(in)
	var owner, others []state.UpstreamRole
	for _, id := range slices.Sorted(maps.Keys(wanted)) {
		r := wanted[id]
		var err error
		if r.ID, err = p.tx.FreeAssignment(asAssignment(r)); err != nil {
			return err
		}
		switch {
		case asAssignment(r) == current[id]:
			p.tally.Roles.Unchanged++
		case r.Role == state.Owner:
			owner = append(owner, r)
		default:
			others = append(others, r)
		}
	}
	p.roles = append(append(p.roles, owner...), others...)
	for _, id := range slices.Sorted(maps.Keys(current)) {
		if _, stays := wanted[id]; !stays && current[id].Role != state.Owner {
			p.roles = append(p.roles, state.UpstreamRole{Project: in.ID, User: id})
		}
	}
	return nil
}

// revoke takes away what others than owners and delegates have in projects that came from the upstream site and that this site
// is no longer given.
func (p *planner) revoke() error {
	for _, id := range p.answer.revoked {
		here, known := p.nodes[id]
		if !known || !here.Upstream || here.Deleting || here.Type != state.TypeProject {
			continue
		}
		if nobody := state.Role(""); here.PublicAccess != nobody {
			p.projects = append(p.projects, state.UpstreamProject{ID: id, Parent: here.Parent, Title: here.Title,
				Description: here.Description, Readme: here.Readme, Type: here.Type, PublicAccess: &nobody})
		}
		roles, err := p.tx.RolesOf(id)
		if err != nil {
			return err
		}
		for _, r := range roles {
			if r.Role != state.Owner && r.Role != state.Delegate {
				p.roles = append(p.roles, state.UpstreamRole{Project: id, User: r.User})
			}
		}
	}
	return nil
}
