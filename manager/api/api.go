// Package api is the REST API, at the original Kiosc's paths and with its field names and statuses.
//
// It owns how requests are read and answers look, and who is calling. It decides nothing: each handler decodes, calls
// manager/service, maps the error and renders.
//
// What must always hold: a request that changes anything carries an API token, or a browser session together with its
// CSRF token; and no answer has more of an error than its code and its sentence for people.
package api

import (
	"errors"
	"log/slog"
	"mime"
	"strings"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

// Options are what the API needs to know besides the service.
type Options struct {
	Version       string
	Logger        *slog.Logger
	SessionCookie string
}

// API answers programs.
type API struct {
	service *service.Service
	opts    Options
}

// New makes an API on top of the service.
func New(s *service.Service, opts Options) *API { return &API{service: s, opts: opts} }

// Register adds the routes. It must come before routes that would match below /containers/api/.
func (a *API) Register(app *fiber.App) {
	app.Get("/healthz", a.health)
	app.Get("/readyz", a.ready)
	a.registerProjects(app)
	a.registerContainers(app)
}

func (a *API) health(c *fiber.Ctx) error { return c.SendString("ok\n") }

func (a *API) ready(c *fiber.Ctx) error {
	if !a.service.Ready(c.UserContext()) {
		c.Set(fiber.HeaderRetryAfter, service.RetryAfter)
		return c.Status(fiber.StatusServiceUnavailable).SendString("This node cannot serve yet: the cluster has no leader.\n")
	}
	return c.SendString("ok\n")
}

// handler is a handler that knows who calls. Its error becomes the answer.
type handler func(c *fiber.Ctx, actor service.Actor) error

// with makes a Fiber handler: it checks the version asked for, finds out who calls, and renders errors.
func (a *API) with(accepted media, h handler) fiber.Handler {
	return func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderCacheControl, "no-store")
		c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
		if !accepted.fits(c.Get(fiber.HeaderAccept)) {
			return detail(c, fiber.StatusNotAcceptable, `Invalid version in "Accept" header.`)
		}
		actor, err := a.actor(c)
		if err == nil {
			err = h(c, actor)
		}
		if err != nil {
			return a.fail(c, err)
		}
		return nil
	}
}

var (
	errNoCredentials = state.Errorf(state.Unauthenticated, "Authentication credentials were not provided.")
	errBadToken      = state.Errorf(state.Unauthenticated, "Invalid token.")
	errCSRF          = state.Errorf(state.Forbidden, "CSRF Failed: CSRF token missing or incorrect.")
)

// actor finds out who calls: by API token, else by the browser's session.
func (a *API) actor(c *fiber.Ctx) (service.Actor, error) {
	if header := c.Get(fiber.HeaderAuthorization); header != "" {
		token, ok := auth.ParseAuthorization(header)
		if !ok {
			return service.Actor{}, errBadToken
		}
		actor, err := a.service.ByToken(token)
		if state.CodeOf(err) == state.Unauthenticated {
			err = errBadToken
		}
		return actor, err
	}
	session := c.Cookies(a.opts.SessionCookie)
	actor, err := a.service.BySession(session)
	if state.CodeOf(err) == state.Unauthenticated {
		return actor, errNoCredentials
	}
	if err == nil && c.Method() != fiber.MethodGet && !auth.CheckCSRF(session, c.Get("X-CSRF-Token")) {
		err = errCSRF
	}
	return actor, err
}

// fail renders an error in the form of Django REST framework, which clients of the original know.
func (a *API) fail(c *fiber.Ctx, err error) error {
	status := service.Status(err)
	switch status {
	case fiber.StatusUnauthorized:
		c.Set(fiber.HeaderWWWAuthenticate, "Token")
	case fiber.StatusTooManyRequests, fiber.StatusServiceUnavailable:
		c.Set(fiber.HeaderRetryAfter, service.RetryAfter)
	}
	var known *state.Error
	if !errors.As(err, &known) {
		a.opts.Logger.Error("an API request failed", "method", c.Method(), "path", c.Path(), "error", err)
		return detail(c, status, "Kiosc could not do this because of a fault of its own. The operators find the cause in its log.")
	}
	if len(known.Fields) > 0 {
		return c.Status(status).JSON(known.Fields)
	}
	return detail(c, status, known.Message)
}

func detail(c *fiber.Ctx, status int, text string) error {
	return c.Status(status).JSON(fiber.Map{"detail": text})
}

// media is a media type of SODAR's with the versions that are served.
type media struct {
	name     string
	versions []string
}

// fits tells whether an Accept header lets us answer in one of our versions. Other media types are none of ours and pass.
func (m media) fits(accept string) bool {
	for _, part := range strings.Split(accept, ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil || name != m.name {
			continue
		}
		version, asked := params["version"]
		for _, v := range m.versions {
			if !asked || v == version {
				return true
			}
		}
		return false
	}
	return true
}
