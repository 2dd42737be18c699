package api

import (
	"github.com/gofiber/fiber/v2"

	"kiosc/manager/service"
)

// showFigures tells what a container uses and has used of late. The original has no such address.
func (a *API) showFigures(c *fiber.Ctx, actor service.Actor) error {
	container, err := id(c, "container")
	if err != nil {
		return err
	}
	report, err := a.service.ContainerFigures(c.UserContext(), actor, container)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, report)
}

// showProjectFigures tells what a project's containers use together.
func (a *API) showProjectFigures(c *fiber.Ctx, actor service.Actor) error {
	project, err := id(c, "project")
	if err != nil {
		return err
	}
	report, err := a.service.ProjectFigures(c.UserContext(), actor, project)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, report)
}

// showNodeFigures tells an admin what the containers on a Docker host use together.
func (a *API) showNodeFigures(c *fiber.Ctx, actor service.Actor) error {
	node, err := id(c, "node")
	if err != nil {
		return err
	}
	report, err := a.service.NodeFigures(c.UserContext(), actor, node)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, report)
}
