package state

import (
	"cmp"
	"errors"
	"slices"
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
	Title       string // unique in its category
	Type        Type
	Parent      string // id of a category; empty at the top
	Description string
	Readme      string // Markdown
	// PublicAccess is a role that everybody who can log in has in a project; empty for none.
	PublicAccess Role
	// Archived projects keep what they have as it is; their running apps stay open to visitors.
	Archived bool
	// Upstream says that the project comes from an upstream site, where alone it is changed.
	Upstream bool
	// Deleting says that the project goes once its last container is gone.
	Deleting   bool
	CreatedAt  time.Time
	ModifiedAt time.Time
}

// Limits of projects. Lengths are in bytes.
const (
	MaxProjectTitle       = 255
	MaxProjectDescription = 64 << 10
	MaxReadme             = 256 << 10
	// MaxDepth is how many categories may lie above a project.
	MaxDepth = 32
	// TitleSeparator stands between the titles of a path.
	TitleSeparator = " / "
)

// Validate checks the rules that hold for every project.
func (p *Project) Validate() error {
	f := fieldErrors{}
	requireText(f, "title", p.Title, MaxProjectTitle)
	if strings.Contains(p.Title, TitleSeparator) {
		f.add("title", "A title can't contain \" / \", which separates titles in a path.")
	}
	if p.Title != strings.TrimSpace(p.Title) {
		f.add("title", "A title can't begin or end with a blank.")
	}
	if p.Type != TypeProject && p.Type != TypeCategory {
		f.add("type", "The type is PROJECT or CATEGORY.")
	}
	checkText(f, "description", p.Description, MaxProjectDescription)
	checkText(f, "readme", p.Readme, MaxReadme)
	switch {
	case p.PublicAccess == "":
	case p.PublicAccess != Guest && p.PublicAccess != Viewer:
		f.add("public_access", "Everybody can be given the role project guest or project viewer only.")
	case p.Type == TypeCategory:
		f.add("public_access", "A category can't be opened to everybody.")
	}
	if p.Archived && p.Type == TypeCategory {
		f.add("archive", "Only projects can be archived, not categories.")
	}
	return f.err()
}

// ProjectCreated adds a project with its owner. Applied, it returns the Project.
type ProjectCreated struct {
	Project Project
	Owner   string // user id
	// Assignment is the id of the owner's role; empty for one that follows from the other two ids.
	Assignment string
}

func (c *ProjectCreated) apply(tx *Tx) (any, error) {
	if err := c.Project.Validate(); err != nil {
		return nil, err
	}
	if _, known, err := tx.Project(c.Project.ID); err != nil || known {
		return nil, orConflict(err, "There is a project of this id already.")
	}
	owner, ok, err := tx.User(c.Owner)
	if err != nil || !ok {
		return nil, orNotFound(err, "There is no such user.")
	}
	if err := tx.checkPlace(&c.Project, true); err != nil {
		return nil, err
	}
	role := RoleAssignment{ID: c.Assignment, Project: c.Project.ID, User: owner.ID, Role: Owner}
	if err := role.save(tx); err != nil {
		return nil, err
	}
	return c.Project, c.Project.save(tx)
}

// checkPlace refuses a project whose parent or title can't be. It is entering its category if it is new there.
func (tx *Tx) checkPlace(p *Project, entering bool) error {
	if p.Parent != "" {
		parent, ok, err := tx.Project(p.Parent)
		if err != nil {
			return err
		}
		if !ok || parent.Type != TypeCategory {
			return wrongField("parent", "There is no such category.")
		}
		if err := parent.takesChanges(); err != nil && (entering || parent.Deleting) {
			return err
		}
		if parent.Title == p.Title {
			return wrongField("title", "The title can't be that of the category.")
		}
	}
	return tx.checkTree(p)
}

// checkTree refuses a place in the tree that can't be, whoever wants it.
func (tx *Tx) checkTree(p *Project) error {
	if p.Parent != "" {
		above, err := tx.Ancestors(p.Parent)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(above, func(a Project) bool { return a.ID == p.ID }) {
			return wrongField("parent", "A category can't be moved into itself.")
		}
		if len(above) > MaxDepth {
			return wrongField("parent", "Categories can't be nested more than "+itoa(MaxDepth)+" levels deep.")
		}
	}
	if id := tx.btx.Bucket(bucketChildren).Get(key(p.Parent, p.Title)); id != nil && string(id) != p.ID {
		return wrongField("title", "There is a project or category of this title already.")
	}
	return nil
}

