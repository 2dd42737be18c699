package webui

import (
	"io"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

func (ui *UI) registerUsers(app *fiber.App) {
	app.Get("/kioscadmin/overview/users", ui.page(ui.adminUsers))
	app.Get("/kioscadmin/users/create", ui.page(ui.showCreateUser))
	app.Post("/kioscadmin/users/create", ui.page(ui.createUser))
	app.Get("/kioscadmin/users/update/:user", ui.page(ui.showUpdateUser))
	app.Post("/kioscadmin/users/update/:user", ui.page(ui.updateUser))
	app.Post("/kioscadmin/users/password/:user", ui.page(ui.resetPassword))
	app.Get("/kioscadmin/users/password/:user", ui.page(ui.onlyPost))
}

// userRow is a user in the list.
type userRow struct {
	service.UserView
	Created string
	// Local says that Kiosc itself knows the password.
	Local bool
}

type adminUsersPage struct {
	adminFrame
	Rows []userRow
}

// passwordPage is the only page that ever has a generated password.
type passwordPage struct {
	frame
	Name, Password string
}

var (
	adminUsersTemplate = parse("admin_users.html", "admin.html")
	passwordTemplate   = parse("password.html")
)

// Render writes the page.
func (p adminUsersPage) Render(w io.Writer) error { return adminUsersTemplate.Execute(w, p) }

// Render writes the page.
func (p passwordPage) Render(w io.Writer) error { return passwordTemplate.Execute(w, p) }

func (ui *UI) adminUsers(v *visit) error {
	users, err := ui.svc.Users(v.Actor)
	if err != nil {
		return err
	}
	p := adminUsersPage{adminFrame: ui.adminFrame(v, "users")}
	for _, u := range users {
		p.Rows = append(p.Rows, userRow{u, ui.date(u.CreatedAt), u.AuthType == state.AuthLocal})
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

const usersList = "/kioscadmin/overview/users"

var usersTrail = []crumb{{"Admin", "/kioscadmin/overview"}, {"Users", usersList}}

// userFields are the fields of the form for a user.
func userFields() []field {
	return []field{{Name: "name", Label: "Name", Max: 255}, {Name: "email", Label: "E-mail address", Max: 254},
		{Name: "is_superuser", Label: "Superuser", Kind: "check", Help: "May do everything, everywhere."},
		{Name: "is_active", Label: "Active", Kind: "check", Help: "A user who isn't has no access at all, by API tokens neither."}}
}

func (p *formPage) userInput(name string) service.UserInput {
	fullName, email := p.value("name"), p.value("email")
	superuser, active := p.value("is_superuser") != "", p.value("is_active") != ""
	return service.UserInput{Name: name, FullName: &fullName, Email: &email, Superuser: &superuser, Active: &active}
}

func (ui *UI) createUserPage(v *visit) (formPage, error) {
	p := formPage{frame: ui.frame(v, "Create user"), Trail: usersTrail, Action: "/kioscadmin/users/create", Submit: "Create", Cancel: usersList,
		Text:   "The user logs in with a password that Kiosc generates and shows once. Users of a directory need not be created: they are at their first login.",
		Fields: append([]field{{Name: "username", Label: "User name", Required: true, Max: 150}}, userFields()...)}
	p.Fields[len(p.Fields)-1].Value = "true"
	_, err := ui.svc.Users(v.Actor) // refuses who is no superuser
	return p, err
}

func (ui *UI) showCreateUser(v *visit) error {
	p, err := ui.createUserPage(v)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) createUser(v *visit) error {
	p, err := ui.createUserPage(v)
	if err != nil {
		return err
	}
	p.read(v.Ctx)
	made, err := ui.svc.CreateUser(v.UserContext(), v.Actor, p.userInput(p.value("username")))
	if err != nil {
		return p.refused(v.Ctx, err)
	}
	return render(v.Ctx, fiber.StatusOK, passwordPage{ui.frame(v, "The new user's password"), made.Name, made.Password})
}

func (ui *UI) updateUserPage(v *visit) (p formPage, u service.UserView, err error) {
	user, err := id(v.Ctx, "user")
	if err != nil {
		return p, u, err
	}
	if u, err = ui.svc.UserByID(v.Actor, user); err != nil {
		return p, u, err
	}
	p = formPage{frame: ui.frame(v, "Update "+u.Name), Trail: usersTrail, Action: "/kioscadmin/users/update/" + u.ID, Submit: "Save",
		Cancel: usersList, Fields: userFields()}
	values := map[string]string{"name": u.FullName, "email": u.Email, "is_superuser": map[bool]string{true: "true"}[u.Superuser],
		"is_active": map[bool]string{true: "true"}[u.Active]}
	for i := range p.Fields {
		p.Fields[i].Value = values[p.Fields[i].Name]
	}
	return p, u, nil
}

func (ui *UI) showUpdateUser(v *visit) error {
	p, _, err := ui.updateUserPage(v)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) updateUser(v *visit) error {
	p, u, err := ui.updateUserPage(v)
	if err != nil {
		return err
	}
	p.read(v.Ctx)
	in := p.userInput(u.Name)
	if *in.Superuser == u.Superuser {
		in.Superuser = nil // who is one by a group stays one by that
	}
	if _, err := ui.svc.ChangeUser(v.UserContext(), v.Actor, in); err != nil {
		return p.refused(v.Ctx, err)
	}
	ui.setFlash(v.Ctx, flash{Text: "Saved."})
	return v.Redirect(usersList)
}

func (ui *UI) resetPassword(v *visit) error {
	_, u, err := ui.updateUserPage(v)
	if err != nil {
		return err
	}
	changed, err := ui.svc.ChangeUser(v.UserContext(), v.Actor, service.UserInput{Name: u.Name, GeneratePassword: true})
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, passwordPage{ui.frame(v, "The new password"), u.Name, changed.Password})
}
