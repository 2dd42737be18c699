package webui

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"io"

	"github.com/docker/go-units"
	"github.com/gofiber/fiber/v2"
	"github.com/yuin/goldmark"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

func (ui *UI) registerProjects(app *fiber.App) {
	app.Get("/", ui.page(ui.home))
	app.Get("/project/create", ui.page(ui.showCreateProject))
	app.Post("/project/create", ui.page(ui.createProject))
	app.Get("/project/create/:project", ui.page(ui.showCreateProject))
	app.Post("/project/create/:project", ui.page(ui.createProject))
	app.Get("/project/update/:project", ui.page(ui.showUpdateProject))
	app.Post("/project/update/:project", ui.page(ui.updateProject))
	app.Post("/project/archive/:project", ui.page(ui.archiveProject))
	app.Get("/project/archive/:project", ui.page(ui.onlyPost))
	app.Get("/project/delete/:project", ui.page(ui.showDeleteProject))
	app.Post("/project/delete/:project", ui.page(ui.deleteProject))
	ui.registerMembers(app)
	ui.registerInvites(app)
	app.Get("/project/:project", ui.page(ui.project))
}

// projectHead is what every page of a project or category begins with.
type projectHead struct {
	ID, Title  string
	Category   bool
	Trail      []crumb
	Tabs       []projectTab
	Archived   bool
	Upstream   bool
	Deleting   bool
	Public     string // the role that everybody has; empty for none
	Background string // the description
}

// projectTab is one of a project's pages.
type projectTab struct {
	Label, Href string
	Here        bool
}

// projectTabs are the pages of a project, each for those with a right.
var projectTabs = []struct {
	label, path string
	right       auth.Right
	categories  bool // have it, too
}{
	{"Overview", "/project/", auth.FindProject, true},
	{"Containers", "/containers/", auth.ViewContainer, false},
	{"Templates", "/containertemplates/project/", auth.ViewTemplate, false},
	{"Registries", "/containers/registries/", auth.ManageCredentials, false},
	{"Small files", "/files/", auth.ViewFiles, false},
	{"Members", "/project/members/", auth.ViewMembers, true},
	{"Timeline", "/timeline/", auth.ViewTimeline, true},
}

// headOf makes the head for the page with this label among the tabs.
func headOf(view service.ProjectView, here string) projectHead {
	h := projectHead{ID: view.ID, Title: view.Title, Category: view.Type == state.TypeCategory, Trail: trailOf(view), Archived: view.Archived,
		Upstream: view.Upstream, Deleting: view.Deleting, Public: string(view.PublicAccess), Background: view.Description}
	for _, tab := range projectTabs {
		if (tab.categories || !h.Category) && view.Rights[tab.right] {
			h.Tabs = append(h.Tabs, projectTab{tab.label, tab.path + view.ID, tab.label == here})
		}
	}
	return h
}

// trailOf leads to a project, and not to itself.
func trailOf(view service.ProjectView) []crumb {
	trail := []crumb{{"Projects", "/"}}
	for _, above := range view.Above {
		trail = append(trail, crumb{above.Title, "/project/" + above.ID})
	}
	return trail
}

// projectRow is a line of a list of projects.
type projectRow struct {
	service.ProjectView
	// Indent has an element for each level that the line is moved in by.
	Indent   []struct{}
	Category bool
	Href     string
}

func rowsOf(views []service.ProjectView, below int) (rows []projectRow) {
	for _, v := range views {
		row := projectRow{v, make([]struct{}, min(max(len(v.Above)-below, 0), 8)), v.Type == state.TypeCategory, "/project/" + v.ID}
		if !row.Category && v.Rights[auth.ViewContainer] {
			row.Href = "/containers/" + v.ID
		}
		rows = append(rows, row)
	}
	return rows
}

type homePage struct {
	frame
	Rows      []projectRow
	CanCreate bool
}

