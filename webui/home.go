package webui

import (
	"io"

	"github.com/gofiber/fiber/v2"

	"kiosc/manager/service"
)

func (ui *UI) registerHome(app *fiber.App) {
	app.Get("/", ui.page(ui.home))
	app.Get("/project/:project", ui.page(ui.project))
}

type homePage struct {
	frame
	Projects []service.ProjectView
}

var homeTemplate = parse("home.html")

// Render writes the page.
func (p homePage) Render(w io.Writer) error { return homeTemplate.Execute(w, p) }

func (ui *UI) home(v *visit) error {
	projects, err := ui.svc.Projects(v.Actor)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, homePage{ui.frame(v, "Projects"), projects})
}

func (ui *UI) project(v *visit) error {
	project, err := id(v.Ctx, "project")
	if err != nil {
		return err
	}
	return v.Redirect("/containers/" + project)
}