// takesChanges refuses what people can't change themselves.
func (p *Project) takesChanges() error {
	switch {
	case p.Deleting:
		return Errorf(Conflict, "\""+p.Title+"\" is being deleted.")
	case p.Upstream:
		return Errorf(Conflict, "\""+p.Title+"\" comes from the upstream SODAR site and can only be changed there.")
	}
	return nil
}

// changeable returns a project that people may change.
func (tx *Tx) changeable(id string) (Project, error) {
	p, ok, err := tx.Project(id)
	if err != nil || !ok {
		return p, orNotFound(err, "There is no such project.")
	}
	return p, p.takesChanges()
}

// save stores the project and keeps the index of the tree in step.
func (p *Project) save(tx *Tx) error {
	old, known, err := tx.Project(p.ID)
	if err != nil {
		return err
	}
	if known && (old.Parent != p.Parent || old.Title != p.Title) {
		if err := tx.delete(bucketChildren, key(old.Parent, old.Title)); err != nil {
			return err
		}
	}
	return errors.Join(tx.putRaw(bucketChildren, key(p.Parent, p.Title), []byte(p.ID)), tx.put(bucketProjects, []byte(p.ID), p))
}

// ProjectChanged changes of a project what isn't nil. Applied, it returns the Project.
type ProjectChanged struct {
	ID                         string
	Title, Description, Readme *string
	PublicAccess               *Role
	Archived                   *bool
	// Parent moves the project into another category, with all that is below it; empty for the top.
	Parent *string
	At     time.Time
}

func (c *ProjectChanged) apply(tx *Tx) (any, error) {
	p, err := tx.changeable(c.ID)
	if err != nil {
		return nil, err
	}
	set(&p.Title, c.Title)
	set(&p.Description, c.Description)
	set(&p.Readme, c.Readme)
	set(&p.PublicAccess, c.PublicAccess)
	set(&p.Archived, c.Archived)
	p.ModifiedAt = c.At
	moved := c.Parent != nil && *c.Parent != p.Parent
	set(&p.Parent, c.Parent)
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if moved || c.Title != nil {
		if err := tx.checkPlace(&p, moved); err != nil {
			return nil, err
		}
	}
	if err := tx.titleOfChildren(&p); err != nil {
		return nil, err
	}
	if err := tx.depthBelow(&p, moved); err != nil {
		return nil, err
	}
	return p, p.save(tx)
}

// titleOfChildren refuses a title that one of the project's children has.
func (tx *Tx) titleOfChildren(p *Project) error {
	if tx.btx.Bucket(bucketChildren).Get(key(p.ID, p.Title)) != nil {
		return wrongField("title", "The title can't be that of a project in the category.")
	}
	return nil
}

// depthBelow refuses a move that would bring what is below a category too deep.
func (tx *Tx) depthBelow(p *Project, moved bool) error {
	if !moved || p.Type != TypeCategory {
		return nil
	}
	above, err := tx.Ancestors(p.Parent)
	if err != nil {
		return err
	}
	height, err := tx.height(p.ID, MaxDepth+1)
	if err == nil && len(above)+1+height > MaxDepth+1 {
		err = wrongField("parent", "Categories can't be nested more than "+itoa(MaxDepth)+" levels deep.")
	}
	return err
}

// height is how many levels are below a project, up to a limit.
func (tx *Tx) height(id string, limit int) (height int, err error) {
	children, err := tx.Children(id)
	if err != nil || limit == 0 {
		return 0, err
	}
	for _, child := range children {
		below, err := tx.height(child.ID, limit-1)
		if err != nil {
			return 0, err
		}
		height = max(height, 1+below)
	}
	return height, nil
}

// ProjectDeleted deletes a project with all that it has, or an empty category. Docker containers are removed by their
// hosts first: until then the project is there, marked Deleting, and takes no more changes. Asking again tries the removal of
// those again that failed. Applied, it returns the Project.
type ProjectDeleted struct {
	ID   string
	User string // user name, for the containers' logs
	At   time.Time
}

func (c *ProjectDeleted) apply(tx *Tx) (any, error) {
	p, ok, err := tx.Project(c.ID)
	if err != nil || !ok {
		return nil, orNotFound(err, "There is no such project.")
	}
	if err := p.takesChanges(); err != nil && !p.Deleting {
		return nil, err
	}
	children, err := tx.Children(p.ID)
	if err != nil {
		return nil, err
	}
	if len(children) > 0 {
		return nil, Errorf(Conflict, "The category is not empty. Delete or move what is in it first.")
	}
	p.Deleting, p.ModifiedAt = true, c.At
	if err := p.save(tx); err != nil {
		return nil, err
	}
	containers, err := tx.ContainersOf(p.ID)
	if err != nil {
		return nil, err
	}
	for _, cont := range containers {
		if err := cont.discard(tx, c.User, c.At); err != nil {
			return nil, err
		}
	}
	return p, tx.removeIfEmptied(p.ID)
}

