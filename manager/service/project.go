package service

import (
	"cmp"
	"slices"

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

// ProjectView is a project as an actor sees it.
type ProjectView struct {
	state.Project
	Role   state.Role // "" for a superuser without one
	Counts Counts
	// Rights are what the actor may do in the project.
	Rights map[auth.Right]bool
}

// Projects lists the projects that the actor may see, by title.
func (s *Service) Projects(a Actor) (views []ProjectView, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		projects, err := tx.Projects()
		if err != nil {
			return err
		}
		for _, p := range projects {
			if may(tx, a, p.ID, auth.ViewContainer) != nil {
				continue
			}
			view, err := projectView(tx, a, p)
			if err != nil {
				return err
			}
			views = append(views, view)
		}
		return nil
	})
	slices.SortStableFunc(views, func(a, b ProjectView) int { return cmp.Compare(a.Title, b.Title) })
	return views, err
}

// Project returns one project.
func (s *Service) Project(a Actor, id string) (view ProjectView, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if err := may(tx, a, id, auth.ViewContainer); err != nil {
			return err
		}
		p, _, err := tx.Project(id)
		if err != nil {
			return err
		}
		view, err = projectView(tx, a, p)
		return err
	})
	return view, err
}

func projectView(tx *state.Tx, a Actor, p state.Project) (ProjectView, error) {
	role, err := tx.RoleOf(p.ID, a.User.ID)
	if err != nil {
		return ProjectView{}, err
	}
	containers, err := tx.ContainersOf(p.ID)
	if err != nil {
		return ProjectView{}, err
	}
	view := ProjectView{Project: p, Role: role, Rights: rightsOf(a, p.ID, role)}
	for _, c := range containers {
		if count := countAs[c.State]; count != nil {
			count(&view.Counts)
		}
	}
	return view, nil
}

func rightsOf(a Actor, project string, role state.Role) map[auth.Right]bool {
	rights := make(map[auth.Right]bool)
	for _, r := range auth.Rights() {
		rights[r] = a.can(project, role, r)
	}
	return rights
}
