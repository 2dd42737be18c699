package webui

import (
	"io"
	"strings"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

func (ui *UI) registerLogin(app *fiber.App) {
	app.Get("/login/", ui.open(ui.showLogin))
	app.Post("/login/", ui.open(ui.login))
	ui.registerOpenID(app)
	app.Get("/logout/", ui.page(ui.showLogout))
	app.Post("/logout/", ui.page(ui.logout))
}

type loginPage struct {
	frame
	Name, Next string
	// Domains are what people can log in with besides local accounts.
	Domains []service.Domain
	// Error is why the last attempt failed; empty for none.
	Error string
	// Provider is the OpenID provider's name; empty for none.
	Provider string
}

type logoutPage struct{ frame }

var (
	loginTemplate  = parse("login.html")
	logoutTemplate = parse("logout.html")
)

// Render writes the page.
func (p loginPage) Render(w io.Writer) error { return loginTemplate.Execute(w, p) }

// Render writes the page.
func (p logoutPage) Render(w io.Writer) error { return logoutTemplate.Execute(w, p) }

func (ui *UI) loginPage(name, next, wrong string) loginPage {
	return loginPage{frame: ui.plainFrame("Log in"), Name: name, Next: next, Domains: ui.svc.Domains(),
		Provider: ui.svc.OpenIDName(), Error: wrong}
}

func (ui *UI) showLogin(c *fiber.Ctx) error {
	next := localPath(c.Query("next"), "/")
	if _, err := ui.svc.BySession(ui.cookie(c, SessionCookie)); err == nil {
		return c.Redirect(next)
	}
	p := ui.loginPage("", next, "")
	p.Flash = ui.takeFlash(c)
	return render(c, fiber.StatusOK, p)
}

func (ui *UI) login(c *fiber.Ctx) error {
	name, next := strings.TrimSpace(c.FormValue("username")), localPath(c.FormValue("next"), "/")
	secret, err := ui.svc.Login(c.UserContext(), name, c.FormValue("password"), clientAddress(c))
	if err != nil {
		return ui.refuseLogin(c, err, name, next)
	}
	return ui.enter(c, secret, next)
}

// refuseLogin shows the login again, with the reason.
func (ui *UI) refuseLogin(c *fiber.Ctx, err error, name, next string) error {
	if state.CodeOf(err) == state.Internal {
		return err
	}
	status, message := answer(err)
	if status == fiber.StatusTooManyRequests || status == fiber.StatusServiceUnavailable {
		c.Set(fiber.HeaderRetryAfter, service.RetryAfter)
	}
	return render(c, status, ui.loginPage(name, next, message))
}

// enter gives a new session to the browser, which goes on to next.
func (ui *UI) enter(c *fiber.Ctx, secret, next string) error {
	// Apps at hosts of their own would go on with the earlier login for as long as that lasts.
	if old := ui.cookie(c, SessionCookie); old != "" {
		if _, err := ui.svc.BySession(old); err == nil {
			if err := ui.svc.Logout(c.UserContext(), old); err != nil {
				ui.opts.Logger.Warn("an earlier login was not ended", "error", err)
			}
		}
	}
	ui.setCookie(c, SessionCookie, secret, int(ui.svc.SessionLife().Seconds()))
	return c.Redirect(next)
}

// clientAddress is where a request has come from. The front door says so, and lets nobody else say it.
func clientAddress(c *fiber.Ctx) string { return c.Get(fiber.HeaderXForwardedFor) }

func (ui *UI) showLogout(v *visit) error {
	return render(v.Ctx, fiber.StatusOK, logoutPage{ui.frame(v, "Log out")})
}

func (ui *UI) logout(v *visit) error {
	if err := ui.svc.Logout(v.UserContext(), v.Session); err != nil {
		return err
	}
	ui.setCookie(v.Ctx, SessionCookie, "", -1)
	ui.setFlash(v.Ctx, flash{Text: "You are logged out."})
	return v.Redirect("/login/")
}
