package state

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Type says whether a node of the project tree holds containers or other projects.
type Type string

const (
	TypeProject  Type = "PROJECT"
	TypeCategory Type = "CATEGORY"
)

// Project is a project or a category of the tree.
type Project struct {
	ID          string
	Title       string
	Type        Type
	Parent      string // id of a category; empty at the top
	Description string
	CreatedAt   time.Time
}

// MaxProjectTitle is in bytes.
const MaxProjectTitle = 255

// Validate checks the rules that hold for every project.
func (p *Project) Validate() error {
	f := fieldErrors{}
	requireText(f, "title", p.Title, MaxProjectTitle)
	if strings.Contains(p.Title, " / ") {
		f.add("title", "A title can't contain \" / \", which separates titles in a path.")
	}
	if p.Type != TypeProject && p.Type != TypeCategory {
		f.add("type", "The type is PROJECT or CATEGORY.")
	}
	checkText(f, "description", p.Description, 64<<10)
	return f.err()
}

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

// ProjectCreated adds a project with its owner.
type ProjectCreated struct {
	Project Project
	Owner   string // user id
}

func (c *ProjectCreated) apply(tx *Tx) (any, error) {
	if err := c.Project.Validate(); err != nil {
		return nil, err
	}
	if _, ok, err := tx.User(c.Owner); err != nil || !ok {
		return nil, orNotFound(err, "There is no such user.")
	}
	projects, err := tx.Projects()
	if err != nil {
		return nil, err
	}
	for _, p := range projects {
		if p.Parent == c.Project.Parent && p.Title == c.Project.Title {
			return nil, Errorf(Conflict, "There is a project of this title already.")
		}
	}
	if err := tx.put(bucketRoles, key(c.Project.ID, c.Owner), Owner); err != nil {
		return nil, err
	}
	return nil, tx.put(bucketProjects, []byte(c.Project.ID), c.Project)
}

// Project returns a project by id.
func (tx *Tx) Project(id string) (p Project, ok bool, err error) {
	return get[Project](tx, bucketProjects, []byte(id))
}

// Projects returns all projects, in an order that stays the same.
func (tx *Tx) Projects() (projects []Project, err error) {
	err = each(tx, bucketProjects, nil, func(_ []byte, p Project) bool {
		projects = append(projects, p)
		return true
	})
	return projects, err
}

// RoleOf returns the user's role in a project, "" for none.
func (tx *Tx) RoleOf(project, user string) (Role, error) {
	role, _, err := get[Role](tx, bucketRoles, key(project, user))
	return role, err
}

func orNotFound(err error, message string) error {
	if err != nil {
		return err
	}
	return Errorf(NotFound, message)
}

// checkText refuses text that is too long (bytes), isn't UTF-8 or has a zero byte.
func checkText(f fieldErrors, field, text string, limit int) {
	switch {
	case len(text) > limit:
		f.add(field, "Ensure this field has no more than "+itoa(limit)+" characters.")
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		f.add(field, "This field must be valid text.")
	}
}

// requireText is checkText for a field that can't be blank.
func requireText(f fieldErrors, field, text string, limit int) {
	if strings.TrimSpace(text) == "" {
		f.add(field, "This field may not be blank.")
		return
	}
	checkText(f, field, text, limit)
}
