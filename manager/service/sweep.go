package service

import (
	"context"
	"errors"
	"slices"
	"strings"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// AllContainers lists the containers of all projects that the actor may see, newest first.
func (s *Service) AllContainers(a Actor) (views []ContainerView, err error) {
	if !a.within(a.Project, auth.ListContainers) || !auth.Can(a.User, "", auth.ListContainers) {
		return nil, errScope
	}
	err = s.store.View(func(tx *state.Tx) error {
		projects, err := tx.Projects()
		if err != nil {
			return err
		}
		for _, p := range projects {
			if p.Type != state.TypeProject || may(tx, a, p.ID, auth.ViewContainer) != nil {
				continue
			}
			list, err := tx.ContainersOf(p.ID)
			if err != nil {
				return err
			}
			for _, c := range list {
				view, err := s.view(tx, a, c)
				if err != nil {
					return err
				}
				views = append(views, view)
			}
		}
		return nil
	})
	slices.SortStableFunc(views, func(a, b ContainerView) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return views, err
}

// Swept is what became of one container in an action on all of a kind.
type Swept struct {
	ID      string `json:"sodar_uuid"`
	Title   string `json:"title"`
	Project string `json:"project"` // title
	State   string `json:"state"`   // before
	// Done tells whether the action was submitted; Detail says why not. Without either it would be.
	Done   bool   `json:"done"`
	Detail string `json:"detail"`
}

// RemoveStopped deletes all containers that have exited, with their logs, for administrators. Without remove it tells which.
func (s *Service) RemoveStopped(ctx context.Context, a Actor, remove bool) ([]Swept, error) {
	return s.sweep(ctx, a, state.Delete, remove, func(c *state.Container) bool { return c.State == state.Exited && !c.Pending() })
}

// StopAll stops all containers that run, are paused or are on their way there, for administrators.
func (s *Service) StopAll(ctx context.Context, a Actor) ([]Swept, error) {
	return s.sweep(ctx, a, state.Stop, true, func(c *state.Container) bool { return c.Allowed(state.Stop) })
}

// sweep asks for an action on all containers that are wanted. One that is refused doesn't keep the others.
func (s *Service) sweep(ctx context.Context, a Actor, action state.Action, really bool, wanted func(*state.Container) bool) ([]Swept, error) {
	if err := administer(a); err != nil {
		return nil, err
	}
	views, err := s.AllContainers(a)
	if err != nil {
		return nil, err
	}
	swept := []Swept{}
	for _, view := range views {
		if !wanted(&view.Container) {
			continue
		}
		one := Swept{ID: view.ID, Title: view.Title, Project: view.ProjectTitle, State: view.Shown()}
		if really {
			_, err := s.Act(ctx, a, view.ID, action)
			var refused *state.Error
			switch {
			case err == nil:
				one.Done = true
			case errors.As(err, &refused):
				one.Detail = refused.Message
			default:
				return swept, err
			}
		}
		swept = append(swept, one)
	}
	slices.SortStableFunc(swept, func(a, b Swept) int { return strings.Compare(a.Project+"\x00"+a.Title, b.Project+"\x00"+b.Title) })
	return swept, nil
}
