package api

import (
	"github.com/gofiber/fiber/v2"

	"kiosc/manager/service"
)

// showFigures tells what a container uses and has used of late. The original has no such address.
func (a *API) showFigures(c *fiber.Ctx, actor service.Actor) error {
	report, err := a.service.ContainerFigures(c.UserContext(), actor, id(c, "container"))
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, report)
}

// showProjectFigures tells what a project's containers use together.
func (a *API) showProjectFigures(c *fiber.Ctx, actor service.Actor) error {
	report, err := a.service.ProjectFigures(c.UserContext(), actor, id(c, "project"))
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, report)
}

// showNodeFigures tells an admin what the containers on a Docker host use together.
func (a *API) showNodeFigures(c *fiber.Ctx, actor service.Actor) error {
	report, err := a.service.NodeFigures(c.UserContext(), actor, id(c, "node"))
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, report)
}
