package service

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

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
			list, err := s.views(tx, a, p.ID)
			if err != nil {
				return err
			}
			views = append(views, list...)
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
	// Done tells whether it is stopped or deleted; Detail says why not, or what it waits for. Without either it would be.
	Done   bool   `json:"done"`
	Detail string `json:"detail"`
}

// sweepPatience is how long a sweep waits for the Docker hosts, which is less than an admin command may take.
const sweepPatience = 20 * time.Second

// RemoveStopped deletes all containers that have exited, with their logs, for administrators. Without remove it tells which.
func (s *Service) RemoveStopped(ctx context.Context, a Actor, remove bool) ([]Swept, error) {
	return s.sweep(ctx, a, state.Delete, remove, func(c *state.Container) bool { return c.State == state.Exited && !c.Pending() })
}

// StopAll stops all containers that run, are paused or are on their way there, for administrators.
func (s *Service) StopAll(ctx context.Context, a Actor) ([]Swept, error) {
	return s.sweep(ctx, a, state.Stop, true, func(c *state.Container) bool { return c.Allowed(state.Stop) })
}

// sweep asks for an action on all containers that are wanted, and waits a while for it to be done. One that is refused doesn't keep
// the others. Those for which the same was asked before, and that still wait for it, count as well, so that a sweep can be repeated
// until all is done.
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
		waits := view.Pending() && view.Action == action
		if !waits && !wanted(&view.Container) {
			continue
		}
		one := Swept{ID: view.ID, Title: view.Title, Project: view.ProjectTitle, State: view.Shown()}
		if really && !waits {
			_, err := s.Act(ctx, a, view.ID, action)
			var refused *state.Error
			switch {
			case errors.As(err, &refused):
				one.Detail = refused.Message
			case err != nil:
				return swept, err
			}
		}
		swept = append(swept, one)
	}
	slices.SortStableFunc(swept, func(a, b Swept) int { return strings.Compare(a.Project+"\x00"+a.Title, b.Project+"\x00"+b.Title) })
	if !really {
		return swept, nil
	}
	return swept, s.awaitSwept(ctx, a, swept)
}

// awaitSwept waits until what a sweep has asked for is done, and says of each container that isn't what it waits for.
func (s *Service) awaitSwept(ctx context.Context, a Actor, swept []Swept) error {
	changed, stop := s.store.Watch(state.TopicPending)
	defer stop()
	patience := time.NewTimer(sweepPatience)
	defer patience.Stop()
	for last := false; ; {
		waiting := false
		for i := range swept {
			one := &swept[i]
			if one.Done || one.Detail != "" {
				continue
			}
			if err := s.look(a, one, last); err != nil {
				return err
			}
			waiting = waiting || !one.Done && one.Detail == ""
		}
		if !waiting {
			return nil
		}
		select {
		case <-changed:
		case <-patience.C:
			last = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look finds out how the action on a container has ended, or with last what it still waits for.
func (s *Service) look(a Actor, one *Swept, last bool) error {
	view, err := s.Container(a, one.ID)
	switch {
	case state.CodeOf(err) == state.NotFound:
		one.Done = true
	case err != nil:
		return err
	case !view.Pending() && (view.State == state.Failed || view.State == state.Dead):
		one.Detail = "It has failed. The container's log says why."
	case !view.Pending():
		one.Done = true
	case last:
		one.Detail = "It is not done yet. " + view.Step
	}
	return nil
}
