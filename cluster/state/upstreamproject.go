package state

import (
	"errors"
	"reflect"
	"slices"
)

// project creates or changes one.
func (r *upstreamRun) project(in *UpstreamProject) (change, error) {
	tx := r.tx
	old, known, err := tx.Project(in.ID)
	if err != nil {
		return unchanged, err
	}
	if !known {
		old = Project{ID: in.ID, Type: in.Type, CreatedAt: r.At}
	}
	p, err := in.On(old)
	if err != nil {
		return unchanged, err
	}
	if known && reflect.DeepEqual(old, p) {
		return unchanged, nil
	}
	p.ModifiedAt = r.At
	if err := tx.checkUpstreamPlace(&p, known && old.Parent != p.Parent); err != nil {
		return unchanged, err
	}
	if known {
		return changed, errors.Join(p.save(tx), r.record(p, "remote_project_update", "update {project} as it is at the upstream site"))
	}
	if _, ok, err := tx.User(in.Owner); err != nil || !ok {
		return unchanged, orNotFound(err, "There is no such user as its owner.")
	}
	owner := RoleAssignment{ID: in.Assignment, Project: p.ID, User: in.Owner, Role: Owner}
	if owner.ID, err = tx.FreeAssignment(owner); err != nil {
		return unchanged, err
	}
	return created, errors.Join(owner.save(tx), p.save(tx), r.record(p, "remote_project_create", "create {project} from the upstream site"))
}

// On is a project, which has only its ID and Type if it is new, as the upstream site wants it. An error says why it can't be
// taken over.
func (in *UpstreamProject) On(p Project) (Project, error) {
	switch {
	case p.Type != in.Type:
		return p, Errorf(Conflict, "There is a "+string(p.Type)+" of this UUID here already, and at the upstream site it is a "+string(in.Type)+".")
	case p.Deleting:
		return p, Errorf(Conflict, "It is being deleted here.")
	}
	p.Title, p.Parent, p.Description, p.Readme, p.Upstream = in.Title, in.Parent, in.Description, in.Readme, true
	set(&p.PublicAccess, in.PublicAccess)
	return p, p.Validate()
}

// checkUpstreamPlace is checkPlace for what comes from the upstream site, in whose categories nothing else is.
func (tx *Tx) checkUpstreamPlace(p *Project, moved bool) error {
	if p.Parent != "" {
		parent, ok, err := tx.Project(p.Parent)
		if err != nil {
			return err
		}
		if !ok || parent.Type != TypeCategory || parent.Deleting || !parent.Upstream {
			return Errorf(Conflict, "Its category could not be taken over.")
		}
	}
	if err := tx.checkTree(p); err != nil {
		return err
	}
	return tx.depthBelow(p, moved)
}

// FreeAssignment is the id that an assignment is to have: its own, or that which follows from its project and user where
// another project has an assignment of that id.
func (tx *Tx) FreeAssignment(r RoleAssignment) (string, error) {
	if r.ID == "" {
		return defaultAssignment(r.Project, r.User), nil
	}
	other, taken, err := tx.AssignmentByID(r.ID)
	if taken && other.Project != r.Project {
		return defaultAssignment(r.Project, r.User), err
	}
	return r.ID, err
}

// roleName is what people call a role that can't be taken over.
func (tx *Tx) roleName(r *UpstreamRole) string {
	p, _, _ := tx.Project(r.Project)
	u, _, _ := tx.User(r.User)
	return u.Name + " in " + p.Title
}

// role gives, changes or takes away one. A project always has exactly one owner: the old one goes when a new one comes.
func (r *upstreamRun) role(in *UpstreamRole) (change, error) {
	tx := r.tx
	p, ok, err := tx.Project(in.Project)
	if err != nil {
		return unchanged, err
	}
	if !ok || !p.Upstream || p.Deleting {
		return unchanged, Errorf(Conflict, "The project could not be taken over.")
	}
	old, had, err := tx.Assignment(in.Project, in.User)
	if err != nil {
		return unchanged, err
	}
	if had && old.Role == Owner && in.Role != Owner {
		return unchanged, Errorf(Conflict, "A project needs an owner, and no other one could be taken over.")
	}
	if in.Role == "" {
		if !had {
			return unchanged, nil
		}
		r.countRole(in.Project, removed)
		return removed, old.remove(tx)
	}
	next := RoleAssignment{ID: in.ID, Project: in.Project, User: in.User, Role: in.Role}
	if err := tx.checkUpstreamRole(&p, &next); err != nil {
		return unchanged, err
	}
	if had && old == next {
		return unchanged, nil
	}
	if err := tx.makeRoom(&next); err != nil {
		return unchanged, err
	}
	did := created
	if had {
		did = changed
	}
	r.countRole(in.Project, did)
	return did, next.save(tx)
}

// checkUpstreamRole refuses a role that can't be, and settles the assignment's id.
func (tx *Tx) checkUpstreamRole(p *Project, next *RoleAssignment) error {
	if !slices.Contains(Roles, next.Role) {
		return Errorf(Invalid, "There is no role \""+string(next.Role)+"\".")
	}
	if next.Role == Finder && p.Type != TypeCategory {
		return Errorf(Invalid, "Finders are for categories only.")
	}
	if _, ok, err := tx.User(next.User); err != nil || !ok {
		return orNotFound(err, "There is no such user.")
	}
	id, err := tx.FreeAssignment(*next)
	if err != nil {
		return err
	}
	next.ID = id
	other, taken, err := tx.AssignmentByID(id)
	if taken && other.User != next.User && other.Role == Owner && next.Role != Owner {
		return Errorf(Conflict, "The owner's role has the same id.")
	}
	return err
}

// makeRoom removes what can't be beside the assignment: another owner, and another user's assignment of the same id.
func (tx *Tx) makeRoom(next *RoleAssignment) error {
	other, taken, err := tx.AssignmentByID(next.ID)
	if err != nil {
		return err
	}
	if taken && other.User != next.User {
		if err := other.remove(tx); err != nil {
			return err
		}
	}
	if next.Role != Owner {
		return nil
	}
	owner, ok, err := tx.OwnerOf(next.Project)
	if err != nil || !ok || owner.User == next.User {
		return err
	}
	return owner.remove(tx)
}

func (r *upstreamRun) countRole(project string, did change) {
	if r.byTheir == nil {
		r.byTheir = make(map[string]*UpstreamCounts)
	}
	if r.byTheir[project] == nil {
		r.byTheir[project] = &UpstreamCounts{}
		r.roles = append(r.roles, project)
	}
	r.byTheir[project].add(did)
}

// tell adds one event to the timeline for each project whose members have changed.
func (r *upstreamRun) tell() error {
	for _, id := range r.roles {
		p, _, err := r.tx.Project(id)
		if err != nil {
			return err
		}
		n := r.byTheir[id]
		err = r.record(p, "remote_role_update", "take over the members of {project} from the upstream site: "+
			itoa(n.Created)+" new, "+itoa(n.Changed)+" changed, "+itoa(n.Removed)+" removed")
		if err != nil {
			return err
		}
	}
	return nil
}
