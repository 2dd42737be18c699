package webui

import (
	"io"
	"strings"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

func (ui *UI) registerRegistries(app *fiber.App) {
	app.Get("/containers/registries/:project", ui.page(ui.registries))
	app.Post("/containers/registries/:project", ui.page(ui.setRegistry))
	app.Get("/containers/registries/remove/:project", ui.page(ui.onlyPost))
	app.Post("/containers/registries/remove/:project", ui.page(ui.removeRegistry))
}

// registryRow is a registry in the list. Its password is nowhere.
type registryRow struct{ Host, User, SetBy, SetAt string }

type registriesPage struct {
	frame
	Head    projectHead
	Project string
	Rows    []registryRow
	Fields  []field
	// Error is why the form came back; empty for none.
	Error string
}

var registriesTemplate = parse("registries.html")

// Render writes the page.
func (p registriesPage) Render(w io.Writer) error { return registriesTemplate.Execute(w, p) }

func (ui *UI) registriesPage(v *visit) (p registriesPage, err error) {
	project, err := id(v.Ctx, "project")
	if err != nil {
		return p, err
	}
	list, err := ui.svc.Registries(v.Actor, project)
	if err != nil {
		return p, err
	}
	about, err := ui.svc.Project(v.Actor, project)
	if err != nil {
		return p, err
	}
	p = registriesPage{frame: ui.frame(v, "Registries"), Head: headOf(about, "Registries"), Project: project, Fields: []field{
		{Name: "host", Label: "Registry", Required: true, Max: state.MaxRegistryHost,
			Help: "As images name it, such as registry.example.org:5000; docker.io for Docker Hub."},
		{Name: "user", Label: "User", Required: true, Max: state.MaxRegistryUser},
		{Name: "password", Label: "Password or access token", Kind: "password", Required: true, Max: state.MaxRegistryPassword,
			Help: "Kept encrypted, and never shown again. A token that may only read is best."}}}
	for _, r := range list {
		p.Rows = append(p.Rows, registryRow{Host: r.Host, User: r.User, SetBy: r.SetBy, SetAt: ui.date(r.SetAt)})
	}
	return p, nil
}

func (ui *UI) registries(v *visit) error {
	p, err := ui.registriesPage(v)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) setRegistry(v *visit) error {
	p, err := ui.registriesPage(v)
	if err != nil {
		return err
	}
	in := service.RegistryInput{Host: strings.Clone(v.FormValue("host")), User: strings.Clone(v.FormValue("user")), Password: strings.Clone(v.FormValue("password"))}
	set, err := ui.svc.SetRegistry(v.UserContext(), v.Actor, p.Project, in)
	if err != nil {
		status, fields, message, show := formError(v.Ctx, err)
		if !show {
			return err
		}
		p.Error, p.Fields[0].Value, p.Fields[1].Value = message, in.Host, in.User
		for i := range p.Fields {
			p.Fields[i].Errors = fields[p.Fields[i].Name]
		}
		return render(v.Ctx, status, p)
	}
	ui.setFlash(v.Ctx, flash{Text: "The login for " + set.Host + " is used from the next pull on."})
	return v.Redirect("/containers/registries/" + p.Project)
}

func (ui *UI) removeRegistry(v *visit) error {
	project, err := id(v.Ctx, "project")
	if err != nil {
		return err
	}
	host := strings.Clone(v.FormValue("host"))
	if err := ui.svc.RemoveRegistry(v.UserContext(), v.Actor, project, host); err != nil {
		return err
	}
	ui.setFlash(v.Ctx, flash{Text: "The login for " + host + " is removed."})
	return v.Redirect("/containers/registries/" + project)
}
