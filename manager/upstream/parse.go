package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"kiosc/cluster/state"
)

// Limits of an answer. It has far less where SODAR is used by a large institute.
const (
	// MaxAnswer is in bytes.
	MaxAnswer   = 64 << 20
	maxUsers    = 100_000
	maxProjects = 50_000
	maxRoles    = 1_000_000
)

// Answer is what the upstream site has for this one, checked and in an order that stays the same.
type Answer struct {
	users    []user // by name
	byName   map[string]*user
	projects []*project // categories before what is in them
	revoked  []string   // ids of projects
}

// user is a user of an answer.
type user struct {
	state.UpstreamUser
	// local says that they log in with a password of the upstream site's own.
	local bool
}

// project is a project whose members are given, or a category that one is in.
type project struct {
	state.UpstreamProject
	roles []role // by user name; nil where they are not told
}

// role is a role of an answer.
type role struct {
	id, user string
	role     state.Role
}

// errBroken begins what is said of an answer that can't be used. The rest tells what is wrong, without anything of the answer
// that is longer than a uuid.
func errBroken(format string, args ...any) error {
	return state.Errorf(state.Conflict, "The answer of the upstream site can't be used, and nothing was changed: "+fmt.Sprintf(format, args...)+".")
}

// Parse reads an answer. Fields that it doesn't know are passed over.
func Parse(raw []byte) (*Answer, error) {
	if len(raw) > MaxAnswer {
		return nil, errBroken("it has more than %d MiB", MaxAnswer>>20)
	}
	if !utf8.Valid(raw) {
		return nil, errBroken("it is not UTF-8")
	}
	var p payload
	read := json.NewDecoder(bytes.NewReader(raw))
	if err := read.Decode(&p); err != nil {
		return nil, errBroken("%s", jsonFault(err))
	}
	if _, err := read.Token(); !errors.Is(err, io.EOF) {
		return nil, errBroken("something stands behind its end")
	}
	if p.Users == nil || p.Projects == nil {
		return nil, errBroken("it lacks the users or the projects")
	}
	if len(p.Users) > maxUsers || len(p.Projects) > maxProjects {
		return nil, errBroken("it has more than %d users or %d projects", maxUsers, maxProjects)
	}
	a := &Answer{byName: make(map[string]*user, len(p.Users))}
	if err := a.readUsers(p.Users); err != nil {
		return nil, err
	}
	return a, a.readProjects(p.Projects)
}

// jsonFault tells what is wrong with JSON in words that don't repeat it.
func jsonFault(err error) string {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Sprintf("%q can't be a %s", kind.Field, kind.Value)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return "it is cut off"
	}
	return "it is not the JSON that SODAR answers with"
}

// canonical gives a uuid the one form in which the state has it.
func canonical(text string) (string, error) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != len("00000000-0000-0000-0000-000000000000") {
		return "", errBroken("something has no UUID")
	}
	return id.String(), nil
}

func (a *Answer) readUsers(all map[string]userJSON) error {
	seen := make(map[string]bool, len(all))
	for _, key := range slices.Sorted(maps.Keys(all)) {
		in := all[key]
		id, err := canonical(key)
		if err != nil {
			return err
		}
		switch {
		case in.UUID != "" && !strings.EqualFold(in.UUID, id), seen[id]:
			return errBroken("the user %s is there twice, or has two UUIDs", id)
		case in.Username == "":
			return errBroken("the user %s has no name", id)
		}
		seen[id] = true
		u := user{UpstreamUser: state.UpstreamUser{ID: id, Name: in.Username, FullName: cut(in.Name, 255), FirstName: cut(in.FirstName, 150),
			LastName: cut(in.LastName, 150), Email: in.Email, AdditionalEmails: in.AdditionalEmails, Groups: slices.Clone(in.Groups),
			AuthType: authType(in.Groups), Active: in.IsActive}}
		slices.Sort(u.Groups)
		u.local = u.AuthType == ""
		a.users = append(a.users, u)
	}
	slices.SortFunc(a.users, func(x, y user) int { return strings.Compare(x.Name, y.Name) })
	for i := range a.users {
		u := &a.users[i]
		if a.byName[u.Name] != nil {
			return errBroken("two users have one name")
		}
		a.byName[u.Name] = u
	}
	return nil
}

// authType tells by the groups of a user how they log in; "" for a password of the site's own.
func authType(groups []string) state.AuthType {
	switch {
	case len(groups) == 0 || slices.Contains(groups, groupSystem):
		return ""
	case slices.Contains(groups, groupOIDC):
		return state.AuthOIDC
	}
	return state.AuthLDAP
}

