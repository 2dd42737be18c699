package service

import (
	"context"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/figures"
)

// Figures tells what containers use; see manager/figures.
type Figures interface {
	Report(ctx context.Context, of figures.Of) (figures.Report, error)
}

// UseFigures says who knows what containers use. It must be called before anything else.
func (s *Service) UseFigures(f Figures) { s.figures = f }

// ContainerFigures tells what a container uses and has used of late.
func (s *Service) ContainerFigures(ctx context.Context, a Actor, id string) (figures.Report, error) {
	if _, err := s.container(a, id, auth.ViewContainer); err != nil {
		return figures.Report{}, err
	}
	return s.report(ctx, figures.Of{Container: id})
}

// ProjectFigures tells what the containers of a project use together.
func (s *Service) ProjectFigures(ctx context.Context, a Actor, project string) (figures.Report, error) {
	if err := s.may(a, project, auth.ViewContainer); err != nil {
		return figures.Report{}, err
	}
	return s.report(ctx, figures.Of{Project: project})
}

// NodeFigures tells what the containers on a Docker host use together, for admins.
func (s *Service) NodeFigures(ctx context.Context, a Actor, node string) (figures.Report, error) {
	if !a.can(state.Project{}, "", auth.Administer) {
		return figures.Report{}, errNoNode
	}
	err := s.store.View(func(tx *state.Tx) error {
		n, ok, err := tx.Node(node)
		if err == nil && (!ok || n.Role != state.AgentNode) {
			err = errNoNode
		}
		return err
	})
	if err != nil {
		return figures.Report{}, err
	}
	return s.report(ctx, figures.Of{Node: node})
}

var errNoNode = state.Errorf(state.NotFound, "There is no such Docker host, or you have no access to it.")

func (s *Service) report(ctx context.Context, of figures.Of) (figures.Report, error) {
	if s.figures == nil {
		return figures.Report{}, state.Errorf(state.Unavailable, "This Kiosc has no figures of containers.")
	}
	return s.figures.Report(ctx, of)
}
