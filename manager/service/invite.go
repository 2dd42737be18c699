package service

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/mail"
)

// InvitePath is where an invite's link leads, before its secret.
const InvitePath = "/project/invites/accept/"

// InviteInput is what people enter for an invite.
type InviteInput struct {
	Email   string
	Role    state.Role
	Message string
}

// Invite makes an invite and returns the secret of its link, which can't be had again.
func (s *Service) Invite(ctx context.Context, a Actor, project string, in InviteInput) (i state.Invite, secret string, err error) {
	return s.invite(ctx, a, project, state.Invite{ID: uuid.NewString(), Role: in.Role, Email: strings.TrimSpace(in.Email), Message: in.Message},
		"invite_create", "invite somebody as "+string(in.Role)+" to {project}")
}

// ResendInvite gives an invite a new link and a new end; the old link no longer counts.
func (s *Service) ResendInvite(ctx context.Context, a Actor, id string) (i state.Invite, secret string, err error) {
	old, err := s.InviteByID(a, id)
	if err != nil {
		return i, "", err
	}
	return s.invite(ctx, a, old.Project, old, "invite_resend", "send an invite to {project} again")
}

func (s *Service) invite(ctx context.Context, a Actor, project string, i state.Invite, name, description string) (state.Invite, string, error) {
	p, err := s.projectFor(a, project, auth.Invite)
	if err == nil && i.Role == state.Delegate {
		_, err = s.projectFor(a, project, auth.UpdateDelegates)
	}
	if err != nil {
		return i, "", err
	}
	secret, hash := auth.NewSecret("")
	i.Project, i.Hash, i.Issuer, i.CreatedAt = project, hash, a.User.Name, now()
	i.ExpiresAt = i.CreatedAt.Add(cmp.Or(s.settings.InviteLife, DefaultInviteLife))
	e := projectEvent(a, p, name, description)
	e.Extra, e.Classified = map[string]string{"email": i.Email, "role": string(i.Role)}, true
	_, err = act[any](ctx, s, &state.InviteCreated{Invite: i}, e)
	return i, secret, err
}

// Mailer sends mails. Its methods end within ctx, or some seconds, and may be called by many goroutines.
type Mailer interface {
	Send(ctx context.Context, to, subject, text string) error
}

// MailInvite sends an invite's link to the invited, where the site has a mail server. Where that fails, problem says so to
// people, who then have to send the link themselves.
func (s *Service) MailInvite(ctx context.Context, a Actor, i state.Invite, link string) (sent bool, problem string, err error) {
	p, err := s.projectFor(a, i.Project, auth.Invite)
	if err != nil || s.settings.Mail == nil {
		return false, "", err
	}
	if err := s.settings.Mail.Send(ctx, i.Email, "Invite to "+p.Title, inviteText(a, p, i, link)); err != nil {
		s.logger.Warn("the link of an invite was not sent", "project", p.ID, "error", err)
		if errors.Is(err, mail.ErrAddress) {
			return false, "Nothing was sent: this is no mail address.", nil
		}
		return false, "The mail server did not take the mail.", nil
	}
	return true, "", nil
}

func inviteText(a Actor, p state.Project, i state.Invite, link string) string {
	text := cmp.Or(a.User.FullName, a.User.Name) + " invites you to \"" + p.Title + "\" on Kiosc, with the role " + string(i.Role) + ".\n\n" +
		"Open this link to accept. It works once, until " + i.ExpiresAt.UTC().Format("2 January 2006 15:04") + " UTC:\n\n" + link + "\n"
	if i.Message != "" {
		text += "\n" + i.Message + "\n"
	}
	return text + "\nIf you don't know what this is about, do nothing.\n"
}

// Invites lists a project's open invites, the newest first.
func (s *Service) Invites(a Actor, project string) (open []state.Invite, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if err := may(tx, a, project, auth.Invite); err != nil {
			return err
		}
		invites, err := tx.InvitesOf(project)
		for _, i := range invites {
			if i.ExpiresAt.After(time.Now()) {
				open = append(open, i)
			}
		}
		return err
	})
	return open, err
}

var errNoInvite = state.Errorf(state.NotFound, "There is no such invite, or you have no access to it.")

// InviteByID returns an open invite to a project to which the actor may invite.
func (s *Service) InviteByID(a Actor, id string) (i state.Invite, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		var ok bool
		if i, ok, err = tx.InviteByID(id); err != nil {
			return err
		}
		if !ok || !i.ExpiresAt.After(time.Now()) || may(tx, a, i.Project, auth.Invite) != nil {
			return errNoInvite
		}
		return nil
	})
	return i, err
}

// RevokeInvite makes an invite's link worthless.
func (s *Service) RevokeInvite(ctx context.Context, a Actor, id string) error {
	i, err := s.InviteByID(a, id)
	if err != nil {
		return err
	}
	p, err := s.projectFor(a, i.Project, auth.Invite)
	if err != nil {
		return err
	}
	e := projectEvent(a, p, "invite_revoke", "revoke an invite to {project}")
	e.Extra, e.Classified = map[string]string{"email": i.Email}, true
	_, err = act[any](ctx, s, &state.InviteRevoked{Project: i.Project, ID: id}, e)
	return err
}

// InviteView is what somebody with an invite's link may know of it.
type InviteView struct {
	state.Invite
	ProjectTitle string
}

// FindInvite returns the invite of a link's secret.
func (s *Service) FindInvite(secret string) (v InviteView, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		i, ok, err := tx.Invite(auth.HashSecret(secret))
		if err != nil {
			return err
		}
		if !ok || !i.ExpiresAt.After(time.Now()) {
			return state.Errorf(state.NotFound, "This invite is not valid any more. Ask for a new one.")
		}
		title, err := tx.FullTitle(i.Project)
		v = InviteView{i, title}
		return err
	})
	return v, err
}

// AcceptInvite gives the actor the role of an invite, and uses it up.
func (s *Service) AcceptInvite(ctx context.Context, a Actor, secret string) (state.Invite, error) {
	if a.API {
		return state.Invite{}, errScope
	}
	return s.accept(ctx, a, secret, nil)
}

// AcceptInviteAsNew makes an account with a password for somebody who has none, and gives it the role of an invite.
func (s *Service) AcceptInviteAsNew(ctx context.Context, secret string, in UserInput) (state.Invite, error) {
	if !s.settings.LocalUsers {
		return state.Invite{}, state.Errorf(state.Forbidden, "This site has no accounts of its own. Log in with that of your organisation.")
	}
	in.Superuser, in.Active = nil, nil
	user, _, err := newUser(in)
	if err != nil {
		return state.Invite{}, err
	}
	return s.accept(ctx, Actor{User: user}, secret, &user)
}

// LocalUsers tells whether the invited may make an account of Kiosc's own.
func (s *Service) LocalUsers() bool { return s.settings.LocalUsers }

func (s *Service) accept(ctx context.Context, a Actor, secret string, made *state.User) (i state.Invite, err error) {
	view, err := s.FindInvite(secret)
	if err != nil {
		return i, err
	}
	var p state.Project
	err = s.store.View(func(tx *state.Tx) error {
		p, _, err = tx.Project(view.Project)
		return err
	})
	if err != nil {
		return i, err
	}
	e := projectEvent(a, p, "invite_accept", "{user} accepts an invite to {project}", userObject(a.User))
	return act[state.Invite](ctx, s, &state.InviteAccepted{Hash: view.Hash, User: a.User.ID, Assignment: uuid.NewString(),
		DelegateLimit: s.settings.DelegateLimit, At: now(), NewUser: made}, e)
}
