package service

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"

	"kiosc/cluster/state"
	"kiosc/manager/oidc"
)

// OpenIDLife is how long somebody may take to log in at the OpenID provider.
const OpenIDLife = 15 * time.Minute

// openIDContext binds what is sealed to its purpose.
const openIDContext = "openid-attempt"

// openIDAttempt is a login under way. Its browser keeps it, sealed with the cluster's key, so that it can end at any manager.
type openIDAttempt struct {
	oidc.Attempt
	// Next is a path to go on to after the login.
	Next string
	Ends time.Time
}

// UseOpenID names the provider at which people can log in, and what its groups give. It must be called before anything else.
func (s *Service) UseOpenID(provider *oidc.Client, rules GroupRules) {
	s.openID, s.openIDRules = provider, rules
}

// OpenIDName is what people call the provider; empty where there is none.
func (s *Service) OpenIDName() string {
	if s.openID == nil {
		return ""
	}
	return s.openID.Name()
}

var errNoOpenID = state.Errorf(state.NotFound, "This Kiosc has no OpenID provider to log in with.")

// BeginOpenID returns the address at the provider to which a browser has to go, and what it has to keep meanwhile, for
// OpenIDLife. redirect is where the provider sends it back to, next where it goes in the end.
func (s *Service) BeginOpenID(ctx context.Context, redirect, next string) (to, kept string, err error) {
	if s.openID == nil {
		return "", "", errNoOpenID
	}
	a, to, err := s.openID.Begin(ctx, redirect)
	if err != nil {
		return "", "", err
	}
	plain, err := json.Marshal(openIDAttempt{a, next, now().Add(OpenIDLife)})
	if err != nil {
		return "", "", err
	}
	sealed, err := s.sealer.Seal(plain, openIDContext)
	return to, base64.RawURLEncoding.EncodeToString(sealed), err
}

// FinishOpenID opens a session for who has come back from the provider. kept is what the browser has kept. next is where it
// shall go on to, whether it is let in or not; empty where that isn't known.
func (s *Service) FinishOpenID(ctx context.Context, kept string, r oidc.Return) (secret, next string, err error) {
	if s.openID == nil {
		return "", "", errNoOpenID
	}
	a, ok := s.openAttempt(kept)
	if !ok {
		return "", "", oidc.ErrStale
	}
	// Before the provider takes the code, which counts once.
	if !s.node.CaughtUp() {
		return "", a.Next, errStarting
	}
	p, err := s.openID.Finish(ctx, a.Attempt, r)
	if err != nil {
		return "", a.Next, err
	}
	secret, user, err := s.LoginAs(ctx, Identity{Name: p.Name, FullName: p.FullName, FirstName: p.FirstName, LastName: p.LastName,
		Email: p.Email, AuthType: state.AuthOIDC, Subject: p.Issuer + "#" + p.Subject, Groups: p.Groups}, s.openIDRules)
	if err != nil {
		s.logger.Warn("somebody from the OpenID provider was not let in", "user", p.Name, "subject", p.Subject, "error", err)
		return "", a.Next, err
	}
	s.logger.Debug("somebody has logged in at the OpenID provider", "user", user.Name)
	return secret, a.Next, nil
}

func (s *Service) openAttempt(kept string) (a openIDAttempt, ok bool) {
	sealed, err := base64.RawURLEncoding.DecodeString(kept)
	if err != nil {
		return a, false
	}
	plain, err := s.sealer.Open(sealed, openIDContext)
	if err != nil || json.Unmarshal(plain, &a) != nil {
		return a, false
	}
	return a, a.Ends.After(time.Now())
}

// RelinkInput says whom the OpenID provider's numbers are to be forgotten for.
type RelinkInput struct {
	Name string `json:"username,omitempty"`
	All  bool   `json:"all,omitempty"` // instead of a name
}

// RelinkView tells for how many users there was one.
type RelinkView struct {
	Users int `json:"users"`
}

// RelinkUsers makes the next login at the OpenID provider with a user's name be the user. Only superusers may.
func (s *Service) RelinkUsers(ctx context.Context, a Actor, in RelinkInput) (out RelinkView, err error) {
	if err := administer(a); err != nil {
		return out, err
	}
	if in.All == (in.Name != "") {
		return out, state.Errorf(state.Invalid, "Give the name of a user, or all.")
	}
	forget, e := &state.SubjectForgotten{}, event(a, appUsers, "", "user_relink", "forget who all users are at the OpenID provider")
	if !in.All {
		u, err := s.userByName(in.Name)
		if err != nil {
			return out, err
		}
		forget.User = u.ID
		e = event(a, appUsers, "", "user_relink", "forget who {user} is at the OpenID provider", userObject(u))
	}
	out.Users, err = act[int](ctx, s, forget, e)
	return out, err
}
