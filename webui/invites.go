package webui

import (
	"cmp"
	"io"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

func (ui *UI) registerInvites(app *fiber.App) {
	app.Get("/project/invites/create/:project", ui.page(ui.showInvite))
	app.Post("/project/invites/create/:project", ui.page(ui.invite))
	app.Post("/project/invites/revoke/:invite", ui.page(ui.revokeInvite))
	app.Post("/project/invites/resend/:invite", ui.page(ui.resendInvite))
	app.Get("/project/invites/revoke/:invite", ui.page(ui.onlyPost))
	app.Get("/project/invites/resend/:invite", ui.page(ui.onlyPost))
	app.Get(service.InvitePath+":secret", ui.open(ui.showAccept))
	app.Post(service.InvitePath+":secret", ui.page(ui.accept))
	app.Post("/project/invites/new/:secret", ui.open(ui.acceptAsNew))
}

// inviteRow is an open invite.
type inviteRow struct {
	ID, Email, Issuer, Expires string
	Role                       state.Role
}

func (ui *UI) inviteRows(v *visit, project string) (rows []inviteRow, err error) {
	invites, err := ui.svc.Invites(v.Actor, project)
	for _, i := range invites {
		rows = append(rows, inviteRow{i.ID, i.Email, i.Issuer, ui.date(i.ExpiresAt), i.Role})
	}
	return rows, err
}

// inviteShownPage is the only page that ever has an invite's link.
type inviteShownPage struct {
	frame
	Project     string
	Link, Email string
	Expires     string
	// Sent says that the link was sent by mail; it is not shown then. Problem says why it wasn't; empty for no mail server.
	Sent    bool
	Problem string
}

type acceptPage struct {
	frame
	Project string
	Role    state.Role
	Issuer  string
	Secret  string
	Next    string // of the login
	// LoggedIn says that the visitor has an account already. Fields make one, where the site has accounts of its own.
	LoggedIn bool
	Fields   []field
	Error    string
}

var (
	inviteShownTemplate = parse("invite_shown.html")
	acceptTemplate      = parse("accept.html")
)

// Render writes the page.
func (p inviteShownPage) Render(w io.Writer) error { return inviteShownTemplate.Execute(w, p) }

// Render writes the page.
func (p acceptPage) Render(w io.Writer) error { return acceptTemplate.Execute(w, p) }

func (ui *UI) invitePage(v *visit) (p formPage, view service.ProjectView, err error) {
	view, err = ui.viewedFor(v, auth.Invite)
	if err != nil {
		return p, view, err
	}
	role := field{Name: "role", Label: "Role", Kind: "select", Value: string(state.Guest)}
	for _, r := range givable(view) {
		role.Options = append(role.Options, option{string(r), string(r)})
	}
	members := "/project/members/" + view.ID
	p = formPage{frame: ui.frame(v, "Invite"), Trail: append(trailOf(view), crumb{view.Title, "/project/" + view.ID}, crumb{"Members", members}),
		Fields: []field{{Name: "email", Label: "E-mail address", Required: true, Max: 254, Help: "Of the person whom you invite."}, role,
			{Name: "message", Label: "Message", Kind: "area", Rows: 3, Max: state.MaxInviteMessage}},
		Action: "/project/invites/create/" + view.ID, Submit: "Invite", Cancel: members,
		Text: "Whoever opens the link of an invite and logs in gets the role. A link works once."}
	return p, view, nil
}

func (ui *UI) showInvite(v *visit) error {
	p, _, err := ui.invitePage(v)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) invite(v *visit) error {
	p, view, err := ui.invitePage(v)
	if err != nil {
		return err
	}
	p.read(v.Ctx)
	i, secret, err := ui.svc.Invite(v.UserContext(), v.Actor, view.ID,
		service.InviteInput{Email: p.value("email"), Role: state.Role(p.value("role")), Message: p.value("message")})
	if err != nil {
		return p.refused(v.Ctx, err)
	}
	return ui.showLink(v, i, secret)
}

// showLink sends an invite's link, or shows it, once.
func (ui *UI) showLink(v *visit, i state.Invite, secret string) error {
	link := cmp.Or(ui.opts.Site, v.BaseURL()) + service.InvitePath + secret
	sent, problem, err := ui.svc.MailInvite(v.UserContext(), v.Actor, i, link)
	if err != nil {
		return err
	}
	if sent {
		link = ""
	}
	return render(v.Ctx, fiber.StatusOK, inviteShownPage{frame: ui.frame(v, "Invite"), Project: i.Project, Link: link, Email: i.Email,
		Expires: ui.date(i.ExpiresAt), Sent: sent, Problem: problem})
}

func (ui *UI) revokeInvite(v *visit) error {
	invite, err := id(v.Ctx, "invite")
	if err != nil {
		return err
	}
	i, err := ui.svc.InviteByID(v.Actor, invite)
	if err != nil {
		return err
	}
	if err := ui.svc.RevokeInvite(v.UserContext(), v.Actor, invite); err != nil {
		return err
	}
	ui.setFlash(v.Ctx, flash{Text: "The invite's link no longer works."})
	return v.Redirect("/project/members/" + i.Project)
}

func (ui *UI) resendInvite(v *visit) error {
	invite, err := id(v.Ctx, "invite")
	if err != nil {
		return err
	}
	i, secret, err := ui.svc.ResendInvite(v.UserContext(), v.Actor, invite)
	if err != nil {
		return err
	}
	return ui.showLink(v, i, secret)
}

// accountFields make an account of Kiosc's own.
func accountFields() []field {
	return []field{{Name: "username", Label: "User name", Required: true, Max: 150}, {Name: "name", Label: "Your name", Max: 255},
		{Name: "password", Label: "Password", Kind: "password", Required: true, Help: "At least eight characters."}}
}

// acceptPage is shown to everybody with the link, who has to log in or to make an account to use it.
func (ui *UI) acceptPage(c *fiber.Ctx) (p acceptPage, err error) {
	secret := c.Params("secret")
	i, err := ui.svc.FindInvite(secret)
	if err != nil {
		return p, err
	}
	p = acceptPage{frame: ui.plainFrame("Invite to " + i.ProjectTitle), Project: i.ProjectTitle, Role: i.Role, Issuer: i.Issuer, Secret: secret,
		Next: service.InvitePath + secret}
	if v, err := ui.visit(c); err == nil {
		p.frame, p.LoggedIn = ui.frame(v, p.Title), true
	} else if ui.svc.LocalUsers() {
		p.Fields = accountFields()
	}
	return p, nil
}

func (ui *UI) showAccept(c *fiber.Ctx) error {
	p, err := ui.acceptPage(c)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, p)
}

func (ui *UI) accept(v *visit) error {
	i, err := ui.svc.AcceptInvite(v.UserContext(), v.Actor, v.Params("secret"))
	if err != nil {
		return err
	}
	ui.setFlash(v.Ctx, flash{Text: "Welcome to the project."})
	return v.Redirect("/project/" + i.Project)
}

func (ui *UI) acceptAsNew(c *fiber.Ctx) error {
	p, err := ui.acceptPage(c)
	if err != nil {
		return err
	}
	form := formPage{Fields: accountFields()}
	form.read(c)
	name, password := form.value("name"), c.FormValue("password")
	_, err = ui.svc.AcceptInviteAsNew(c.UserContext(), p.Secret, service.UserInput{Name: form.value("username"), FullName: &name, Password: &password})
	if err != nil {
		status, fields, message, show := formError(c, err)
		if !show {
			return err
		}
		for i := range form.Fields {
			form.Fields[i].Errors = fields[form.Fields[i].Name]
		}
		form.Fields[len(form.Fields)-1].Value = ""
		p.Fields, p.Error = form.Fields, message
		return render(c, status, p)
	}
	ui.setFlash(c, flash{Text: "Your account is made. Log in with it."})
	return c.Redirect("/login/")
}
