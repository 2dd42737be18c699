package service

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// Counts is how many containers of a project run, are stopped, and have failed.
type Counts struct {
	Running, Stopped, Failed int
}

// countAs groups the states as Kiosc's project list shows them.
var countAs = map[state.State]func(*Counts){
	state.Running:    func(c *Counts) { c.Running++ },
	state.Restarting: func(c *Counts) { c.Running++ },
	state.Pulling:    func(c *Counts) { c.Running++ },
	state.Paused:     func(c *Counts) { c.Stopped++ },
	state.Created:    func(c *Counts) { c.Stopped++ },
	state.Initial:    func(c *Counts) { c.Stopped++ },
	state.Deleting:   func(c *Counts) { c.Stopped++ },
	state.Deleted:    func(c *Counts) { c.Stopped++ },
	state.Failed:     func(c *Counts) { c.Failed++ },
	state.Exited:     func(c *Counts) { c.Failed++ },
	state.Dead:       func(c *Counts) { c.Failed++ },
}

// Place is a project or category, by its id and title.
type Place struct {
	ID, Title string
}

// ProjectView is a project or category as an actor sees it. Who may only find it sees no more than its title and place.
type ProjectView struct {
	state.Project
	FullTitle string
	// Above are the categories that it is in, the outermost first.
	Above []Place
	// Children are the ids of what is directly in a category and may be seen.
	Children []string
	Role     state.Role // "" for a superuser without one, and for categories that are shown for what is in them
	Counts   Counts
	// Rights are what the actor may do in the project.
	Rights map[auth.Right]bool
}

// Projects lists the projects and categories that the actor may see, by full title. Categories are among them that
// something is in which the actor may see.
func (s *Service) Projects(a Actor) (views []ProjectView, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		projects, err := tx.Projects()
		if err != nil {
			return err
		}
		byID := make(map[string]state.Project, len(projects))
		for _, p := range projects {
			byID[p.ID] = p
		}
		shown := make(map[string]bool)
		for _, p := range projects {
			if may(tx, a, p.ID, auth.FindProject) != nil {
				continue
			}
			for at, ok := p, true; ok && !shown[at.ID]; at, ok = byID[at.Parent] {
				shown[at.ID] = true
			}
		}
		for _, p := range projects {
			if !shown[p.ID] {
				continue
			}
			view, err := projectView(tx, a, p)
			if err != nil {
				return err
			}
			s.narrow(&view)
			views = append(views, view)
		}
		return nil
	})
	slices.SortStableFunc(views, func(a, b ProjectView) int { return cmp.Compare(a.FullTitle, b.FullTitle) })
	return views, err
}

// Project returns one project or category.
func (s *Service) Project(a Actor, id string) (view ProjectView, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		p, known, err := tx.Project(id)
		if err != nil {
			return err
		}
		if err := may(tx, a, id, auth.FindProject); err != nil && (!known || !leadsTo(tx, a, p)) {
			return err
		}
		view, err = projectView(tx, a, p)
		s.narrow(&view)
		return err
	})
	return view, err
}

// narrow takes away what the site's settings let nobody do.
func (s *Service) narrow(v *ProjectView) {
	if !s.createsHere() && v.Rights != nil {
		v.Rights[auth.CreateProject] = false
	}
}

// seenIn lists the ids of what is directly in a category and the actor may see.
func seenIn(tx *state.Tx, a Actor, category string) (ids []string, err error) {
	children, err := tx.Children(category)
	for _, child := range children {
		if may(tx, a, child.ID, auth.FindProject) == nil || leadsTo(tx, a, child) {
			ids = append(ids, child.ID)
		}
	}
	return ids, err
}

// leadsTo tells whether there is something in a category that the actor may see.
func leadsTo(tx *state.Tx, a Actor, p state.Project) bool {
	if p.Type != state.TypeCategory {
		return false
	}
	ids, err := seenIn(tx, a, p.ID)
	return err == nil && len(ids) > 0
}

// projectFor returns a project in which the actor has the right.
func (s *Service) projectFor(a Actor, id string, right auth.Right) (p state.Project, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if err := may(tx, a, id, right); err != nil {
			return err
		}
		p, _, err = tx.Project(id)
		return err
	})
	return p, err
}

func projectView(tx *state.Tx, a Actor, p state.Project) (ProjectView, error) {
	role, err := tx.RoleOf(p.ID, a.User.ID)
	if err != nil {
		return ProjectView{}, err
	}
	above, err := tx.Ancestors(p.Parent)
	if err != nil {
		return ProjectView{}, err
	}
	view := ProjectView{Project: p, FullTitle: p.Title, Role: role, Rights: rightsOf(a, p, role)}
	for _, category := range above {
		view.FullTitle = category.Title + state.TitleSeparator + view.FullTitle
		view.Above = append([]Place{{category.ID, category.Title}}, view.Above...)
	}
	if p.Type == state.TypeCategory {
		if view.Children, err = seenIn(tx, a, p.ID); err != nil {
			return ProjectView{}, err
		}
	}
	if !view.Rights[auth.ViewProject] {
		view.Description, view.Readme = "", ""
	}
	if !view.Rights[auth.ViewContainer] {
		return view, nil
	}
	containers, err := tx.ContainersOf(p.ID)
	if err != nil {
		return ProjectView{}, err
	}
	for _, c := range containers {
		if count := countAs[c.State]; count != nil {
			count(&view.Counts)
		}
	}
	return view, nil
}

