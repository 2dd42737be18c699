package webui

import (
	"cmp"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

func (ui *UI) registerCreate(app *fiber.App) {
	app.Get("/containers/create/:project", ui.page(ui.showCreate))
	app.Post("/containers/create/:project", ui.page(ui.create))
	app.Get("/containers/update/:container", ui.page(ui.showUpdate))
	app.Post("/containers/update/:container", ui.page(ui.update))
}

// field is one field of a form with what was entered.
type field struct {
	Name, Label, Value, Help string
	// Kind is "text" (also when empty), "password", "number", "area", "select" of Options, or "check", whose Value is empty
	// while it isn't checked.
	Kind     string
	Options  []option
	Rows     int // of an area
	Max      int // length; 0 for any
	Required bool
	Errors   []string
	// More says that the field is shown among those that most people can leave alone.
	More bool
}

// option is a choice of a field.
type option struct{ Value, Label string }

// crumb is a page above the one that is shown.
type crumb struct{ Label, Href string }

// specPage is the form for a container or a template.
type specPage struct {
	frame
	Trail  []crumb
	Fields []field
	// Action is where the form goes, Submit the button's text, and Cancel the page that leads away from it.
	Action, Submit, Cancel string
	// Hint tells what sending the form brings about besides; empty for nothing.
	Hint string
	// Error is why the form came back; empty for none.
	Error string
	// Seen is the version that the form is based on; empty for a new object.
	Seen string
	// Picker offers templates to fill the fields from; no options for none.
	Picker field
	// PickerAction is the page that shows the form filled from a template.
	PickerAction string
	// Links are what the command may fetch files of the project by.
	Links []option
	// From is the id of the template that the fields were filled from; empty for none.
	From string
}

var specTemplate = parse("spec.html")

// Render writes the page.
func (p specPage) Render(w io.Writer) error { return specTemplate.Execute(w, p) }

// MoreOpen tells whether a field that is hidden at first has something to tell.
func (p specPage) MoreOpen() bool {
	for _, f := range p.Fields {
		if f.More && (len(f.Errors) > 0 || f.Value != "" && f.Kind != "select") {
			return true
		}
	}
	return false
}

// sendBack shows the form again with what is wrong; an error that has its own page is returned.
func (p specPage) sendBack(v *visit, err error) error {
	status, fields, message, show := formError(v.Ctx, err)
	if !show {
		return err
	}
	p.Error = message
	for i := range p.Fields {
		p.Fields[i].Errors = fields[p.Fields[i].Name]
	}
	return render(v.Ctx, status, p)
}

// read takes over what was entered, beginning with what the form began with.
func (p specPage) read(v *visit, fields []specField, spec *state.Spec) error {
	if wrong := readSpec(fields, p.Fields, spec, func(name string) string { return v.FormValue(name) }); len(wrong) > 0 {
		return &state.Error{Code: state.Invalid, Message: correctFields, Fields: wrong}
	}
	return nil
}

var errNotAllowed = state.Errorf(state.Forbidden, "Your role in this project does not allow this. Ask an owner of the project.")

// createPage makes the page for somebody who may create containers in the project of the address.
func (ui *UI) createPage(v *visit) (p specPage, project string, err error) {
	if project, err = id(v.Ctx, "project"); err != nil {
		return p, "", err
	}
	view, err := ui.svc.Project(v.Actor, project)
	if err != nil {
		return p, "", err
	}
	if !view.Rights[auth.CreateContainer] {
		return p, "", errNotAllowed
	}
	links, err := ui.fileLinks(v, project)
	list := "/containers/" + project
	p = specPage{Links: links, frame: ui.frame(v, "Create container"), Trail: []crumb{{"Projects", "/"}, {view.Title, list}},
		Action: "/containers/create/" + project, Submit: "Create", Cancel: list, From: strings.Clone(v.FormValue("template"))}
	return p, project, errors.Join(err, ui.picker(v, &p))
}

func (ui *UI) showCreate(v *visit) error {
	p, _, err := ui.createPage(v)
	if err != nil {
		return err
	}
	spec := ui.svc.NewSpec()
	if err := ui.fill(v, &p, &spec); err != nil {
		return err
	}
	return ui.showFilled(v, p, &spec)
}

// fill takes the definition over from the template that the address names, if it names one.
func (ui *UI) fill(v *visit, p *specPage, spec *state.Spec) error {
	from := v.Query("template")
	if from == "" {
		return nil
	}
	template, err := ui.svc.Template(v.Actor, strings.Clone(from))
	if err != nil {
		return err
	}
	*spec, p.From, p.Picker.Value = template.Spec, template.ID, template.ID
	return nil
}

// showFilled shows the form with a definition, and says at once if its image isn't allowed.
func (ui *UI) showFilled(v *visit, p specPage, spec *state.Spec) error {
	p.Fields = showSpec(specFields, spec)
	var refused *state.Error
	if spec.Repository != "" && errors.As(ui.svc.CheckImage(spec), &refused) {
		for i := range p.Fields {
			p.Fields[i].Errors = refused.Fields[p.Fields[i].Name]
		}
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

// picker offers the templates that the visitor may see. With an id of a template in the address of the page, that fills
// the form.
func (ui *UI) picker(v *visit, p *specPage) error {
	templates, err := ui.svc.UsableTemplates(v.Actor)
	if err != nil || len(templates) == 0 {
		return err
	}
	p.PickerAction = p.Action
	p.Picker = field{Name: "template", Label: "Template", Kind: "select", Value: p.From, Options: []option{{"", "Choose a template"}}}
	p.Picker.Options = append(p.Picker.Options, templateOptions(templates)...)
	return nil
}

func (ui *UI) create(v *visit) error {
	p, project, err := ui.createPage(v)
	if err != nil {
		return err
	}
	in := service.ContainerInput{Spec: ui.svc.NewSpec(), Template: p.From}
	p.Fields = showSpec(specFields, &in.Spec)
	if err := p.read(v, specFields, &in.Spec); err != nil {
		return p.sendBack(v, err)
	}
	c, err := ui.svc.CreateContainer(v.UserContext(), v.Actor, project, in)
	if err != nil {
		return p.sendBack(v, err)
	}
	ui.setFlash(v.Ctx, flash{Text: "Container created."})
	return v.Redirect("/containers/detail/" + c.ID)
}

// updatePage makes the page for somebody who may change the container of the address.
func (ui *UI) updatePage(v *visit) (p specPage, view service.ContainerView, err error) {
	if view, err = ui.container(v); err != nil {
		return p, view, err
	}
	if !view.Rights[auth.EditContainer] {
		return p, view, errNotAllowed
	}
	links, err := ui.fileLinks(v, view.Project)
	detail := "/containers/detail/" + view.ID
	p = specPage{Links: links, frame: ui.frame(v, "Update container"), Action: "/containers/update/" + view.ID, Submit: "Update", Cancel: detail,
		Trail: []crumb{{"Projects", "/"}, {view.ProjectTitle, "/containers/" + view.Project}, {view.Title, detail}},
		Seen:  view.ModifiedAt.Format(time.RFC3339Nano), From: cmp.Or(strings.Clone(v.FormValue("template")), view.Template)}
	if view.State == state.Running || view.State == state.Paused {
		p.Hint = "The app is restarted with what you change here. Who uses it now may lose unsaved work."
	}
	return p, view, errors.Join(err, ui.picker(v, &p))
}

func (ui *UI) showUpdate(v *visit) error {
	p, view, err := ui.updatePage(v)
	if err != nil {
		return err
	}
	if err := ui.fill(v, &p, &view.Spec); err != nil {
		return err
	}
	return ui.showFilled(v, p, &view.Spec)
}

func (ui *UI) update(v *visit) error {
	p, view, err := ui.updatePage(v)
	if err != nil {
		return err
	}
	p.Seen = strings.Clone(v.FormValue("date_modified"))
	seen, err := time.Parse(time.RFC3339Nano, p.Seen)
	if err != nil {
		return errStalePage
	}
	p.Fields = showSpec(specFields, &view.Spec)
	in := service.ContainerInput{Spec: view.Spec, Template: p.From}
	if err := p.read(v, specFields, &in.Spec); err != nil {
		return p.sendBack(v, err)
	}
	c, restarted, err := ui.svc.UpdateContainer(v.UserContext(), v.Actor, view.ID, in, seen)
	if err != nil {
		return p.sendBack(v, err)
	}
	done := flash{Text: "Container updated."}
	if restarted {
		done.Text = "Container updated and restarted."
	}
	ui.setFlash(v.Ctx, done)
	return v.Redirect("/containers/detail/" + c.ID)
}

const correctFields = "Please correct the marked fields."

// formError tells how to show an error in the form that caused it; show is false for one that has its own page.
func formError(c *fiber.Ctx, err error) (status int, fields map[string][]string, message string, show bool) {
	var e *state.Error
	if !errors.As(err, &e) {
		return 0, nil, "", false
	}
	switch e.Code {
	case state.Invalid, state.Conflict:
	case state.TooMany, state.Unavailable:
		c.Set(fiber.HeaderRetryAfter, service.RetryAfter)
	default:
		return 0, nil, "", false
	}
	return service.Status(err), e.Fields, e.Message, true
}
