package webui

import (
	"io"

	"github.com/gofiber/fiber/v2"
)

func (ui *UI) registerAccount(app *fiber.App) {
	app.Get("/account/", ui.page(ui.account))
	app.Post("/account/password", ui.page(ui.changePassword))
	app.Post("/account/logout-everywhere", ui.page(ui.logoutEverywhere))
	app.Get("/account/:action", ui.page(ui.onlyPost))
}

type accountPage struct {
	frame
	FullName, Email string
	Superuser       bool
	// Elsewhere says who keeps the password; empty where it is changed here.
	Elsewhere        string
	Old, New, Repeat field
	Error            string
}

var accountTemplate = parse("account.html")

// Render writes the page.
func (p accountPage) Render(w io.Writer) error { return accountTemplate.Execute(w, p) }

func (ui *UI) accountPage(v *visit) accountPage {
	return accountPage{frame: ui.frame(v, "Your account"), FullName: v.Actor.User.FullName, Email: v.Actor.User.Email,
		Superuser: v.Actor.User.Superuser, Elsewhere: ui.svc.PasswordElsewhere(v.Actor.User),
		Old: field{Name: "old_password", Label: "Present password", Kind: "password", Required: true},
		New: field{Name: "new_password", Label: "New password", Kind: "password", Required: true,
			Help: "At least eight characters. All your other logins end."},
		Repeat: field{Name: "repeat_password", Label: "New password again", Kind: "password", Required: true}}
}

func (ui *UI) account(v *visit) error { return render(v.Ctx, fiber.StatusOK, ui.accountPage(v)) }

func (ui *UI) changePassword(v *visit) error {
	p := ui.accountPage(v)
	if v.FormValue("new_password") != v.FormValue("repeat_password") {
		p.Repeat.Errors, p.Error = []string{"The two new passwords differ."}, correctFields
		return render(v.Ctx, fiber.StatusBadRequest, p)
	}
	err := ui.svc.ChangePassword(v.UserContext(), v.Actor, v.Session, clientAddress(v.Ctx), v.FormValue("old_password"), v.FormValue("new_password"))
	if err != nil {
		status, fields, message, show := formError(v.Ctx, err)
		if !show {
			return err
		}
		p.Old.Errors, p.New.Errors, p.Error = fields["old_password"], fields["new_password"], message
		return render(v.Ctx, status, p)
	}
	ui.setFlash(v.Ctx, flash{Text: "Your password is changed. Other browsers have to log in again."})
	return v.Redirect("/account/")
}

func (ui *UI) logoutEverywhere(v *visit) error {
	if err := ui.svc.LogoutEverywhere(v.UserContext(), v.Actor, v.Session); err != nil {
		return err
	}
	ui.setFlash(v.Ctx, flash{Text: "You are logged out everywhere else."})
	return v.Redirect("/account/")
}
