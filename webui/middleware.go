package webui

import (
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

// SessionCookie is the name of the cookie that has a login's secret, behind Options.CookiePrefix.
const SessionCookie = "kiosc_session"

// maxForm bounds the body of a POST, in bytes: the longest allowed fields, each of their bytes escaped as three.
const maxForm = 1 << 20

// contentPolicy allows nothing from elsewhere, nothing inline, and no frame around a page. Bootstrap has its icons of
// form fields as data: images. What follows form-action holds for where a form leads in the end, too.
const contentPolicy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; " +
	"frame-ancestors 'none'; form-action 'self'"

// visit is one request of somebody who is logged in.
type visit struct {
	*fiber.Ctx
	Actor service.Actor
	// Session is the secret in the cookie.
	Session string
}

// handler answers a visit. An error becomes an error page, or JSON for a script.
type handler func(v *visit) error

// secureHeaders go with every answer but assets.
func (ui *UI) secureHeaders(c *fiber.Ctx) {
	policy := contentPolicy
	if ui.opts.AppHosts != nil {
		policy += " " + ui.opts.AppHosts.Sources()
	}
	c.Set(fiber.HeaderContentSecurityPolicy, policy)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderXFrameOptions, "DENY")
	c.Set(fiber.HeaderReferrerPolicy, "same-origin")
	c.Set(fiber.HeaderCacheControl, "no-store")
	// Cuts the tie to an app that opened the page in a new window in order to read it.
	c.Set("Cross-Origin-Opener-Policy", "same-origin")
	c.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// open wraps a handler of a page for which nobody has to be logged in. A POST must not come from another site.
func (ui *UI) open(h fiber.Handler) fiber.Handler {
	return func(c *fiber.Ctx) error {
		ui.secureHeaders(c)
		if err := refuse(c); err != nil {
			return ui.fail(c, err)
		}
		if err := h(c); err != nil {
			return ui.fail(c, err)
		}
		return nil
	}
}

// page wraps a handler of a page for people who are logged in; others are sent to the login. A POST needs the CSRF
// token.
func (ui *UI) page(h handler) fiber.Handler {
	return ui.open(func(c *fiber.Ctx) error {
		v, err := ui.visit(c)
		if state.CodeOf(err) == state.Unauthenticated && !wantsJSON(c) {
			return c.Redirect("/login/?next=" + url.QueryEscape(returnTo(c)))
		}
		if err != nil {
			return err
		}
		return h(v)
	})
}

// data wraps a handler that answers scripts: with nobody logged in it says 401, because a script can't log in.
func (ui *UI) data(h handler) fiber.Handler {
	return func(c *fiber.Ctx) error {
		ui.secureHeaders(c)
		c.Request().Header.Set(fiber.HeaderAccept, fiber.MIMEApplicationJSON)
		v, err := ui.visit(c)
		if err == nil {
			err = h(v)
		}
		if err != nil {
			return ui.fail(c, err)
		}
		return nil
	}
}

// uploading wraps a handler of a POST whose form may have files. The handler reads the form itself, as it comes, and must
// call checkToken before it does anything for it.
func (ui *UI) uploading(h handler) fiber.Handler {
	return func(c *fiber.Ctx) error {
		ui.secureHeaders(c)
		err := refuseCrossSite(c)
		if err == nil && !wantsJSON(c) {
			err = refuseScripts(c)
		}
		var v *visit
		if err == nil {
			v, err = ui.visitor(c)
		}
		if err == nil {
			err = h(v)
		}
		if err != nil {
			return ui.fail(c, err)
		}
		return nil
	}
}

// checkToken checks the CSRF token of a form with files, by the fields that came before the first of them.
func (v *visit) checkToken(fields map[string]string) error {
	token := v.Get("X-CSRF-Token")
	if token == "" {
		token = fields["csrf_token"]
	}
	if !auth.CheckCSRF(v.Session, token) {
		return errStalePage
	}
	return nil
}

// visitor finds out who asks.
func (ui *UI) visitor(c *fiber.Ctx) (*visit, error) {
	v := &visit{Ctx: c, Session: strings.Clone(ui.cookie(c, SessionCookie))}
	var err error
	v.Actor, err = ui.svc.BySession(v.Session)
	return v, err
}

// visit finds out who asks, and checks the CSRF token of a POST.
func (ui *UI) visit(c *fiber.Ctx) (*visit, error) {
	v, err := ui.visitor(c)
	if err != nil {
		return nil, err
	}
	if c.Method() != fiber.MethodPost {
		return v, nil
	}
	token := c.Get("X-CSRF-Token")
	if token == "" {
		token = c.FormValue("csrf_token")
	}
	if !auth.CheckCSRF(v.Session, token) {
		return nil, errStalePage
	}
	return v, nil
}

var (
	errStalePage = state.Errorf(state.Forbidden, "This page is out of date, so nothing was changed. Go back, reload the page and try again.")
	errCrossSite = state.Errorf(state.Forbidden, "This request came from another site, so nothing was changed.")
	errScript    = state.Errorf(state.Forbidden, "A page of Kiosc can only be opened in a window of its own.")
	errTooLong   = fiber.NewError(fiber.StatusRequestEntityTooLarge, "What you sent is too long. A form may have 1 MiB at most.")
	errNoPage    = state.Errorf(state.NotFound, "There is no such page.")
)

// refuse turns away what no page answers: a form from another site or of any length, and a script that wants a page. A
// script may send a form if it takes JSON for an answer, which never has a token in it.
func refuse(c *fiber.Ctx) error {
	if c.Method() != fiber.MethodPost || !wantsJSON(c) {
		if err := refuseScripts(c); err != nil {
			return err
		}
	}
	if c.Method() != fiber.MethodPost {
		return nil
	}
	length := c.Request().Header.ContentLength()
	if length > maxForm || length < 0 && c.Request().IsBodyStream() || len(c.Request().Body()) > maxForm {
		return errTooLong
	}
	return refuseCrossSite(c)
}

// refuseScripts keeps the pages, and with them the CSRF token, from the scripts of apps, which run in the same origin.
// Browsers tell what a request is for, over TLS and on localhost; they don't let scripts change that.
func refuseScripts(c *fiber.Ctx) error {
	if dest := c.Get("Sec-Fetch-Dest"); dest != "" && dest != "document" {
		return errScript
	}
	return nil
}

// refuseCrossSite also protects the login, where there is no session yet whose token could be checked.
func refuseCrossSite(c *fiber.Ctx) error {
	switch c.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return nil
	case "":
	default:
		return errCrossSite
	}
	origin := c.Get(fiber.HeaderOrigin)
	if origin == "" {
		return nil // no browser of today
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Host != string(c.Context().Host()) && u.Host != c.Hostname() {
		return errCrossSite
	}
	return nil
}

// wantsJSON tells whether a script asks rather than a person.
func wantsJSON(c *fiber.Ctx) bool {
	accept := c.Get(fiber.HeaderAccept)
	return strings.Contains(accept, fiber.MIMEApplicationJSON) && !strings.Contains(accept, fiber.MIMETextHTML)
}

// returnTo is where somebody goes after the login: the page asked for, or the one with the form that was sent.
func returnTo(c *fiber.Ctx) string {
	if c.Method() == fiber.MethodGet {
		return localPath(c.OriginalURL(), "/")
	}
	from, err := url.Parse(c.Get(fiber.HeaderReferer))
	if err != nil || from.Host != string(c.Context().Host()) {
		return "/"
	}
	return localPath(from.RequestURI(), "/")
}

// localPath returns path where it stays on this site whatever a browser makes of it, else otherwise. The login itself
// is nowhere to go to.
func localPath(path, otherwise string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || len(path) > 4096 {
		return otherwise
	}
	for _, r := range path {
		if r < ' ' || r == '\\' || r == 0x7f { // browsers drop control characters and take \ for /
			return otherwise
		}
	}
	u, err := url.Parse(path)
	if err != nil || u.Host != "" || u.Scheme != "" {
		return otherwise
	}
	if page := strings.Trim(u.Path, "/"); page == "login" || page == "logout" {
		return otherwise
	}
	return strings.Clone(path)
}

// id returns the id in a route's parameter; what isn't one is an unknown page.
func id(c *fiber.Ctx, name string) (string, error) {
	text := c.Params(name)
	parsed, err := uuid.Parse(text)
	if err != nil || parsed.String() != text {
		return "", errNoPage
	}
	return parsed.String(), nil
}

// container looks up the container of the address for the visitor.
func (ui *UI) container(v *visit) (service.ContainerView, error) {
	container, err := id(v.Ctx, "container")
	if err != nil {
		return service.ContainerView{}, err
	}
	return ui.svc.Container(v.Actor, container)
}

// cookie reads what setCookie has set.
func (ui *UI) cookie(c *fiber.Ctx, name string) string { return c.Cookies(ui.opts.CookiePrefix + name) }

// setCookie sends a cookie that scripts can't read. A negative age deletes it.
func (ui *UI) setCookie(c *fiber.Ctx, name, value string, age int) {
	c.Cookie(&fiber.Cookie{Name: ui.opts.CookiePrefix + name, Value: value, Path: "/", MaxAge: age, HTTPOnly: true,
		Secure: ui.opts.Secure(c), SameSite: fiber.CookieSameSiteLaxMode})
}