type projectPage struct {
	frame
	Project   projectHead
	Readme    template.HTML
	Rows      []projectRow // of a category
	Counts    service.Counts
	Role      string
	CanCreate bool
	CanUpdate bool
	CanDelete bool
	Shares    []shareView
}

var (
	homeTemplate    = parse("home.html")
	projectTemplate = parse("project.html")
)

// Render writes the page.
func (p homePage) Render(w io.Writer) error { return homeTemplate.Execute(w, p) }

// Render writes the page.
func (p projectPage) Render(w io.Writer) error { return projectTemplate.Execute(w, p) }

func (ui *UI) home(v *visit) error {
	projects, err := ui.svc.Projects(v.Actor)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, homePage{ui.frame(v, "Projects"), rowsOf(projects, 0), ui.svc.CreatesAtTop(v.Actor)})
}

// viewed is the project of the address.
func (ui *UI) viewed(v *visit) (view service.ProjectView, err error) {
	project, err := id(v.Ctx, "project")
	if err != nil {
		return view, err
	}
	return ui.svc.Project(v.Actor, project)
}

// viewedFor is the project of the address for a page that only those with a right see.
func (ui *UI) viewedFor(v *visit, right auth.Right) (view service.ProjectView, err error) {
	view, err = ui.viewed(v)
	if err == nil && !view.Rights[right] {
		err = errNotAllowed
		if view.Upstream && auth.UpstreamDecides(right) {
			err = state.Errorf(state.Forbidden, "This project comes from the upstream SODAR site and can only be changed there.")
		}
	}
	return view, err
}

