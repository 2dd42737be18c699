package api

import (
	"encoding/json"
	"maps"
	"mime"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"kiosc/manager/service"
)

// handler is a handler that knows who calls. Its error becomes the answer.
type handler func(c *fiber.Ctx, actor service.Actor) error

// methods are the handlers of one address by HTTP method.
type methods map[string]handler

// reading serves GET, and HEAD with it.
func reading(h handler) methods { return methods{fiber.MethodGet: h, fiber.MethodHead: h} }

// route adds an address. Methods that it doesn't have are answered with 405. The caller describes those that it has.
func (a *API) route(r fiber.Router, path string, accepted media, by methods) address {
	added := a.addressOf(r, path)
	for method, h := range by {
		r.Add(method, path, a.with(accepted, h))
		a.routes = append(a.routes, method+" "+added.path)
	}
	allow := strings.Join(slices.Sorted(maps.Keys(by)), ", ")
	r.All(path, a.with(accepted, func(c *fiber.Ctx, _ service.Actor) error { return notAllowed(c, allow) }))
	return added
}

// with makes a Fiber handler: it checks the version asked for, finds out who calls, and renders errors.
func (a *API) with(accepted media, h handler) fiber.Handler {
	return func(c *fiber.Ctx) error {
		unasked(c)
		if !accepted.fits(c.Get(fiber.HeaderAccept)) {
			return a.fail(c, errVersion)
		}
		actor, err := a.actor(c)
		if err != nil {
			return a.fail(c, err)
		}
		if a.opts.Version != "" {
			c.Set("X-Kiosc-Version", a.opts.Version)
		}
		if a.service.Stale() {
			c.Set(service.StaleHeader, "true")
		}
		if err := h(c, actor); err != nil {
			return a.fail(c, err)
		}
		return nil
	}
}

// id is the uuid in a route's address in the one form in which the state has it. Fiber lets nothing but a uuid come to a
// parameter with <guid>, so it is empty only for a parameter that the route doesn't have, such as the project of the site's templates.
func id(c *fiber.Ctx, name string) string {
	parsed, err := uuid.Parse(c.Params(name))
	if err != nil {
		return ""
	}
	return parsed.String()
}

// gone answers a deletion that has succeeded unless err says otherwise.
func gone(c *fiber.Ctx, err error) error {
	if err == nil {
		c.Status(fiber.StatusNoContent)
	}
	return err
}

// render answers with JSON. Unlike Fiber's own it leaves < and > alone, so that <masked> reads as what it is.
func render(c *fiber.Ctx, status int, v any) error {
	c.Status(status).Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	enc := json.NewEncoder(c.Response().BodyWriter())
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// media is a media type of SODAR's with the versions that are served.
type media struct {
	name     string
	versions []string
}

// anyMedia is for answers that are no JSON of the API's.
var anyMedia = media{}

// fits tells whether an Accept header lets us answer in one of our versions. It fails only where versions are asked for
// and none is ours: whoever names no version gets the default, and other media types are not ours to judge.
func (m media) fits(accept string) bool {
	if m.name == "" {
		return true
	}
	asked := false
	for _, part := range strings.Split(accept, ",") {
		name, params, err := mime.ParseMediaType(part)
		if name != m.name && name != fiber.MIMEApplicationJSON {
			continue
		}
		version, given := params["version"]
		if err == nil && (!given || slices.Contains(m.versions, version)) {
			return true
		}
		asked = true
	}
	return !asked
}
