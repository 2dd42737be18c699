package api

import (
	"cmp"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

func (a *API) registerInvites(api fiber.Router) {
	a.route(api, "/invites/list/:project<guid>", projectMedia, reading(a.listInvites)).
		get(about{summary: "List the open invites of a project", right: auth.Invite, query: []query{pageQuery}, out: listOf[inviteJSON]()})
	a.route(api, "/invites/create/:project<guid>", projectMedia, methods{fiber.MethodPost: a.createInvite}).
		post(about{summary: "Invite somebody", right: auth.Invite, in: inviteInput{}, needs: []string{"email", "role"}, out: inviteJSON{},
			status: fiber.StatusCreated})
	a.route(api, "/invites/retrieve/:invite<guid>", projectMedia, reading(a.showInvite)).
		get(about{summary: "Show an open invite", right: auth.Invite, out: inviteJSON{}})
	a.route(api, "/invites/revoke/:invite<guid>", projectMedia, methods{fiber.MethodPost: a.revokeInvite}).
		post(about{summary: "Make an invite's link worthless", right: auth.Invite, out: messageJSON{}})
	a.route(api, "/invites/resend/:invite<guid>", projectMedia, methods{fiber.MethodPost: a.resendInvite}).
		post(about{summary: "Give an invite a new link and a new end", right: auth.Invite, out: inviteJSON{}})
}

// inviteJSON is an invite in SODAR's form.
type inviteJSON struct {
	Email       string `json:"email"`
	Project     string `json:"project"`
	Role        string `json:"role"`
	Issuer      string `json:"issuer"` // user name
	DateCreated string `json:"date_created"`
	DateExpire  string `json:"date_expire"`
	Message     string `json:"message"`
	UUID        string `json:"sodar_uuid"`
	// Link is in the answer to the request that made it, and nowhere else, unless it was sent by mail. Problem says why it
	// wasn't, where the site has a mail server.
	Link    string `json:"link,omitempty"`
	Sent    bool   `json:"sent,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// inviteInput is what a request says of an invite.
type inviteInput struct {
	Email   string  `json:"email"`
	Role    string  `json:"role"`
	Message *string `json:"message"`
}

func inviteOf(i state.Invite) inviteJSON {
	return inviteJSON{Email: i.Email, Project: i.Project, Role: string(i.Role), Issuer: i.Issuer, DateCreated: dateText(i.CreatedAt),
		DateExpire: dateText(i.ExpiresAt), Message: i.Message, UUID: i.ID}
}

func (a *API) listInvites(c *fiber.Ctx, actor service.Actor) error {
	project := id(c, "project")
	invites, err := a.service.Invites(actor, project)
	if err != nil {
		return err
	}
	return list(c, invites, func(i state.Invite) (inviteJSON, error) { return inviteOf(i), nil })
}

func (a *API) createInvite(c *fiber.Ctx, actor service.Actor) error {
	invite, err := read(c, func(in *input) service.InviteInput {
		return service.InviteInput{Email: in.text("email"), Role: state.Role(in.text("role")), Message: in.nullableText("message")}
	}, "email", "role")
	if err != nil {
		return err
	}
	made, secret, err := a.service.Invite(c.UserContext(), actor, id(c, "project"), invite)
	if err != nil {
		return err
	}
	return a.renderInvite(c, actor, fiber.StatusCreated, made, secret)
}

// renderInvite sends the link of an invite, or answers with it.
func (a *API) renderInvite(c *fiber.Ctx, actor service.Actor, status int, i state.Invite, secret string) (err error) {
	out := inviteOf(i)
	link := cmp.Or(a.opts.Site, c.BaseURL()) + service.InvitePath + secret
	if out.Sent, out.Problem, err = a.service.MailInvite(c.UserContext(), actor, i, link); err != nil {
		return err
	}
	if !out.Sent {
		out.Link = link
	}
	return render(c, status, out)
}

// invite is the one in the address.
func (a *API) invite(c *fiber.Ctx, actor service.Actor) (i state.Invite, err error) {
	return a.service.InviteByID(actor, id(c, "invite"))
}

func (a *API) showInvite(c *fiber.Ctx, actor service.Actor) error {
	i, err := a.invite(c, actor)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, inviteOf(i))
}

func (a *API) revokeInvite(c *fiber.Ctx, actor service.Actor) error {
	i, err := a.invite(c, actor)
	if err != nil {
		return err
	}
	if err := a.service.RevokeInvite(c.UserContext(), actor, i.ID); err != nil {
		return err
	}
	return message(c, fiber.StatusOK, "Invite revoked")
}

func (a *API) resendInvite(c *fiber.Ctx, actor service.Actor) error {
	i, err := a.invite(c, actor)
	if err != nil {
		return err
	}
	made, secret, err := a.service.ResendInvite(c.UserContext(), actor, i.ID)
	if err != nil {
		return err
	}
	return a.renderInvite(c, actor, fiber.StatusOK, made, secret)
}
