package api

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

// The original has no REST for templates; this is in the form of that for containers.
var templateMedia = media{"application/vnd.bihealth.kiosc-server.containertemplates+json", []string{"1.0"}}

func (a *API) registerTemplates(app *fiber.App) {
	api := app.Group("/containertemplates/api")
	a.route(api, "/site", templateMedia, reading(a.listTemplates)).
		get(about{summary: "List the site's templates", right: auth.ViewSiteTemplate, out: []templateJSON{}})
	a.route(api, "/site/create", templateMedia, methods{fiber.MethodPost: a.createTemplate}).
		post(about{summary: "Create a template of the site", right: auth.CreateSiteTemplate, in: specJSON{}, needs: []string{"title"},
			out: templateJSON{}, status: fiber.StatusCreated})
	a.route(api, "/project/:project<guid>", templateMedia, reading(a.listTemplates)).
		get(about{summary: "List a project's templates", right: auth.ViewTemplate, out: []templateJSON{}})
	a.route(api, "/project/create/:project<guid>", templateMedia, methods{fiber.MethodPost: a.createTemplate}).
		post(about{summary: "Create a template of a project", right: auth.CreateTemplate, in: specJSON{}, needs: []string{"title"},
			out: templateJSON{}, status: fiber.StatusCreated})
	a.route(api, "/project/copy/:project<guid>", templateMedia, methods{fiber.MethodPost: a.copyTemplate}).
		post(about{summary: "Copy a template into a project", right: auth.DuplicateTemplate, in: copyInput{}, needs: []string{"source"},
			out: templateJSON{}, status: fiber.StatusCreated})
	a.route(api, "/detail/:template<guid>", templateMedia, reading(a.showTemplate)).
		get(about{summary: "Show a template", right: auth.ViewTemplate, out: templateJSON{}})
	a.route(api, "/update/:template<guid>", templateMedia, methods{fiber.MethodPut: a.updateTemplate, fiber.MethodPatch: a.updateTemplate}).
		put(about{summary: "Give a template a new definition; what is left out gets its default", right: auth.EditTemplate, in: specChange{},
			needs: []string{"title"}, out: templateJSON{}}).
		patch(about{summary: "Change a template", right: auth.EditTemplate, in: specChange{}, out: templateJSON{}})
	a.route(api, "/delete/:template<guid>", templateMedia, methods{fiber.MethodDelete: a.deleteTemplate}).
		del(about{summary: "Delete a template", right: auth.DeleteTemplate, status: fiber.StatusNoContent})
	a.route(api, "/duplicate/:template<guid>", templateMedia, methods{fiber.MethodPost: a.duplicateTemplate}).
		post(about{summary: "Make a second template of one, in the same place", right: auth.DuplicateTemplate, out: templateJSON{},
			status: fiber.StatusCreated})
	api.All("/*", notFound)
}

// copyInput names the template that is copied.
type copyInput struct {
	Source string `json:"source"`
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

func (a *API) listTemplates(c *fiber.Ctx, actor service.Actor) error {
	project := id(c, "project") // empty for the site
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
	view, err := a.service.Template(actor, id(c, "template"))
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, asTemplate(&view.Template))
}

func (a *API) createTemplate(c *fiber.Ctx, actor service.Actor) error {
	project := id(c, "project") // empty for the site
	spec, err := read(c, func(in *input) state.Spec { return in.spec(a.service.NewSpec()) }, "title")
	if err != nil {
		return err
	}
	made, err := a.service.CreateTemplate(c.UserContext(), actor, project, spec)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusCreated, asTemplate(&made))
}

func (a *API) updateTemplate(c *fiber.Ctx, actor service.Actor) error {
	template := id(c, "template")
	in, err := decode(c)
	if err != nil {
		return err
	}
	view, err := a.service.Template(actor, template)
	if err != nil {
		return err
	}
	spec, seen, err := a.changed(c, in, view.Spec, view.ModifiedAt, "title")
	if err != nil {
		return err
	}
	updated, err := a.service.UpdateTemplate(c.UserContext(), actor, template, spec, seen)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, asTemplate(&updated))
}

func (a *API) deleteTemplate(c *fiber.Ctx, actor service.Actor) error {
	_, err := a.service.DeleteTemplate(c.UserContext(), actor, id(c, "template"))
	return gone(c, err)
}

func (a *API) duplicateTemplate(c *fiber.Ctx, actor service.Actor) error {
	_, made, err := a.service.DuplicateTemplate(c.UserContext(), actor, id(c, "template"))
	if err != nil {
		return err
	}
	return render(c, fiber.StatusCreated, asTemplate(&made))
}

func (a *API) copyTemplate(c *fiber.Ctx, actor service.Actor) error {
	source, err := read(c, func(in *input) string { return strings.ToLower(in.text("source")) }, "source")
	if err != nil {
		return err
	}
	_, made, err := a.service.CopyTemplate(c.UserContext(), actor, source, id(c, "project"))
	if err != nil {
		return err
	}
	return render(c, fiber.StatusCreated, asTemplate(&made))
}