func (ui *UI) project(v *visit) error {
	view, err := ui.viewed(v)
	if err != nil {
		return err
	}
	p := projectPage{frame: ui.frame(v, view.Title), Project: headOf(view, "Overview"), Readme: markdown(view.Readme), Counts: view.Counts,
		Role: cmp.Or(string(view.Role), "superuser"), CanCreate: view.Type == state.TypeCategory && view.Rights[auth.CreateProject],
		CanUpdate: view.Rights[auth.UpdateProject], CanDelete: view.Rights[auth.DeleteProject]}
	if view.Type != state.TypeCategory {
		return render(v.Ctx, fiber.StatusOK, p)
	}
	all, err := ui.svc.Projects(v.Actor)
	if err != nil {
		return err
	}
	depth := len(view.Above) + 1
	for _, row := range rowsOf(all, depth) {
		if len(row.Above) >= depth && row.Above[depth-1].ID == view.ID {
			p.Rows = append(p.Rows, row)
		}
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

// markdown is a readme as HTML. Raw HTML and links to anything but pages are left out of it.
func markdown(text string) template.HTML {
	var out bytes.Buffer
	if err := goldmark.Convert([]byte(text), &out); err != nil {
		return template.HTML(template.HTMLEscapeString(text))
	}
	return template.HTML(out.String()) // goldmark escapes what it isn't told to trust
}

// publicChoices are what everybody can be given.
var publicChoices = []option{{"", "no"}, {string(state.Guest), "as guests: see containers and open their apps"},
	{string(state.Viewer), "as viewers: see that the project exists, and its members"}}

// projectFields are the fields of a project's form. Categories are those that the visitor may put it into.
func projectFields(kind state.Type, categories []option) []field {
	fields := []field{
		{Name: "title", Label: "Title", Required: true, Max: state.MaxProjectTitle},
		{Name: "description", Label: "Description", Max: state.MaxProjectDescription, Help: "In one sentence."},
		{Name: "readme", Label: "Readme", Kind: "area", Rows: 8, Max: state.MaxReadme, Help: "Shown on the project's page. Markdown."},
	}
	if kind == state.TypeProject {
		fields = append(fields, field{Name: "public_access", Label: "Open to everybody who can log in", Kind: "select", Options: publicChoices})
	}
	if len(categories) > 0 {
		fields = append(fields, field{Name: "parent", Label: "Category", Kind: "select", Options: categories})
	}
	return fields
}

// kinds are the choices of what to create.
var kinds = []option{{string(state.TypeProject), "project: has containers"}, {string(state.TypeCategory), "category: has projects and other categories"}}

func (ui *UI) createProjectPage(v *visit) (p formPage, parent string, err error) {
	p = formPage{frame: ui.frame(v, "Create project or category"), Trail: []crumb{{"Projects", "/"}}, Action: "/project/create", Submit: "Create", Cancel: "/"}
	if v.Params("project") != "" {
		view, err := ui.viewedFor(v, auth.CreateProject)
		if err != nil {
			return p, "", err
		}
		if view.Type != state.TypeCategory {
			return p, "", state.Errorf(state.NotFound, "Projects can only be created in a category.")
		}
		parent = view.ID
		p.Trail = append(trailOf(view), crumb{view.Title, "/project/" + view.ID})
		p.Action, p.Cancel = "/project/create/"+view.ID, "/project/"+view.ID
	} else if !ui.svc.CreatesAtTop(v.Actor) {
		return p, "", state.Errorf(state.Forbidden, "Only superusers may create projects and categories at the top. Choose a category.")
	}
	p.Fields = append([]field{{Name: "type", Label: "Type", Kind: "select", Options: kinds, Value: string(state.TypeProject)}},
		projectFields(state.TypeProject, nil)...)
	return p, parent, nil
}

func (ui *UI) showCreateProject(v *visit) error {
	p, _, err := ui.createProjectPage(v)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (p *formPage) projectInput() service.ProjectInput {
	title, description, readme := p.value("title"), p.value("description"), p.value("readme")
	public := state.Role(p.value("public_access"))
	return service.ProjectInput{Title: &title, Description: &description, Readme: &readme, PublicAccess: &public}
}

func (ui *UI) createProject(v *visit) error {
	p, parent, err := ui.createProjectPage(v)
	if err != nil {
		return err
	}
	p.read(v.Ctx)
	in := p.projectInput()
	in.Type, in.Parent = state.Type(p.value("type")), &parent
	made, err := ui.svc.CreateProject(v.UserContext(), v.Actor, in)
	if err != nil {
		return p.refused(v.Ctx, err)
	}
	ui.setFlash(v.Ctx, flash{Text: "Created."})
	return v.Redirect("/project/" + made.ID)
}

func (ui *UI) updateProjectPage(v *visit) (p formPage, view service.ProjectView, err error) {
	view, err = ui.viewedFor(v, auth.UpdateProject)
	if err != nil {
		return p, view, err
	}
	categories, err := ui.categoriesFor(v, view)
	if err != nil {
		return p, view, err
	}
	p = formPage{frame: ui.frame(v, "Update"), Trail: append(trailOf(view), crumb{view.Title, "/project/" + view.ID}),
		Fields: projectFields(view.Type, categories), Action: "/project/update/" + view.ID, Submit: "Save", Cancel: "/project/" + view.ID}
	values := map[string]string{"title": view.Title, "description": view.Description, "readme": view.Readme,
		"public_access": string(view.PublicAccess), "parent": view.Parent}
	for i := range p.Fields {
		p.Fields[i].Value = values[p.Fields[i].Name]
	}
	return p, view, nil
}

// categoriesFor are the categories that the visitor may move a project to, and where it is; none where there is no other.
func (ui *UI) categoriesFor(v *visit, view service.ProjectView) (choices []option, err error) {
	all, err := ui.svc.Projects(v.Actor)
	if err != nil {
		return nil, err
	}
	if ui.svc.CreatesAtTop(v.Actor) || view.Parent == "" {
		choices = append(choices, option{"", "none, at the top"})
	}
	for _, c := range all {
		inside := c.ID == view.ID
		for _, above := range c.Above {
			inside = inside || above.ID == view.ID
		}
		if c.Type == state.TypeCategory && !inside && (c.Rights[auth.CreateProject] && !c.Upstream || c.ID == view.Parent) {
			choices = append(choices, option{c.ID, c.FullTitle})
		}
	}
	if len(choices) < 2 {
		return nil, nil
	}
	return choices, nil
}

func (ui *UI) showUpdateProject(v *visit) error {
	p, _, err := ui.updateProjectPage(v)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) updateProject(v *visit) error {
	p, view, err := ui.updateProjectPage(v)
	if err != nil {
		return err
	}
	p.read(v.Ctx)
	in := p.projectInput()
	for _, f := range p.Fields {
		if f.Name == "parent" {
			in.Parent = &f.Value
		}
	}
	if _, err := ui.svc.UpdateProject(v.UserContext(), v.Actor, view.ID, in); err != nil {
		return p.refused(v.Ctx, err)
	}
	ui.setFlash(v.Ctx, flash{Text: "Saved."})
	return v.Redirect("/project/" + view.ID)
}

func (ui *UI) archiveProject(v *visit) error {
	project, err := id(v.Ctx, "project")
	if err != nil {
		return err
	}
	archive := v.FormValue("archive") == "true"
	if _, err := ui.svc.UpdateProject(v.UserContext(), v.Actor, project, service.ProjectInput{Archived: &archive}); err != nil {
		return err
	}
	text := "The project is archived: what it has stays as it is. Running apps can still be opened."
	if !archive {
		text = "The project is out of the archive."
	}
	ui.setFlash(v.Ctx, flash{Text: text})
	return v.Redirect("/project/" + project)
}

func (ui *UI) deleteProjectPage(v *visit) (p formPage, view service.ProjectView, err error) {
	view, err = ui.viewedFor(v, auth.DeleteProject)
	if err != nil {
		return p, view, err
	}
	d, err := ui.svc.Deletion(v.Actor, view.ID)
	if err != nil {
		return p, view, err
	}
	p = formPage{frame: ui.frame(v, "Delete "+view.Title), Trail: append(trailOf(view), crumb{view.Title, "/project/" + view.ID}),
		Action: "/project/delete/" + view.ID, Submit: "Delete", Danger: true, Cancel: "/project/" + view.ID}
	if len(d.Children) > 0 {
		p.Text, p.Lost, p.NoSubmit = "The category is not empty. Delete or move first what is in it:", d.Children, true
		return p, view, nil
	}
	p.Text = "This goes with it, and can't be had back:"
	for _, title := range d.Containers {
		p.Lost = append(p.Lost, "the container "+title+" with its log")
	}
	if d.Files > 0 {
		p.Lost = append(p.Lost, fmt.Sprintf("%d small files and folders, %s", d.Files, units.BytesSize(float64(d.FileBytes))))
	}
	p.Lost = append(p.Lost, fmt.Sprintf("the roles of %d members and %d open invites", d.Members, d.Invites))
	p.Fields = []field{{Name: "title", Label: "Type the title to confirm", Required: true}}
	return p, view, nil
}

func (ui *UI) showDeleteProject(v *visit) error {
	p, _, err := ui.deleteProjectPage(v)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) deleteProject(v *visit) error {
	p, view, err := ui.deleteProjectPage(v)
	if err != nil {
		return err
	}
	p.read(v.Ctx)
	if !p.NoSubmit && p.value("title") != view.Title {
		return p.refused(v.Ctx, &state.Error{Code: state.Invalid, Message: correctFields, Fields: map[string][]string{"title": {"This is not the title."}}})
	}
	if err := ui.svc.DeleteProject(v.UserContext(), v.Actor, view.ID); err != nil {
		return p.refused(v.Ctx, err)
	}
	ui.setFlash(v.Ctx, flash{Text: view.Title + " is deleted. Its apps end once their Docker hosts have removed them."})
	return v.Redirect("/")
}
