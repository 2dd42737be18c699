package api

import (
	"errors"
	"net/url"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
	"kiosc/manager/upstream"
)

// registerRemote adds the one address where other sites ask, which show by a secret in it who they are.
func (a *API) registerRemote(app *fiber.App) {
	app.Get(upstream.Path+":secret", a.remoteAnswer)
}

// remoteAnswer gives a target site its projects. It logs nothing of the address, which has the secret.
func (a *API) remoteAnswer(c *fiber.Ctx) error {
	unasked(c)
	wants, ok := upstream.WantsOf(c.Get(fiber.HeaderAccept), c.Get(upstream.Extension))
	if !ok {
		return a.fail(c, errVersion)
	}
	secret, err := url.PathUnescape(c.Params("secret"))
	if err != nil {
		secret = ""
	}
	// The front door says where a request comes from, and lets nobody else say it.
	raw, err := a.service.RemoteAnswer(a.closing, secret, c.Get(fiber.HeaderXForwardedFor), wants)
	var known *state.Error
	switch {
	case errors.Is(err, service.ErrUnknownSite):
		return render(c, fiber.StatusUnauthorized, service.ErrUnknownSite.Message)
	case errors.As(err, &known):
		return a.fail(c, err)
	case err != nil:
		a.opts.Logger.Error("a remote site could not be answered", "error", err)
		return detail(c, fiber.StatusInternalServerError, generalText)
	}
	c.Set(fiber.HeaderContentType, upstream.ContentType(wants.Version))
	return c.Send(raw)
}
