package matrix_test

import (
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/manager/auth"
	"kiosc/manager/service"
)

var registryOperations = []operation{
	{name: "see logins for registries", right: auth.ManageCredentials,
		call: func(c *cell, a service.Actor) error { _, err := c.Service.Registries(a, c.place.id); return err },
		rest: []string{"GET /containers/api/registries/{project}"}, pages: []string{"GET /containers/registries/{project}"}},
	{name: "set a login for a registry", right: auth.ManageCredentials,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.SetRegistry(c.ctx, a, c.place.id, service.RegistryInput{Host: "registry.example.org", User: "u", Password: "p"})
			return err
		},
		rest:  []string{`POST /containers/api/registries/{project} {"host":"registry.example.org","user":"u","password":"p"}`},
		pages: []string{"POST /containers/registries/{project} host=registry.example.org&user=u&password=p"}},
	{name: "remove a login for a registry", right: auth.ManageCredentials,
		call: func(c *cell, a service.Actor) error {
			return c.Service.RemoveRegistry(c.ctx, a, c.place.id, c.id("registry"))
		},
		rest:  []string{"DELETE /containers/api/registries/{project}/{registry}"},
		pages: []string{"POST /containers/registries/remove/{project} host={registry}"}},
}

var templateOperations = append(append(templatesOf("project", projects, "template", auth.ViewTemplate, auth.CreateTemplate, auth.EditTemplate,
	auth.DeleteTemplate, auth.DuplicateTemplate), templatesOf("site", once, "site template", auth.ViewSiteTemplate, auth.CreateSiteTemplate,
	auth.EditSiteTemplate, auth.DeleteSiteTemplate, auth.DuplicateSiteTemplate)...),
	operation{name: "copy a template", right: auth.DuplicateTemplate,
		call: func(c *cell, a service.Actor) error {
			_, _, err := c.Service.CopyTemplate(c.ctx, a, c.id("template"), c.place.id)
			return err
		},
		rest:  []string{`POST /containertemplates/api/project/copy/{project} {"source":"{template}"}`},
		pages: []string{"POST /containertemplates/project/copy/{project} source={template}"}})

// templatesOf are the operations on the templates of projects, or of the site.
func templatesOf(of string, in kind, object string, view, create, edit, remove, duplicate auth.Right) []operation {
	rest, pages, place, id := "/containertemplates/api/", "/containertemplates/"+of, "", "{"+object+"}"
	where := func(*cell) string { return "" }
	sees := view // the site's templates are nobody's project
	if of == "project" {
		place, sees = "/{project}", ""
		where = func(c *cell) string { return c.place.id }
	}
	return []operation{
		{name: "list templates of a " + of, right: view, sees: sees, in: in,
			call: func(c *cell, a service.Actor) error { _, _, err := c.Service.Templates(a, where(c)); return err },
			rest: []string{"GET " + rest + of + place}, pages: []string{"GET " + pages + place}},
		{name: "see a template of a " + of, right: view, sees: view, in: in,
			call: func(c *cell, a service.Actor) error { _, err := c.Service.Template(a, c.id(object)); return err },
			rest: []string{"GET " + rest + "detail/" + id}, pages: []string{"GET " + pages + "/detail/" + id}},
		{name: "create a template of a " + of, right: create, sees: sees, in: in,
			call: func(c *cell, a service.Actor) error {
				_, err := c.Service.CreateTemplate(c.ctx, a, where(c), spec())
				return err
			},
			rest:  []string{"POST " + rest + of + "/create" + place + ` {"title":"{n}"}`},
			pages: []string{"GET " + pages + "/create" + place, "POST " + pages + "/create" + place + " " + specForm}},
		{name: "change a template of a " + of, right: edit, sees: view, in: in,
			call: func(c *cell, a service.Actor) error {
				now, err := c.Service.Template(service.Operator(), c.id(object))
				if err == nil {
					_, err = c.Service.UpdateTemplate(c.ctx, a, now.ID, spec(), now.ModifiedAt)
				}
				return err
			},
			rest: []string{"PATCH " + rest + "update/" + id + ` {"title":"{n}"}`, "PUT " + rest + "update/" + id + ` {"title":"{n}"}`},
			pages: []string{"GET " + pages + "/update/" + id,
				"POST " + pages + "/update/" + id + " date_modified={" + object + " modified}&" + specForm}},
		{name: "delete a template of a " + of, right: remove, sees: view, in: in,
			call: func(c *cell, a service.Actor) error {
				_, err := c.Service.DeleteTemplate(c.ctx, a, c.id(object))
				return err
			},
			rest:  []string{"DELETE " + rest + "delete/" + id},
			pages: []string{"GET " + pages + "/delete/" + id, "POST " + pages + "/delete/" + id}},
		{name: "duplicate a template of a " + of, right: duplicate, sees: view, in: in,
			call: func(c *cell, a service.Actor) error {
				_, _, err := c.Service.DuplicateTemplate(c.ctx, a, c.id(object))
				return err
			},
			rest:  []string{"POST " + rest + "duplicate/" + id},
			pages: []string{"POST " + pages + "/duplicate/" + id}},
	}
}

// template makes one in a project, or of the site.
func (c *cell) template(project string) string {
	t, err := c.Service.CreateTemplate(c.ctx, service.Operator(), project, spec())
	require.NoError(c.T, err)
	return t.ID
}

// templateModified is the version that a form is based on.
func (c *cell) templateModified(id string) string {
	t, err := c.Service.Template(service.Operator(), id)
	require.NoError(c.T, err)
	return t.ModifiedAt.Format(time.RFC3339Nano)
}