// discard removes a container, by its host where one has it.
func (c *Container) discard(tx *Tx, user string, at time.Time) error {
	if c.Node == "" {
		return c.remove(tx)
	}
	if c.Action == Delete && c.Pending() {
		return nil
	}
	c.goal(Delete, user, at)
	tx.touch(TopicPending)
	line := LogEntry{Time: at, Level: Info, User: user, Process: ProcessAction, Text: "Delete"}
	return errors.Join(tx.putRaw(bucketPending, []byte(c.ID), []byte{}), tx.log(c.ID, line), c.save(tx))
}

// removeIfEmptied removes a project that is being deleted once it has no container any more.
func (tx *Tx) removeIfEmptied(id string) error {
	p, ok, err := tx.Project(id)
	if err != nil || !ok || !p.Deleting || tx.hasContainers(id) {
		return err
	}
	if err := tx.removeRoles(id); err != nil {
		return err
	}
	if err := errors.Join(tx.removeInvites(id), tx.removeFilesOf(id), tx.removeQuota(id), tx.forgetGiven(id),
		tx.removeTemplatesOf(id), tx.removeRegistriesOf(id), tx.forgetVolumesOf(id)); err != nil {
		return err
	}
	return errors.Join(tx.delete(bucketChildren, key(p.Parent, p.Title)), tx.delete(bucketProjects, []byte(id)))
}

func (tx *Tx) hasContainers(project string) bool {
	prefix := key(project, "")
	k, _ := tx.btx.Bucket(bucketTitles).Cursor().Seek(prefix)
	return k != nil && hasPrefix(k, prefix)
}

// Project returns a project by id.
func (tx *Tx) Project(id string) (p Project, ok bool, err error) {
	return get[Project](tx, bucketProjects, []byte(id))
}

// Projects returns all projects and categories, in an order that stays the same.
func (tx *Tx) Projects() (projects []Project, err error) {
	err = each(tx, bucketProjects, nil, func(_ []byte, p Project) bool {
		projects = append(projects, p)
		return true
	})
	return projects, err
}

// Children returns what is directly in a category, or at the top for an empty id, by title.
func (tx *Tx) Children(category string) (children []Project, err error) {
	c := tx.btx.Bucket(bucketChildren).Cursor()
	prefix := key(category, "")
	for k, id := c.Seek(prefix); k != nil && hasPrefix(k, prefix); k, id = c.Next() {
		p, ok, err := tx.Project(string(id))
		if err != nil {
			return nil, err
		}
		if ok {
			children = append(children, p)
		}
	}
	slices.SortStableFunc(children, func(a, b Project) int { return cmp.Compare(a.Title, b.Title) })
	return children, nil
}

// Ancestors returns the project with this id and the categories above it, from the inside out; none for an empty id.
func (tx *Tx) Ancestors(id string) (chain []Project, err error) {
	for range MaxDepth + 2 {
		p, ok, err := tx.Project(id)
		if err != nil || !ok {
			return chain, err
		}
		chain = append(chain, p)
		id = p.Parent
	}
	return chain, nil
}

// FullTitle is a project's title behind those of the categories that it is in.
func (tx *Tx) FullTitle(id string) (string, error) {
	chain, err := tx.Ancestors(id)
	titles := make([]string, 0, len(chain))
	for _, p := range slices.Backward(chain) {
		titles = append(titles, p.Title)
	}
	return strings.Join(titles, TitleSeparator), err
}

// ProjectByPath returns the project with this full title.
func (tx *Tx) ProjectByPath(path string) (p Project, ok bool, err error) {
	id := ""
	for _, title := range strings.Split(path, TitleSeparator) {
		found := tx.btx.Bucket(bucketChildren).Get(key(id, title))
		if found == nil {
			return Project{}, false, nil
		}
		id = string(found)
	}
	return tx.Project(id)
}

func orNotFound(err error, message string) error {
	if err != nil {
		return err
	}
	return Errorf(NotFound, message)
}

// wrongField is an Invalid error of one field.
func wrongField(field, message string) error {
	f := fieldErrors{}
	f.add(field, message)
	return f.err()
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
