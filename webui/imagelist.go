package webui

import (
	"io"
	"strings"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

func (ui *UI) registerImageAllowList(app *fiber.App) {
	app.Get("/kioscadmin/overview/images", ui.page(ui.showImageAllowList))
	app.Post("/kioscadmin/image-allow-list", ui.page(ui.setImageAllowList))
}

// imageAllowListPage tells which images are allowed, and lets administrators change it.
type imageAllowListPage struct {
	adminFrame
	Field field
	// All says that all images are allowed.
	All        bool
	NotAllowed []service.NotAllowed
	// Error is why the form came back; empty for none.
	Error string
}

var imageAllowListTemplate = parse("admin_images.html", "admin.html")

// Render writes the page.
func (p imageAllowListPage) Render(w io.Writer) error { return imageAllowListTemplate.Execute(w, p) }

func (ui *UI) imageAllowListPage(v *visit) (p imageAllowListPage, err error) {
	list, err := ui.svc.ImageAllowList(v.Actor)
	if err != nil {
		return p, err
	}
	return imageAllowListPage{adminFrame: ui.adminFrame(v, "images"), All: len(list.Patterns) == 0, NotAllowed: list.NotAllowed,
		Field: field{Name: "patterns", Label: "Patterns, one a line", Kind: "area", Rows: max(6, len(list.Patterns)+2),
			Max: state.MaxImagePatterns * (state.MaxImagePattern + 2), Value: strings.Join(list.Patterns, "\n"),
			Help: "Such as registry.example.org/** for all of a registry, rocker/* for all of a group on Docker Hub, nginx, or nginx:1.* for some tags. * stands for any characters but /, ** for any. Empty to allow all images."}}, nil
}

func (ui *UI) showImageAllowList(v *visit) error {
	p, err := ui.imageAllowListPage(v)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) setImageAllowList(v *visit) error {
	p, err := ui.imageAllowListPage(v)
	if err != nil {
		return err
	}
	p.Field.Value = strings.ReplaceAll(strings.Clone(v.FormValue("patterns")), "\r\n", "\n")
	list, err := ui.svc.SetImageAllowList(v.UserContext(), v.Actor, strings.Split(p.Field.Value, "\n"))
	if err != nil {
		status, fields, message, show := formError(v.Ctx, err)
		if !show {
			return err
		}
		p.Error, p.Field.Errors = message, fields["patterns"]
		return render(v.Ctx, status, p)
	}
	done := flash{Text: "The list was saved."}
	if len(list.Patterns) == 0 {
		done.Text = "All images are allowed."
	}
	ui.setFlash(v.Ctx, done)
	return v.Redirect("/kioscadmin/overview/images")
}
