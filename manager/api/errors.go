package api

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

const (
	generalText  = "Kiosc could not do this because of a fault of its own. The operators find the cause in its log."
	notFoundText = "Not found."
)

// Answers that no code of the state stands for.
var (
	errVersion   = fiber.NewError(fiber.StatusNotAcceptable, `Invalid version in "Accept" header.`)
	errMediaType = fiber.NewError(fiber.StatusUnsupportedMediaType,
		`Unsupported media type in request. Send JSON with "Content-Type: application/json".`)
	errEncoding = fiber.NewError(fiber.StatusUnsupportedMediaType, "The request must not be compressed.")
)

// fail renders an error in the form of Django REST framework, which clients of the original know.
func (a *API) fail(c *fiber.Ctx, err error) error {
	var other *fiber.Error
	if errors.As(err, &other) {
		return detail(c, other.Code, other.Message)
	}
	var known *state.Error
	if !errors.As(err, &known) || known.Code == state.Internal || service.Status(err) == 0 {
		a.opts.Logger.Error("an API request failed", "method", c.Method(), "path", c.Path(), "error", err)
		return detail(c, fiber.StatusInternalServerError, generalText)
	}
	status := service.Status(err)
	switch status {
	case fiber.StatusUnauthorized:
		c.Set(fiber.HeaderWWWAuthenticate, "Token")
	case fiber.StatusTooManyRequests, fiber.StatusServiceUnavailable:
		c.Set(fiber.HeaderRetryAfter, service.RetryAfter)
	}
	if len(known.Fields) > 0 {
		return render(c, status, known.Fields)
	}
	return detail(c, status, known.Message)
}

type detailJSON struct {
	Detail string `json:"detail"`
}

func detail(c *fiber.Ctx, status int, text string) error {
	return render(c, status, detailJSON{text})
}

// notAllowed says which methods an address has for the caller.
func notAllowed(c *fiber.Ctx, allow string) error {
	c.Set(fiber.HeaderAllow, allow)
	return detail(c, fiber.StatusMethodNotAllowed, fmt.Sprintf("Method %q not allowed. Use %s.", c.Method(), allow))
}

// notFound is what all addresses of the API answer that nothing is at.
func notFound(c *fiber.Ctx) error {
	unasked(c)
	return detail(c, fiber.StatusNotFound, notFoundText)
}

// prefixes are the parts of the site where everything is JSON.
var prefixes = []string{"/api/openapi", "/containers/api/", "/containertemplates/api/", "/files/api/", "/project/api/", "/timeline/api/"}

// unread says why a request never reached a handler.
var unread = map[int]string{
	fiber.StatusRequestTimeout:              "The request did not arrive in time.",
	fiber.StatusRequestEntityTooLarge:       "The request is too large.",
	fiber.StatusRequestHeaderFieldsTooLarge: "The request's headers are too large.",
}

// ErrorHandler is for fiber.Config: it answers in JSON what fails at the API's addresses before a handler has it, such
// as a body beyond Fiber's own limit, and leaves the rest of the site to next.
func (a *API) ErrorHandler(next fiber.ErrorHandler) fiber.ErrorHandler {
	return func(c *fiber.Ctx, err error) error {
		for _, prefix := range prefixes {
			if strings.HasPrefix(c.Path(), prefix) {
				unasked(c)
				return a.fail(c, sentence(err))
			}
		}
		return next(c, err)
	}
}

// sentence replaces the text of Fiber's errors, which tells of the server's insides.
func sentence(err error) error {
	var f *fiber.Error
	if !errors.As(err, &f) || f.Code >= fiber.StatusInternalServerError {
		return fmt.Errorf("before a handler: %s", err)
	}
	if text, ok := unread[f.Code]; ok {
		return fiber.NewError(f.Code, text)
	}
	return fiber.NewError(f.Code, "The request could not be read.")
}