// cut shortens a text to a number of bytes.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// readProjects takes the projects whose members are given, with the categories above them, and those that are revoked. The
// rest is not for this site to act upon.
func (a *Answer) readProjects(all map[string]projectJSON) error {
	r := projectReader{all: make(map[string]projectJSON, len(all)), done: make(map[string]int), roles: make(map[string]bool), answer: a}
	for key, in := range all {
		id, err := canonical(key)
		if err != nil {
			return err
		}
		if _, twice := r.all[id]; twice {
			return errBroken("the project %s is there twice", id)
		}
		if in.Type != string(state.TypeProject) && in.Type != string(state.TypeCategory) {
			return errBroken("the project %s is neither a project nor a category", id)
		}
		r.all[id] = in
	}
	for _, id := range slices.Sorted(maps.Keys(r.all)) {
		in := r.all[id]
		switch {
		case in.Type == string(state.TypeCategory):
		case in.Level == levelRevoked:
			a.revoked = append(a.revoked, id)
		case in.Level == levelReadRoles:
			if err := r.take(id, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// projectReader takes projects, each once and behind its category.
type projectReader struct {
	all    map[string]projectJSON
	done   map[string]int // depth of what was taken, from 1
	roles  map[string]bool
	answer *Answer
}

// take takes a project; below counts what it was reached from.
func (r *projectReader) take(id string, below int) error {
	if r.done[id] > 0 {
		return nil
	}
	in := r.all[id]
	parent := ""
	if in.Parent != nil && *in.Parent != "" {
		var err error
		if parent, err = canonical(*in.Parent); err != nil {
			return err
		}
		category, there := r.all[parent]
		switch {
		case !there:
			return errBroken("the category of %s is not in it", id)
		case category.Type != string(state.TypeCategory):
			return errBroken("%s is in a project, and not in a category", id)
		case below > state.MaxDepth:
			return errBroken("%s is in itself, or its categories are nested more than %d levels deep", id, state.MaxDepth)
		}
		if err := r.take(parent, below+1); err != nil {
			return err
		}
	}
	if r.done[id] = r.done[parent] + 1; r.done[id] > state.MaxDepth+1 {
		return errBroken("the categories of %s are nested more than %d levels deep", id, state.MaxDepth)
	}
	p := &project{UpstreamProject: state.UpstreamProject{ID: id, Parent: parent, Title: in.Title, Type: state.Type(in.Type),
		Description: cut(in.Description, state.MaxProjectDescription), Readme: cut(in.Readme, state.MaxReadme)}}
	var err error
	if p.PublicAccess, err = publicAccess(in); err != nil {
		return errBroken("the public access of %s is neither a role nor null", id)
	}
	if in.Level == levelReadRoles {
		if p.roles, err = r.readRoles(id, in.Roles); err != nil {
			return err
		}
	}
	r.answer.projects = append(r.answer.projects, p)
	return nil
}

// publicAccess is nil where it isn't told.
func publicAccess(in projectJSON) (*state.Role, error) {
	var access state.Role
	switch {
	case in.Type == string(state.TypeCategory):
		return nil, nil
	case len(in.PublicAccess) > 0:
		var name *string
		if err := json.Unmarshal(in.PublicAccess, &name); err != nil {
			return nil, err
		}
		if name != nil {
			access = state.Role(*name)
		}
	case in.PublicGuestAccess != nil:
		if *in.PublicGuestAccess {
			access = state.Guest
		}
	default:
		return nil, nil
	}
	return &access, nil
}

func (r *projectReader) readRoles(project string, all map[string]roleJSON) ([]role, error) {
	if len(all) == 0 {
		return nil, errBroken("%s is to be given with its roles and has none", project)
	}
	users, owners := make(map[string]bool, len(all)), 0
	roles := make([]role, 0, len(all))
	for key, in := range all {
		id, err := canonical(key)
		if err != nil {
			return nil, err
		}
		switch {
		case r.roles[id]:
			return nil, errBroken("the role %s is there twice", id)
		case in.User == "" || in.Role == "":
			return nil, errBroken("the role %s lacks its user or the role", id)
		case users[in.User]:
			return nil, errBroken("a user has two roles in %s", project)
		}
		r.roles[id], users[in.User] = true, true
		if in.Role == string(state.Owner) {
			owners++
		}
		roles = append(roles, role{id, in.User, state.Role(in.Role)})
	}
	switch {
	case owners > 1:
		return nil, errBroken("%s has %d owners", project, owners)
	case len(r.roles) > maxRoles:
		return nil, errBroken("it has more than %d roles", maxRoles)
	}
	slices.SortFunc(roles, func(x, y role) int { return strings.Compare(x.user, y.user) })
	return roles, nil
}
