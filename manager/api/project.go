package api

import (
	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

var projectMedia = media{"application/vnd.bihealth.sodar-core.projectroles+json", []string{"1.0", "1.1", "2.0"}}

func (a *API) registerProjects(app *fiber.App) {
	api := app.Group("/project/api")
	a.route(api, "/list", projectMedia, reading(a.listProjects)).
		get(about{summary: "List the projects and categories that the caller may find", query: []query{pageQuery}, out: listOf[projectJSON]()})
	a.route(api, "/retrieve/:project<guid>", projectMedia, reading(a.showProject)).
		get(about{summary: "Show a project or category", right: auth.FindProject, out: projectJSON{}})
	a.route(api, "/create", projectMedia, methods{fiber.MethodPost: a.createProject}).
		post(about{summary: "Create a project or category", right: auth.CreateProject, in: projectInput{}, needs: []string{"title", "type"},
			out: projectJSON{}, status: fiber.StatusCreated})
	a.route(api, "/update/:project<guid>", projectMedia, methods{fiber.MethodPut: a.updateProject, fiber.MethodPatch: a.updateProject}).
		put(about{summary: "Change a project or category", right: auth.UpdateProject, in: projectInput{}, needs: []string{"title"}, out: projectJSON{}}).
		patch(about{summary: "Change a project or category", right: auth.UpdateProject, in: projectInput{}, out: projectJSON{}})
	a.route(api, "/destroy/:project<guid>", projectMedia, methods{fiber.MethodDelete: a.deleteProject}).
		del(about{summary: "Delete a project with all that it has, or an empty category", right: auth.DeleteProject, status: fiber.StatusNoContent,
			also: map[int]string{fiber.StatusAccepted: "It will be gone once Docker hosts have removed its containers"}})
	a.registerRoles(api)
	a.registerInvites(api)
	a.registerUsers(api)
	api.All("/*", notFound)
}

// projectJSON is a project or category in SODAR's form.
type projectJSON struct {
	Title        string              `json:"title"`
	Type         string              `json:"type"`
	Parent       *string             `json:"parent"`
	Description  string              `json:"description"`
	Readme       string              `json:"readme"`
	PublicAccess *string             `json:"public_access"`
	PublicGuest  bool                `json:"public_guest_access"` // of SODAR's versions before 2.0
	Archive      bool                `json:"archive"`
	FullTitle    string              `json:"full_title"`
	Roles        map[string]roleJSON `json:"roles"` // by the id of the assignment; empty for who may not see the members
	Children     []string            `json:"children"`
	// Upstream says that the project comes from an upstream site, and is changed there only.
	Upstream bool   `json:"is_remote"`
	UUID     string `json:"sodar_uuid"`
}

// projectInput is what a request may say of a project.
type projectInput struct {
	Title        string  `json:"title"`
	Type         string  `json:"type"` // PROJECT or CATEGORY
	Parent       *string `json:"parent"`
	Description  *string `json:"description"`
	Readme       *string `json:"readme"`
	PublicAccess *string `json:"public_access"`
	PublicGuest  bool    `json:"public_guest_access"`
	Archive      bool    `json:"archive"`
	Owner        *string `json:"owner"` // of a new one; the caller otherwise
}

// roleJSON is a role assignment.
type roleJSON struct {
	Role      string `json:"role"`
	User      string `json:"user"` // id
	Project   string `json:"project,omitempty"`
	Inherited bool   `json:"inherited"`
	UUID      string `json:"sodar_uuid"`
}

func (a *API) project(actor service.Actor, v service.ProjectView) (projectJSON, error) {
	out := projectJSON{Title: v.Title, Type: string(v.Type), Parent: orNull(v.Parent), Description: v.Description, Readme: v.Readme,
		PublicAccess: orNull(string(v.PublicAccess)), PublicGuest: v.PublicAccess == state.Guest, Archive: v.Archived, FullTitle: v.FullTitle,
		Roles: map[string]roleJSON{}, Children: append([]string{}, v.Children...), Upstream: v.Upstream, UUID: v.ID}
	if !v.Rights[auth.ViewMembers] {
		return out, nil
	}
	assignments, err := a.service.Assignments(actor, v.ID)
	for _, r := range assignments {
		out.Roles[r.ID] = roleJSON{Role: string(r.Role), User: r.User, Inherited: r.Project != v.ID, UUID: r.ID}
	}
	return out, err
}

func (a *API) listProjects(c *fiber.Ctx, actor service.Actor) error {
	views, err := a.service.Projects(actor)
	if err != nil {
		return err
	}
	return list(c, views, func(v service.ProjectView) (projectJSON, error) { return a.project(actor, v) })
}

func (a *API) showProject(c *fiber.Ctx, actor service.Actor) error {
	return a.renderProject(c, actor, id(c, "project"), fiber.StatusOK)
}

func (a *API) renderProject(c *fiber.Ctx, actor service.Actor, project string, status int) error {
	view, err := a.service.Project(actor, project)
	if err != nil {
		return err
	}
	out, err := a.project(actor, view)
	if err != nil {
		return err
	}
	return render(c, status, out)
}

// projectInput reads what a client may say of a project.
func (in *input) project() (p service.ProjectInput) {
	in.optional("title", &p.Title)
	in.optional("description", &p.Description)
	in.optional("readme", &p.Readme)
	if _, given := in.raw["parent"]; given {
		parent := in.nullableText("parent")
		p.Parent = &parent
	}
	if _, given := in.raw["public_access"]; given {
		role := state.Role(in.nullableText("public_access"))
		p.PublicAccess = &role
	} else if guest := in.boolean("public_guest_access"); guest != nil {
		role := map[bool]state.Role{true: state.Guest}[*guest]
		p.PublicAccess = &role
	}
	p.Archived = in.boolean("archive")
	return p
}

// optional reads a text that is left alone where the field is missing.
func (in *input) optional(field string, text **string) {
	if _, given := in.raw[field]; given {
		value := in.nullableText(field)
		*text = &value
	}
}

// boolean is nil for a missing field.
func (in *input) boolean(field string) (b *bool) {
	in.value(field, &b, "Must be a valid boolean.")
	return b
}

func (a *API) createProject(c *fiber.Ctx, actor service.Actor) error {
	in, err := decode(c)
	if err != nil {
		return err
	}
	in.require("title", "type")
	project := in.project()
	project.Type, project.Owner = state.Type(in.text("type")), in.nullableText("owner")
	if err := in.err(); err != nil {
		return err
	}
	made, err := a.service.CreateProject(c.UserContext(), actor, project)
	if err != nil {
		return err
	}
	return a.renderProject(c, actor, made.ID, fiber.StatusCreated)
}

func (a *API) updateProject(c *fiber.Ctx, actor service.Actor) error {
	project := id(c, "project")
	in, err := decode(c)
	if err != nil {
		return err
	}
	if c.Method() == fiber.MethodPut {
		in.require("title")
	}
	change := in.project()
	if _, given := in.raw["type"]; given {
		view, err := a.service.Project(actor, project)
		if err != nil {
			return err
		}
		if in.text("type") != string(view.Type) {
			in.fault("type", "The type of a project can't be changed.")
		}
	}
	if err := in.err(); err != nil {
		return err
	}
	if _, err := a.service.UpdateProject(c.UserContext(), actor, project, change); err != nil {
		return err
	}
	return a.renderProject(c, actor, project, fiber.StatusOK)
}

func (a *API) deleteProject(c *fiber.Ctx, actor service.Actor) error {
	project := id(c, "project")
	if err := a.service.DeleteProject(c.UserContext(), actor, project); err != nil {
		return err
	}
	_, err := a.service.Project(actor, project)
	if state.CodeOf(err) == state.NotFound {
		c.Status(fiber.StatusNoContent)
		return nil
	}
	if err != nil {
		return err
	}
	return message(c, fiber.StatusAccepted, "The project is being deleted; it will be gone once Docker hosts have removed its containers.")
}

// orNull is nil for an empty text.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
