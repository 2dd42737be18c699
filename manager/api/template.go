package api

import (
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

// The original has no REST for templates; this is in the form of that for containers.
var templateMedia = media{"application/vnd.bihealth.kiosc-server.containertemplates+json", []string{"1.0"}}

func (a *API) registerTemplates(app *fiber.App) {
	api := app.Group("/containertemplates/api")
	a.route(api, "/site", templateMedia, reading(a.listTemplates))
	a.route(api, "/site/create", templateMedia, methods{fiber.MethodPost: a.createTemplate})
	a.route(api, "/project/:project<guid>", templateMedia, reading(a.listTemplates))
	a.route(api, "/project/create/:project<guid>", templateMedia, methods{fiber.MethodPost: a.createTemplate})
	a.route(api, "/project/copy/:project<guid>", templateMedia, methods{fiber.MethodPost: a.copyTemplate})
	a.route(api, "/detail/:template<guid>", templateMedia, reading(a.showTemplate))
	a.route(api, "/update/:template<guid>", templateMedia, methods{fiber.MethodPut: a.replaceTemplate, fiber.MethodPatch: a.patchTemplate})
	a.route(api, "/delete/:template<guid>", templateMedia, methods{fiber.MethodDelete: a.deleteTemplate})
	a.route(api, "/duplicate/:template<guid>", templateMedia, methods{fiber.MethodPost: a.duplicateTemplate})
	api.All("/*", notFound)
}

type templateJSON struct {
	UUID         string `json:"sodar_uuid"`
	DateCreated  string `json:"date_created"`
	DateModified string `json:"date_modified"`
	// Project is null for a template of the site.
	Project *string `json:"project"`
	// Source is the template of the site that this one is a copy of.
	Source *string `json:"containertemplatesite"`
	specJSON
}

func asTemplate(t *state.Template) templateJSON {
	return templateJSON{UUID: t.ID, DateCreated: dateText(t.CreatedAt), DateModified: dateText(t.ModifiedAt), Project: orNull(t.Project),
		Source: orNull(t.Source), specJSON: specOf(&t.Spec)}
}

// placeOf is the project of the route; empty for the site's templates.
func placeOf(c *fiber.Ctx) (string, error) {
	if c.Params("project") == "" {
		return "", nil
	}
	return id(c, "project")
}

func (a *API) listTemplates(c *fiber.Ctx, actor service.Actor) error {
	project, err := placeOf(c)
	if err != nil {
		return err
	}
	views, _, err := a.service.Templates(actor, project)
	if err != nil {
		return err
	}
	out := make([]templateJSON, len(views))
	for i := range views {
		out[i] = asTemplate(&views[i].Template)
	}
	return render(c, fiber.StatusOK, out)
}

func (a *API) showTemplate(c *fiber.Ctx, actor service.Actor) error {
	template, err := id(c, "template")
	if err != nil {
		return err
	}
	view, err := a.service.Template(actor, template)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, asTemplate(&view.Template))
}

func (a *API) createTemplate(c *fiber.Ctx, actor service.Actor) error {
	project, err := placeOf(c)
	if err != nil {
		return err
	}
	in, err := decode(c)
	if err != nil {
		return err
	}
	spec := a.service.NewSpec()
	in.require("title")
	in.readSpec(&spec)
	if err := in.err(); err != nil {
		return err
	}
	made, err := a.service.CreateTemplate(c.UserContext(), actor, project, spec)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusCreated, asTemplate(&made))
}

// replaceTemplate gives a template the definition of the request; what that leaves out has its default.
func (a *API) replaceTemplate(c *fiber.Ctx, actor service.Actor) error {
	return a.updateTemplate(c, actor, func(state.Spec) state.Spec { return a.service.NewSpec() }, "title")
}

// patchTemplate changes what the request names.
func (a *API) patchTemplate(c *fiber.Ctx, actor service.Actor) error {
	return a.updateTemplate(c, actor, func(now state.Spec) state.Spec { return now })
}

func (a *API) updateTemplate(c *fiber.Ctx, actor service.Actor, from func(state.Spec) state.Spec, required ...string) error {
	template, err := id(c, "template")
	if err != nil {
		return err
	}
	in, err := decode(c)
	if err != nil {
		return err
	}
	view, err := a.service.Template(actor, template)
	if err != nil {
		return err
	}
	spec := from(view.Spec)
	in.require(required...)
	in.readSpec(&spec)
	seen := in.basedOn(view.ModifiedAt)
	if err := in.err(); err != nil {
		return err
	}
	updated, err := a.service.UpdateTemplate(c.UserContext(), actor, template, spec, seen)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, asTemplate(&updated))
}

func (a *API) deleteTemplate(c *fiber.Ctx, actor service.Actor) error {
	template, err := id(c, "template")
	if err != nil {
		return err
	}
	if _, err := a.service.DeleteTemplate(c.UserContext(), actor, template); err != nil {
		return err
	}
	c.Status(fiber.StatusNoContent)
	return nil
}

func (a *API) duplicateTemplate(c *fiber.Ctx, actor service.Actor) error {
	template, err := id(c, "template")
	if err != nil {
		return err
	}
	_, made, err := a.service.DuplicateTemplate(c.UserContext(), actor, template)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusCreated, asTemplate(&made))
}

func (a *API) copyTemplate(c *fiber.Ctx, actor service.Actor) error {
	project, err := id(c, "project")
	if err != nil {
		return err
	}
	in, err := decode(c)
	if err != nil {
		return err
	}
	in.require("source")
	source := strings.ToLower(in.text("source"))
	if err := in.err(); err != nil {
		return err
	}
	_, made, err := a.service.CopyTemplate(c.UserContext(), actor, source, project)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusCreated, asTemplate(&made))
}

// basedOn is the version that an update is based on: the present one, unless the request names another in date_modified.
func (in *input) basedOn(now time.Time) time.Time {
	if based := in.text("date_modified"); based != "" && based != dateText(now) {
		return time.Time{} // which nothing has, so that the service says what is wrong
	}
	return now
}
