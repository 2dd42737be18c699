package api

import (
	"github.com/gofiber/fiber/v2"

	"kiosc/manager/auth"
	"kiosc/manager/service"
)

// registerImageAllowList adds the address of the image allow-list. The original has none.
func (a *API) registerImageAllowList(api fiber.Router) {
	a.route(api, "/image-allow-list", containerMedia, methods{fiber.MethodGet: a.showImageAllowList, fiber.MethodPut: a.setImageAllowList}).
		get(about{summary: "Show which images are allowed, and which containers have one that isn't any more", right: auth.Administer, out: service.ImageAllowList{}}).
		put(about{summary: "Set which images are allowed, as patterns with * and **; none for all images", right: auth.Administer,
			in: imageAllowListInput{}, needs: []string{"patterns"}, out: service.ImageAllowList{}})
}

// imageAllowListInput is what a request may set.
type imageAllowListInput struct {
	Patterns []string `json:"patterns"`
}

func (a *API) showImageAllowList(c *fiber.Ctx, actor service.Actor) error {
	list, err := a.service.ImageAllowList(actor)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, list)
}

func (a *API) setImageAllowList(c *fiber.Ctx, actor service.Actor) error {
	patterns, err := read(c, func(in *input) []string { return in.texts("patterns") }, "patterns")
	if err != nil {
		return err
	}
	list, err := a.service.SetImageAllowList(c.UserContext(), actor, patterns)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, list)
}
