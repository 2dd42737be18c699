package api

import (
	"github.com/gofiber/fiber/v2"

	"kiosc/manager/service"
)

// registerHealth adds what load balancers and service managers ask. Neither needs credentials.
func (a *API) registerHealth(app *fiber.App) {
	app.Get("/healthz", a.health)
	app.Get("/readyz", a.ready)
}

// health says that the process lives, and nothing else: whoever restarts it must not do so for want of a quorum.
func (a *API) health(c *fiber.Ctx) error {
	unasked(c)
	return c.SendString("ok\n")
}

// ready says whether requests should be sent to this manager.
func (a *API) ready(c *fiber.Ctx) error {
	unasked(c)
	if !a.service.Ready(c.UserContext()) {
		c.Set(fiber.HeaderRetryAfter, service.RetryAfter)
		return c.Status(fiber.StatusServiceUnavailable).SendString("This manager cannot serve yet: the cluster has no leader.\n")
	}
	return c.SendString("ok\n")
}