func rightsOf(a Actor, p state.Project, role state.Role) map[auth.Right]bool {
	rights := make(map[auth.Right]bool)
	for _, r := range auth.Rights() {
		rights[r] = a.can(p, role, r)
	}
	return rights
}

// CreatesAtTop tells whether the actor may create projects and categories outside of any category.
func (s *Service) CreatesAtTop(a Actor) bool {
	return s.createsHere() && a.User.Superuser && a.can(state.Project{}, "", auth.CreateProject)
}

// ProjectInput is what people enter for a project; nil leaves a field as it is, or empty in a new one.
type ProjectInput struct {
	Title, Description, Readme *string
	PublicAccess               *state.Role
	Archived                   *bool
	// Parent is the id of the category, empty for the top.
	Parent *string
	// Type and Owner, a user id, are for new projects only. Owner is empty for the actor.
	Type  state.Type
	Owner string
}

// CreateProject adds a project or a category.
func (s *Service) CreateProject(ctx context.Context, a Actor, in ProjectInput) (p state.Project, err error) {
	at := now()
	p = state.Project{ID: uuid.NewString(), Type: in.Type, Title: strings.TrimSpace(or(in.Title, "")), Parent: or(in.Parent, ""),
		Description: or(in.Description, ""), Readme: or(in.Readme, ""), PublicAccess: or(in.PublicAccess, ""), CreatedAt: at, ModifiedAt: at}
	if err := s.mayCreateIn(a, p.Parent); err != nil {
		return p, err
	}
	owner := cmp.Or(in.Owner, a.User.ID)
	create := &state.ProjectCreated{Project: p, Owner: owner, Assignment: uuid.NewString()}
	return act[state.Project](ctx, s, create, projectEvent(a, p, "project_create", "create {project}"))
}

// mayCreateIn refuses a category in which the actor may not create anything.
func (s *Service) mayCreateIn(a Actor, category string) error {
	if !s.createsHere() {
		return errCreateUp
	}
	if category == "" {
		if !s.CreatesAtTop(a) {
			return state.Errorf(state.Forbidden, "Only superusers may create projects and categories at the top. Choose a category.")
		}
		return nil
	}
	_, err := s.projectFor(a, category, auth.CreateProject)
	return err
}

// UpdateProject changes a project, archives it or takes it out, and moves it where the input has another category.
func (s *Service) UpdateProject(ctx context.Context, a Actor, id string, in ProjectInput) (p state.Project, err error) {
	p, err = s.projectFor(a, id, auth.UpdateProject)
	if err != nil {
		return p, err
	}
	if in.Parent != nil && *in.Parent != p.Parent {
		if err := s.mayCreateIn(a, *in.Parent); err != nil {
			return p, err
		}
	}
	change := &state.ProjectChanged{ID: id, Description: in.Description, Readme: in.Readme, PublicAccess: in.PublicAccess,
		Archived: in.Archived, Parent: in.Parent, At: now()}
	if in.Title != nil {
		title := strings.TrimSpace(*in.Title)
		change.Title = &title
	}
	e := projectEvent(a, p, "project_update", "update {project}")
	if in.Archived != nil && *in.Archived != p.Archived {
		e = projectEvent(a, p, "project_archive", "archive {project}")
		if p.Archived {
			e = projectEvent(a, p, "project_unarchive", "take {project} out of the archive")
		}
	}
	return act[state.Project](ctx, s, change, e)
}

// Deletion is what goes with a project.
type Deletion struct {
	Project    state.Project
	Containers []string // titles
	Files      int
	FileBytes  int64
	Members    int // users with a role of their own
	Invites    int
	// Children are what keeps a category from being deleted.
	Children []string
}

// Deletion tells what DeleteProject would delete.
func (s *Service) Deletion(a Actor, id string) (d Deletion, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if err := may(tx, a, id, auth.DeleteProject); err != nil {
			return err
		}
		if d.Project, _, err = tx.Project(id); err != nil {
			return err
		}
		containers, err := tx.ContainersOf(id)
		if err != nil {
			return err
		}
		for _, c := range containers {
			d.Containers = append(d.Containers, c.Title)
		}
		children, err := tx.Children(id)
		if err != nil {
			return err
		}
		for _, child := range children {
			d.Children = append(d.Children, child.Title)
		}
		roles, err := tx.RolesOf(id)
		if err != nil {
			return err
		}
		invites, err := tx.InvitesOf(id)
		if err != nil {
			return err
		}
		files, err := tx.FileUsageOf(id)
		d.Members, d.Invites, d.Files, d.FileBytes = len(roles), len(invites), files.Objects, files.Bytes
		return err
	})
	return d, err
}

// DeleteProject deletes a project with all that it has, or an empty category. It is gone once Docker hosts have removed the
// last of its containers.
func (s *Service) DeleteProject(ctx context.Context, a Actor, id string) error {
	p, err := s.projectFor(a, id, auth.DeleteProject)
	if err != nil {
		return err
	}
	e := projectEvent(a, p, "project_delete", "delete {project}")
	e.Project = p.Parent // where it can still be read
	_, err = act[state.Project](ctx, s, &state.ProjectDeleted{ID: id, User: a.User.Name, At: now()}, e)
	return err
}
