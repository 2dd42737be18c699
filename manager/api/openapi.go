package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

// object is a JSON object.
type object = map[string]any

// registerDescription adds the address of the description of all others. Call it last.
func (a *API) registerDescription(app *fiber.App) {
	api := app.Group("/api")
	a.route(api, "/openapi.json", anyMedia, reading(func(c *fiber.Ctx, _ service.Actor) error {
		c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
		return c.Send(a.description)
	})).get(about{summary: "Show this description", out: object{}})
	text, err := json.Marshal(a.openAPI())
	if err != nil {
		a.opts.Logger.Error("the API could not be described", "error", err) // it is made of plain values, so this is a fault of ours
	}
	a.description = text
}

// Description is the API's description in the form of OpenAPI 3.1, as JSON. It is there once the routes are registered, and
// must not be changed.
func (a *API) Description() []byte { return a.description }

// tags are the parts of the API by the beginnings of their addresses.
var tags = []struct{ prefix, name string }{
	{"/containers/api/quota/", "Quotas"}, {"/containers/api/registries/", "Logins for registries"}, {"/containers/", "Containers"},
	{"/containertemplates/", "Container templates"}, {"/files/", "Small files"}, {"/project/api/roles/", "Members"},
	{"/project/api/invites/", "Invites"}, {"/project/api/users/", "Users"}, {"/project/", "Projects and categories"},
	{"/timeline/", "Timeline"}, {"/api/", "This description"},
}

func tagOf(path string) string {
	for _, tag := range tags {
		if strings.HasPrefix(path, tag.prefix) {
			return tag.name
		}
	}
	return "Others"
}

const aboutAPI = "What programs can do with Kiosc. Each request shows who it is from by an API token, which people make on the page " +
	"API tokens, in the header `Authorization: token …` or `Authorization: Bearer …`. Pages of Kiosc itself use the session's cookie, with its CSRF token " +
	"in the header `X-CSRF-Token` for what changes something. An answer of 404 also stands for what the caller may not see. " +
	"GET has HEAD with it, unless it changes something."

// openAPI makes the description.
func (a *API) openAPI() object {
	s := schemas{named: make(object), types: make(map[string]string)}
	paths := make(object)
	for _, d := range a.described {
		path := braces(d.path)
		item, _ := paths[path].(object)
		if item == nil {
			item = make(object)
			paths[path] = item
		}
		item[strings.ToLower(d.method)] = s.operation(path, d)
	}
	var tagged []object
	for _, tag := range tags {
		tagged = append(tagged, object{"name": tag.name})
	}
	version := a.opts.Version
	if version == "" {
		version = "unknown"
	}
	s.named["Error"] = object{"type": "object", "properties": object{"detail": object{"type": "string"}}, "required": []string{"detail"}}
	s.named["FieldErrors"] = object{"type": "object", "description": "What is wrong with the fields of the request.",
		"additionalProperties": object{"type": "array", "items": object{"type": "string"}}}
	return object{
		"openapi": "3.1.0",
		"info":    object{"title": "Kiosc", "version": version, "description": aboutAPI},
		"tags":    tagged, "paths": paths,
		"security": []object{{"token": []string{}}, {"bearer": []string{}}, {"session": []string{}}},
		"components": object{"schemas": s.named, "securitySchemes": object{
			"token":   object{"type": "apiKey", "in": "header", "name": "Authorization", "description": "The word token, a blank, and an API token."},
			"bearer":  object{"type": "http", "scheme": "bearer", "description": "An API token."},
			"session": object{"type": "apiKey", "in": "cookie", "name": a.opts.SessionCookie},
		}},
	}
}

var parameter = regexp.MustCompile(`:([a-z]+)(<guid>)?`)

// braces writes a path of Fiber's as OpenAPI does.
func braces(path string) string { return parameter.ReplaceAllString(path, "{$1}") }

