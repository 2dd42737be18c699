package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"kiosc/cluster/state"
)

// GroupRule says what role in which project a group outside of Kiosc gives.
type GroupRule struct {
	Group string `json:"group"`
	// Project is the id or the path of titles, such as "Lab / Mice", of a project or a category.
	Project string     `json:"project"`
	Role    state.Role `json:"role"`
}

// GroupRules are what the groups of one directory or provider give. The zero value gives nothing.
type GroupRules struct {
	Roles []GroupRule
	// Superuser is the group that makes a superuser; empty for none.
	Superuser string
}

// rolesForm is how the setting looks, for error messages.
const rolesForm = `[{"group": "…", "project": "Category / Project", "role": "contributor"}]`

// ParseGroupRules reads the two settings; either may be empty. normal brings the name of a group into the form in which the
// directory's groups are given to TakeOver; nil where names are taken as they are. The error is half a sentence, behind
// the setting's name.
func ParseGroupRules(roles, superuser string, normal func(string) (string, error)) (rules GroupRules, err error) {
	if normal == nil {
		normal = func(group string) (string, error) { return group, nil }
	}
	if strings.TrimSpace(roles) != "" {
		read := json.NewDecoder(strings.NewReader(roles))
		read.DisallowUnknownFields()
		if err := read.Decode(&rules.Roles); err != nil {
			return rules, fmt.Errorf("is not of the form %s: %w", rolesForm, err)
		}
		if _, err := read.Token(); !errors.Is(err, io.EOF) {
			return rules, fmt.Errorf("has something behind its end; it is of the form %s", rolesForm)
		}
	}
	for i := range rules.Roles {
		r := &rules.Roles[i]
		if r.Group == "" || r.Project == "" {
			return rules, fmt.Errorf("has an entry without a group or without a project; it is of the form %s", rolesForm)
		}
		if r.Group, err = normal(r.Group); err != nil {
			return rules, err
		}
		if !strings.HasPrefix(string(r.Role), "project ") {
			r.Role = "project " + r.Role
		}
		if r.Role == state.Owner || !slices.Contains(state.Roles, r.Role) {
			return rules, fmt.Errorf("has the role %q; a group can give delegate, contributor, guest, viewer or finder", r.Role)
		}
	}
	if superuser != "" {
		rules.Superuser, err = normal(superuser)
	}
	return rules, err
}

// applied is what the rules make of somebody's groups.
type applied struct {
	groups    []string // those that a rule names
	roles     []state.GroupRole
	superuser bool
	unknown   []string // projects that rules name and that aren't there, or aren't ruled here
}

// apply tells what some groups give now.
func (g *GroupRules) apply(tx *state.Tx, groups []string) (a applied, err error) {
	for _, r := range g.Roles {
		if !slices.Contains(groups, r.Group) {
			continue
		}
		a.groups = append(a.groups, r.Group)
		p, ok, err := tx.Project(r.Project)
		if err == nil && !ok {
			p, ok, err = tx.ProjectByPath(r.Project)
		}
		switch {
		case err != nil:
			return a, err
		case !ok, p.Upstream, r.Role == state.Finder && p.Type != state.TypeCategory:
			a.unknown = append(a.unknown, r.Project)
		default:
			a.roles = append(a.roles, state.GroupRole{Project: p.ID, Role: r.Role})
		}
	}
	if g.Superuser != "" && slices.Contains(groups, g.Superuser) {
		a.superuser = true
		a.groups = append(a.groups, g.Superuser)
	}
	slices.Sort(a.groups)
	a.groups = slices.Compact(a.groups)
	return a, nil
}
