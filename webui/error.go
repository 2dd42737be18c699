package webui

import (
	"errors"
	"html/template"
	"io"
	"strings"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

// generalError is all that people see of a fault of Kiosc; the log has the cause.
const generalError = "Something went wrong in Kiosc. Please try again; if it stays, tell the people who run this site."

// errorTitles are the headings of error pages.
var errorTitles = map[int]string{
	400: "This is not possible",
	401: "Please log in",
	403: "Not allowed",
	404: "Not found",
	405: "Not possible this way",
	409: "Not possible now",
	413: "Too long",
	429: "Too much at once",
	500: "Something went wrong",
	503: "Not available at the moment",
}

type errorPage struct {
	frame
	Message string
}

var errorTemplate = parse("error.html")

// Render writes the page.
func (p errorPage) Render(w io.Writer) error { return errorTemplate.Execute(w, p) }

// answer is an error's HTTP status and what people see of it.
func answer(err error) (status int, message string) {
	var e *state.Error
	var f *fiber.Error
	switch {
	case errors.As(err, &e) && e.Code != state.Internal:
		return service.Status(err), e.Message
	case errors.As(err, &f) && f.Code == fiber.StatusNotFound:
		return f.Code, errNoPage.Message
	case errors.As(err, &f) && f.Code == fiber.StatusRequestEntityTooLarge:
		return f.Code, errTooLong.Message
	case errors.As(err, &f) && f.Code < 500:
		return f.Code, f.Message
	}
	return fiber.StatusInternalServerError, generalError
}

// fail answers with an error: a page in plain words, or JSON for a script.
func (ui *UI) fail(c *fiber.Ctx, err error) error {
	status, message := answer(err)
	if status >= 500 && status != fiber.StatusServiceUnavailable {
		ui.opts.Logger.Error("a page failed", "method", c.Method(), "path", c.Path(), "error", err)
	}
	if status == fiber.StatusTooManyRequests || status == fiber.StatusServiceUnavailable {
		c.Set(fiber.HeaderRetryAfter, service.RetryAfter)
	}
	if wantsJSON(c) {
		return c.Status(status).JSON(fiber.Map{"message": message})
	}
	title := errorTitles[status]
	if title == "" {
		title = errorTitles[400]
	}
	p := errorPage{frame: ui.plainFrame(title), Message: message}
	// No script of an app may read the token from an error page either.
	if session := ui.cookie(c, SessionCookie); session != "" && refuseScripts(c) == nil {
		if a, err := ui.svc.BySession(session); err == nil {
			p.UserName, p.CSRF = a.User.Name, auth.CSRFToken(session)
		}
	}
	if err := render(c, status, p); err != nil {
		ui.opts.Logger.Error("an error page failed", "error", err)
		return c.Status(status).SendString(template.HTMLEscapeString(strings.TrimSpace(message)))
	}
	return nil
}

// ErrorHandler is for fiber.Config: it answers unknown addresses, too large bodies and whatever other handlers leave
// with a page of this UI, or with JSON for a program that asks for it.
func (ui *UI) ErrorHandler(c *fiber.Ctx, err error) error {
	ui.secureHeaders(c)
	return ui.fail(c, err)
}
