package api

import (
	"github.com/gofiber/fiber/v2"

	"kiosc/manager/auth"
	"kiosc/manager/service"
)

// registerDocker adds the addresses of what Docker hosts have. The original has none.
func (a *API) registerDocker(api fiber.Router) {
	a.route(api, "/docker", containerMedia, reading(a.showDocker)).
		get(about{summary: "List what the Docker hosts have, of Kiosc and of others", right: auth.Administer, out: []service.DockerHost{}})
	a.route(api, "/docker/:node<guid>/remove", containerMedia, methods{fiber.MethodPost: a.removeFromDocker}).
		post(about{summary: "Remove images and volumes that no Docker container uses from a Docker host; those that are refused stay",
			right: auth.Administer, in: dockerInput{}, out: service.DockerRemoval{}})
}

// dockerInput names images by their whole ids, and volumes by their names.
type dockerInput struct {
	Images  []string `json:"images"`
	Volumes []string `json:"volumes"`
}

func (a *API) showDocker(c *fiber.Ctx, actor service.Actor) error {
	all, err := a.service.Docker(c.UserContext(), actor, true)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, all)
}

// removeFromDocker answers with 200 also where some were refused.
func (a *API) removeFromDocker(c *fiber.Ctx, actor service.Actor) error {
	things, err := read(c, func(in *input) service.DockerThings {
		return service.DockerThings{Images: in.texts("images"), Volumes: in.texts("volumes")}
	})
	if err != nil {
		return err
	}
	out, err := a.service.RemoveFromDocker(c.UserContext(), actor, id(c, "node"), things, true)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, out)
}