func (s *schemas) operation(path string, d described) object {
	words := regexp.MustCompile(`[a-z]+`).FindAllString(strings.ToLower(d.method)+path, -1)
	op := object{"summary": d.summary, "operationId": strings.Join(words, "_"), "tags": []string{tagOf(path)}, "responses": s.responses(path, d)}
	if d.right != "" {
		op["description"] = "Needs the right `" + string(d.right) + "`, and of an API token the scope " + leastScope(d.right) + " or a wider one."
		op["x-kiosc-right"] = d.right
	}
	var parameters []object
	for _, p := range parameter.FindAllStringSubmatch(d.path, -1) {
		kind := object{"type": "string"}
		if p[2] != "" {
			kind["format"] = "uuid"
		}
		parameters = append(parameters, object{"name": p[1], "in": "path", "required": true, "schema": kind})
	}
	for _, q := range d.query {
		parameters = append(parameters, object{"name": q.name, "in": "query", "description": q.about, "schema": object{"type": q.kind}})
	}
	if len(parameters) > 0 {
		op["parameters"] = parameters
	}
	if d.in == nil {
		return op
	}
	body := s.fields(d.in, d.needs)
	content := object{fiber.MIMEApplicationJSON: object{"schema": body}}
	if d.file {
		form := s.fields(d.in, d.needs)
		form["properties"].(object)["file"] = object{"type": "string", "contentMediaType": "application/octet-stream"}
		content = object{fiber.MIMEMultipartForm: object{"schema": form}}
		if d.method != fiber.MethodPost { // where a file may be left out
			content[fiber.MIMEApplicationJSON] = object{"schema": body}
		}
	}
	op["requestBody"] = object{"required": true, "content": content}
	return op
}

func leastScope(right auth.Right) string {
	for _, scope := range []state.Scope{state.ScopeRead, state.ScopeOperate} {
		if auth.InScope(scope, right) {
			return string(scope)
		}
	}
	return string(state.ScopeAll)
}

func (s *schemas) responses(path string, d described) object {
	status := d.status
	if status == 0 {
		status = http.StatusOK
	}
	good := object{"description": http.StatusText(status)}
	switch {
	case d.text != "":
		good["content"] = object{d.text: object{}}
	case d.out != nil:
		good["content"] = object{fiber.MIMEApplicationJSON: object{"schema": s.of(d.out)}}
	}
	out := object{strconv.Itoa(status): good}
	wrong := func(status int, schema object) {
		out[strconv.Itoa(status)] = object{"description": http.StatusText(status), "content": object{fiber.MIMEApplicationJSON: object{"schema": schema}}}
	}
	ref := object{"$ref": "#/components/schemas/Error"}
	wrong(http.StatusUnauthorized, ref)
	if d.right != "" {
		wrong(http.StatusForbidden, ref)
	}
	if strings.Contains(path, "{") {
		wrong(http.StatusNotFound, ref)
	}
	if d.in != nil || len(d.query) > 0 {
		wrong(http.StatusBadRequest, object{"anyOf": []object{ref, {"$ref": "#/components/schemas/FieldErrors"}}})
	}
	for _, status := range slices.Sorted(maps.Keys(d.also)) {
		out[strconv.Itoa(status)] = object{"description": d.also[status],
			"content": object{fiber.MIMEApplicationJSON: object{"schema": s.of(messageJSON{})}}}
	}
	out["default"] = object{"description": "Another error, such as 406 for a version that isn't served, 409, 429 or 503",
		"content": object{fiber.MIMEApplicationJSON: object{"schema": ref}}}
	return out
}

// Undescribed lists the methods that have a handler but no description.
func (a *API) Undescribed() (missing []string) {
	for _, r := range a.routes {
		known := slices.ContainsFunc(a.described, func(d described) bool { return d.method+" "+d.path == r && d.summary != "" })
		if !known && !strings.HasPrefix(r, fiber.MethodHead+" ") {
			missing = append(missing, r)
		}
	}
	return missing
}
