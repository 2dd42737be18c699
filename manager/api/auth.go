package api

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

// csrfHeader is where a page of ours sends its session's CSRF token. A foreign page can't set it.
const csrfHeader = "X-CSRF-Token"

var (
	errNoCredentials = state.Errorf(state.Unauthenticated, "Authentication credentials were not provided.")
	errBadToken      = state.Errorf(state.Unauthenticated, "Invalid token.")
	// errBasic is of its own because clients of the original may use Basic and should learn what to do instead.
	errBasic = state.Errorf(state.Unauthenticated,
		`User name and password are not accepted here. Create an API token and send it as "Authorization: token <key>".`)
	errCSRF = state.Errorf(state.Forbidden, "CSRF Failed: CSRF token missing or incorrect.")
)

// actor finds out who calls: by API token, else by the browser's session. Credentials that are wrong are never made up
// for by others that come along, so that nobody acts as somebody they didn't mean to be.
func (a *API) actor(c *fiber.Ctx) (service.Actor, error) {
	if header := c.Get(fiber.HeaderAuthorization); header != "" {
		return a.byHeader(header)
	}
	session := c.Cookies(a.opts.SessionCookie)
	actor, err := a.service.BySession(session)
	if state.CodeOf(err) == state.Unauthenticated {
		return actor, errNoCredentials
	}
	if err == nil && !safe(c) && !auth.CheckCSRF(session, c.Get(csrfHeader)) {
		err = errCSRF
	}
	return actor, err
}

func (a *API) byHeader(header string) (service.Actor, error) {
	if scheme, _, _ := strings.Cut(header, " "); strings.EqualFold(scheme, "basic") {
		return service.Actor{}, errBasic // checking a password costs too much to do it for each request
	}
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

// safe tells whether the method is one that changes nothing; see tokenOnly for the two addresses where GET does.
func safe(c *fiber.Ctx) bool {
	return c.Method() == fiber.MethodGet || c.Method() == fiber.MethodHead
}

// tokenOnly refuses a browser's session: a link on a foreign page must not change anything.
func tokenOnly(h handler) handler {
	return func(c *fiber.Ctx, actor service.Actor) error {
		if !actor.API {
			return notAllowed(c, fiber.MethodPost)
		}
		return h(c, actor)
	}
}
