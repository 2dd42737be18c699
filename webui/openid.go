package webui

import (
	"errors"
	"net/url"

	"github.com/gofiber/fiber/v2"

	"kiosc/manager/oidc"
	"kiosc/manager/service"
)

// The addresses that people and providers know from SODAR.
const (
	openIDBegin = "/social/login/oidc/"
	openIDEnd   = "/social/complete/oidc/"
)

// openIDCookie has a login under way at the OpenID provider, sealed.
const openIDCookie = "kiosc_openid"

// maxOpenIDNext is the longest path, in bytes, that is remembered while somebody logs in elsewhere: browsers keep 4 KiB.
const maxOpenIDNext = 1024

func (ui *UI) registerOpenID(app *fiber.App) {
	if ui.svc.OpenIDName() != "" {
		app.Get(openIDBegin, ui.open(ui.beginOpenID))
		app.Get(openIDEnd, ui.open(ui.endOpenID))
	}
}

// beginOpenID sends somebody to the OpenID provider. It is no form, because a browser would follow the provider from one
// only to where the pages' policy allows, and providers lead on to others. It changes nothing here.
func (ui *UI) beginOpenID(c *fiber.Ctx) error {
	next := localPath(c.Query("next"), "/")
	if _, err := ui.svc.BySession(ui.cookie(c, SessionCookie)); err == nil {
		return c.Redirect(next)
	}
	if len(next) > maxOpenIDNext {
		next = "/"
	}
	base := ui.base(c)
	if ui.opts.Site != "" && base != ui.opts.Site && c.Query("there") == "" {
		// The provider sends people back to the site's address, where the cookie has to be. Once, in case a proxy in front
		// hides that somebody is there.
		return c.Redirect(ui.opts.Site + openIDBegin + "?there=1&next=" + url.QueryEscape(next))
	}
	if ui.opts.Site != "" {
		base = ui.opts.Site
	}
	to, kept, err := ui.svc.BeginOpenID(c.UserContext(), base+openIDEnd, next)
	if err != nil {
		return ui.refuseLogin(c, err, "", next)
	}
	ui.setCookie(c, openIDCookie, kept, int(service.OpenIDLife.Seconds()))
	return c.Redirect(to)
}

// base is the address under which the browser knows this site. The front door says so, and lets nobody else say it.
func (ui *UI) base(c *fiber.Ctx) string {
	if ui.opts.Secure(c) {
		return "https://" + c.Hostname()
	}
	return "http://" + c.Hostname()
}

// endOpenID logs in who comes back from the provider. It is the one GET that changes something: it ends what this very
// browser has begun, which its cookie proves, with a code that counts once.
func (ui *UI) endOpenID(c *fiber.Ctx) error {
	kept := ui.cookie(c, openIDCookie)
	ui.setCookie(c, openIDCookie, "", -1)
	secret, next, err := ui.svc.FinishOpenID(c.UserContext(), kept, oidc.Return{State: c.Query("state"), Code: c.Query("code"),
		Issuer: c.Query("iss"), Error: c.Query("error"), Description: c.Query("error_description")})
	next = localPath(next, "/")
	if err == nil {
		return ui.enter(c, secret, next)
	}
	if _, in := ui.svc.BySession(ui.cookie(c, SessionCookie)); in == nil && errors.Is(err, oidc.ErrStale) {
		return c.Redirect(next) // back to a page of the login that has gone well
	}
	return ui.refuseLogin(c, err, "", next)
}
