package webui

import (
	"io"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

func (ui *UI) registerTemplates(app *fiber.App) {
	for _, at := range []string{"/containertemplates/site", "/containertemplates/project"} {
		app.Get(at+"/detail/:template", ui.page(ui.templateDetail))
		app.Get(at+"/update/:template", ui.page(ui.showTemplateUpdate))
		app.Post(at+"/update/:template", ui.page(ui.templateUpdate))
		app.Get(at+"/delete/:template", ui.page(ui.showTemplateDelete))
		app.Post(at+"/delete/:template", ui.page(ui.templateDelete))
		app.Get(at+"/duplicate/:template", ui.page(ui.onlyPost))
		app.Post(at+"/duplicate/:template", ui.page(ui.templateDuplicate))
	}
	app.Get("/containertemplates/site", ui.page(ui.templates))
	app.Get("/containertemplates/site/create", ui.page(ui.showTemplateCreate))
	app.Post("/containertemplates/site/create", ui.page(ui.templateCreate))
	app.Get("/containertemplates/project/create/:project", ui.page(ui.showTemplateCreate))
	app.Post("/containertemplates/project/create/:project", ui.page(ui.templateCreate))
	app.Get("/containertemplates/project/copy/:project", ui.page(ui.onlyPost))
	app.Post("/containertemplates/project/copy/:project", ui.page(ui.templateCopy))
	app.Get("/containertemplates/project/:project", ui.page(ui.templates))
}

// templateFields are the fields of the form for a template: the image may be left open, and no secret value is kept.
var templateFields = func() []specField {
	fields := slices.Clone(specFields)
	for i := range fields {
		switch fields[i].Name {
		case "repository", "tag":
			fields[i].Required = false
		case "environment_secret_keys":
			fields[i].Help = "Names of the variables that are secret, separated by commas. A template keeps no values of them: who makes a container of it enters them."
		}
	}
	return fields
}()

// templateURL is an address about a template, such as its details or its update.
func templateURL(t *state.Template, what string) string {
	if t.Project == "" {
		return "/containertemplates/site/" + what + "/" + t.ID
	}
	return "/containertemplates/project/" + what + "/" + t.ID
}

// templatesURL is the list that has the templates of a project, or of the site.
func templatesURL(project string) string {
	if project == "" {
		return "/containertemplates/site"
	}
	return "/containertemplates/project/" + project
}

// templateOptions are templates to choose from, as the original names them.
func templateOptions(templates []service.TemplateView) (options []option) {
	for _, t := range templates {
		label := "[Site-wide] "
		if t.Project != "" {
			label = "[Project-wide] "
		}
		options = append(options, option{t.ID, label + t.Name()})
	}
	return options
}

// templateRow is a template in a list, with what the visitor may do with it.
type templateRow struct {
	Title, Image, Created             string
	Detail, Update, Delete, Duplicate string // addresses; empty for what the visitor may not do
}

func (ui *UI) templateRow(t service.TemplateView) templateRow {
	row := templateRow{Title: t.Title, Image: t.Image(), Created: ui.date(t.CreatedAt), Detail: templateURL(&t.Template, "detail")}
	if t.CanEdit {
		row.Update = templateURL(&t.Template, "update")
	}
	if t.CanDelete {
		row.Delete = templateURL(&t.Template, "delete")
	}
	if t.CanDuplicate {
		row.Duplicate = templateURL(&t.Template, "duplicate")
	}
	return row
}

type templatesPage struct {
	frame
	// Head is of the project; nil for the templates of the site.
	Head *projectHead
	Rows []templateRow
	// Create and Copy are addresses; empty for what the visitor may not do.
	Create, Copy string
	Sources      field // to copy from
}

type templatePage struct {
	frame
	Trail       []crumb
	Name        string
	Description string
	Row         templateRow
	Rows        []detailRow
}

type templateDeletePage struct {
	frame
	Trail          []crumb
	Name           string
	Action, Cancel string
}

var (
	templatesTemplate      = parse("templates.html")
	templateTemplate       = parse("template.html")
	templateDeleteTemplate = parse("template_delete.html")
)

// Render writes the page.
func (p templatesPage) Render(w io.Writer) error { return templatesTemplate.Execute(w, p) }

// Render writes the page.
func (p templatePage) Render(w io.Writer) error { return templateTemplate.Execute(w, p) }

// Render writes the page.
func (p templateDeletePage) Render(w io.Writer) error { return templateDeleteTemplate.Execute(w, p) }

// place reads the project of the address, which is empty for the site.
func (ui *UI) place(v *visit) (project string, about service.ProjectView, err error) {
	if v.Params("project") == "" {
		return "", about, nil
	}
	if project, err = id(v.Ctx, "project"); err != nil {
		return "", about, err
	}
	about, err = ui.svc.Project(v.Actor, project)
	return project, about, err
}

// templateTrail are the pages above a template's.
func templateTrail(t *service.TemplateView) []crumb {
	if t.Project == "" {
		return []crumb{{"Site templates", templatesURL("")}}
	}
	return []crumb{{"Projects", "/"}, {t.ProjectTitle, "/containers/" + t.Project}, {"Templates", templatesURL(t.Project)}}
}

func (ui *UI) templates(v *visit) error {
	project, about, err := ui.place(v)
	if err != nil {
		return err
	}
	views, canCreate, err := ui.svc.Templates(v.Actor, project)
	if err != nil {
		return err
	}
	p := templatesPage{frame: ui.frame(v, "Site templates")}
	if project != "" {
		head := headOf(about, "Templates")
		p.Title, p.Head = about.Title, &head
	}
	for _, t := range views {
		p.Rows = append(p.Rows, ui.templateRow(t))
	}
	if canCreate {
		p.Create = "/containertemplates/site/create"
		if project != "" {
			p.Create = "/containertemplates/project/create/" + project
		}
	}
	if project != "" && canCreate {
		sources, err := ui.svc.UsableTemplates(v.Actor)
		if err != nil {
			return err
		}
		p.Copy = "/containertemplates/project/copy/" + project
		p.Sources = field{Name: "source", Label: "Copy a template into this project", Kind: "select", Options: templateOptions(sources)}
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

// template reads the template of the address.
func (ui *UI) template(v *visit) (t service.TemplateView, err error) {
	of, err := id(v.Ctx, "template")
	if err != nil {
		return t, err
	}
	return ui.svc.Template(v.Actor, of)
}

func (ui *UI) templateDetail(v *visit) error {
	t, err := ui.template(v)
	if err != nil {
		return err
	}
	p := templatePage{frame: ui.frame(v, t.Title), Trail: templateTrail(&t), Name: t.Title, Description: t.Description, Row: ui.templateRow(t)}
	p.Rows = append([]detailRow{{Label: "SODAR UUID", Value: t.ID}, {Label: "Date Created", Value: ui.date(t.CreatedAt)},
		{Label: "Date Modified", Value: ui.date(t.ModifiedAt)}, {Label: "Repository:Tag", Value: t.Image()}}, specRows(&t.Spec)...)
	if source, err := ui.svc.Template(v.Actor, t.Source); err == nil {
		p.Rows = append(p.Rows, detailRow{Label: "Copy of", Value: source.Title, Href: templateURL(&source.Template, "detail")})
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

// templateCreatePage makes the page for somebody who may add templates to the place of the address.
func (ui *UI) templateCreatePage(v *visit) (p specPage, project string, err error) {
	project, about, err := ui.place(v)
	if err != nil {
		return p, "", err
	}
	if err := ui.svc.MayCreateTemplate(v.Actor, project); err != nil {
		return p, "", err
	}
	p = specPage{frame: ui.frame(v, "Create template"), Submit: "Create", Cancel: templatesURL(project),
		Action: "/containertemplates/site/create", Trail: []crumb{{"Site templates", templatesURL("")}}}
	if project != "" {
		p.Action, p.Trail = "/containertemplates/project/create/"+project, append(trailOf(about),
			crumb{about.Title, "/project/" + project}, crumb{"Templates", templatesURL(project)})
	}
	return p, project, nil
}

func (ui *UI) showTemplateCreate(v *visit) error {
	p, _, err := ui.templateCreatePage(v)
	if err != nil {
		return err
	}
	spec := ui.svc.NewSpec()
	p.Fields = showSpec(templateFields, &spec)
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) templateCreate(v *visit) error {
	p, project, err := ui.templateCreatePage(v)
	if err != nil {
		return err
	}
	spec := ui.svc.NewSpec()
	p.Fields = showSpec(templateFields, &spec)
	if err := p.read(v, templateFields, &spec); err != nil {
		return p.sendBack(v, err)
	}
	t, err := ui.svc.CreateTemplate(v.UserContext(), v.Actor, project, spec)
	if err != nil {
		return p.sendBack(v, err)
	}
	ui.setFlash(v.Ctx, flash{Text: "Container template created."})
	return v.Redirect(templateURL(&t, "detail"))
}

// templateUpdatePage makes the page for somebody who may change the template of the address.
func (ui *UI) templateUpdatePage(v *visit) (p specPage, t service.TemplateView, err error) {
	if t, err = ui.template(v); err != nil {
		return p, t, err
	}
	if !t.CanEdit {
		return p, t, errNotAllowed
	}
	detail := templateURL(&t.Template, "detail")
	return specPage{frame: ui.frame(v, "Update template"), Action: templateURL(&t.Template, "update"), Submit: "Update", Cancel: detail,
		Trail: append(templateTrail(&t), crumb{t.Title, detail}), Seen: t.ModifiedAt.Format(time.RFC3339Nano),
		Fields: showSpec(templateFields, &t.Spec)}, t, nil
}

func (ui *UI) showTemplateUpdate(v *visit) error {
	p, _, err := ui.templateUpdatePage(v)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) templateUpdate(v *visit) error {
	p, t, err := ui.templateUpdatePage(v)
	if err != nil {
		return err
	}
	p.Seen = strings.Clone(v.FormValue("date_modified"))
	seen, err := time.Parse(time.RFC3339Nano, p.Seen)
	if err != nil {
		return errStalePage
	}
	spec := t.Spec
	if err := p.read(v, templateFields, &spec); err != nil {
		return p.sendBack(v, err)
	}
	updated, err := ui.svc.UpdateTemplate(v.UserContext(), v.Actor, t.ID, spec, seen)
	if err != nil {
		return p.sendBack(v, err)
	}
	ui.setFlash(v.Ctx, flash{Text: "Container template updated."})
	return v.Redirect(templateURL(&updated, "detail"))
}

func (ui *UI) showTemplateDelete(v *visit) error {
	t, err := ui.template(v)
	if err != nil {
		return err
	}
	if !t.CanDelete {
		return errNotAllowed
	}
	return render(v.Ctx, fiber.StatusOK, templateDeletePage{frame: ui.frame(v, "Delete template"), Trail: templateTrail(&t), Name: t.Title,
		Action: templateURL(&t.Template, "delete"), Cancel: templateURL(&t.Template, "detail")})
}

func (ui *UI) templateDelete(v *visit) error {
	t, err := ui.template(v)
	if err != nil {
		return err
	}
	if _, err := ui.svc.DeleteTemplate(v.UserContext(), v.Actor, t.ID); err != nil {
		return err
	}
	ui.setFlash(v.Ctx, flash{Text: "Container template deleted."})
	return v.Redirect(templatesURL(t.Project))
}

func (ui *UI) templateDuplicate(v *visit) error {
	t, err := ui.template(v)
	if err != nil {
		return err
	}
	from, made, err := ui.svc.DuplicateTemplate(v.UserContext(), v.Actor, t.ID)
	if err != nil {
		return err
	}
	return ui.showCopy(v, from, made)
}

func (ui *UI) templateCopy(v *visit) error {
	project, err := id(v.Ctx, "project")
	if err != nil {
		return err
	}
	// The original names site templates site:ID and those of projects project:ID.
	source := strings.Clone(v.FormValue("source"))
	source = strings.TrimPrefix(strings.TrimPrefix(source, "site:"), "project:")
	from, made, err := ui.svc.CopyTemplate(v.UserContext(), v.Actor, source, project)
	if err != nil {
		return err
	}
	return ui.showCopy(v, from, made)
}

func (ui *UI) showCopy(v *visit, from, made state.Template) error {
	ui.setFlash(v.Ctx, flash{Text: "Successfully created container template '" + made.Title + "' from '" + from.Title + "'"})
	return v.Redirect(templateURL(&made, "detail"))
}
