package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"kiosc/cluster/state"
)

// maxSkew is by how much the provider's clock may differ from this machine's.
const maxSkew = 2 * time.Minute

// Attempt is a login under way. It belongs to the browser in which it has begun, and no other may ever show it.
type Attempt struct {
	State, Nonce string
	// Verifier is PKCE's secret, of which the provider has seen the hash.
	Verifier string
	// Redirect is where the provider sends the browser back to.
	Redirect string
}

// Begin returns a new attempt, and the address at the provider to which its browser has to go.
func (c *Client) Begin(ctx context.Context, redirect string) (a Attempt, to string, err error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	p, err := c.provider(ctx)
	if err != nil {
		return a, "", err
	}
	a = Attempt{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Redirect: redirect}
	return a, c.oauth(p, redirect).AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), nil
}

func (c *Client) oauth(p *provider, redirect string) *oauth2.Config {
	endpoint := p.Endpoint()
	endpoint.AuthStyle = p.style
	return &oauth2.Config{ClientID: c.cfg.ClientID, ClientSecret: c.cfg.Secret, Endpoint: endpoint, RedirectURL: redirect,
		Scopes: append([]string{oidc.ScopeOpenID}, c.cfg.Scopes...)}
}

// Return is what the provider has sent the browser back with.
type Return struct {
	State, Code, Issuer string
	// Error and Description say why the provider let nobody in; empty where it did.
	Error, Description string
}

// ErrStale is the answer to a login that isn't under way in this browser.
var ErrStale = state.Errorf(state.Unauthenticated, "This login has expired, was used before, or was begun in another browser or window. Log in again.")

// Finish finds out who has come back from the provider.
func (c *Client) Finish(ctx context.Context, a Attempt, r Return) (Person, error) {
	if subtle.ConstantTimeCompare([]byte(a.State), []byte(r.State)) != 1 || a.State == "" {
		return Person{}, ErrStale
	}
	if r.Error != "" {
		return Person{}, c.denied(r)
	}
	if r.Code == "" {
		return Person{}, ErrStale
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	default:
		return Person{}, state.Errorf(state.TooMany, "Too many people are logging in at the moment. Try again in a few seconds.")
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, c.http), exchangeTimeout)
	defer cancel()
	p, err := c.provider(ctx)
	if err != nil {
		return Person{}, err
	}
	if r.Issuer != "" && r.Issuer != p.issuer || r.Issuer == "" && p.saysIss {
		return Person{}, c.distrust("somebody was sent back in the name of another provider", "issuer", r.Issuer)
	}
	tokens, err := c.oauth(p, a.Redirect).Exchange(ctx, r.Code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return Person{}, c.notExchanged(err)
	}
	token, err := c.verify(ctx, p, a, tokens)
	if err != nil {
		return Person{}, err
	}
	return c.person(ctx, p, token, tokens)
}

// denied is why the provider has let nobody in.
func (c *Client) denied(r Return) error {
	c.logger.Warn("the OpenID provider has refused a login", "code", clip(r.Error), "description", clip(r.Description))
	switch r.Error {
	case "access_denied":
		return state.Errorf(state.Forbidden, c.cfg.Name+" did not let you in, or you have cancelled the login. If you should have access, ask those who run it.")
	case "login_required", "interaction_required", "consent_required", "account_selection_required":
		return state.Errorf(state.Unauthenticated, c.cfg.Name+" wants you to log in there first. Log in again.")
	case "server_error", "temporarily_unavailable":
		return c.unreachable()
	}
	return c.misfit()
}

// notExchanged is why the provider gave nothing for a code.
func (c *Client) notExchanged(err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		c.logger.Warn("a login has failed: the OpenID provider did not answer", "error", err)
		return c.unreachable()
	}
	// What else is in the answer isn't for the log.
	c.logger.Warn("a login has failed: the OpenID provider gave no token", "status", refused.Response.StatusCode,
		"code", clip(refused.ErrorCode), "description", clip(refused.ErrorDescription))
	switch {
	case refused.ErrorCode == "invalid_grant":
		return ErrStale
	case refused.ErrorCode == "temporarily_unavailable":
		return c.unreachable()
	}
	return c.misfit()
}

// misfit is the answer where the provider doesn't take Kiosc for one of its own.
func (c *Client) misfit() error {
	return state.Errorf(state.Unavailable, c.cfg.Name+" does not accept logins for this Kiosc. Tell the people who run this site; their log says more.")
}

// distrust is the answer to what the provider should never have said.
func (c *Client) distrust(cause string, details ...any) error {
	c.logger.Error("a login has failed: "+cause, details...)
	return state.Errorf(state.Unavailable, "The answer of "+c.cfg.Name+" can't be trusted, so nobody is logged in. Tell the people who run this site; their log says more.")
}

func (c *Client) wrongClock(token, here time.Time) error {
	c.logger.Error("a login has failed: the clocks of the OpenID provider and of this machine differ, or its tokens live too short", "token", token.UTC(), "here", here.UTC())
	return state.Errorf(state.Unavailable, "The clocks of "+c.cfg.Name+" and of this Kiosc differ by too much, so nobody can be logged in. Tell the people who run this site.")
}

// verify checks the ID token that came for a code of this attempt.
func (c *Client) verify(ctx context.Context, p *provider, a Attempt, tokens *oauth2.Token) (*oidc.IDToken, error) {
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return nil, c.distrust("the OpenID provider gave no ID token")
	}
	missing := false
	token, err := p.verifier.Verify(context.WithValue(ctx, keysMissing{}, &missing), raw)
	here := time.Now()
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		return nil, c.wrongClock(expired.Expiry, here)
	case missing:
		c.logger.Warn("a login has failed: the OpenID provider's keys can't be had", "error", err)
		return nil, c.unreachable()
	case err != nil:
		return nil, c.distrust("the ID token is wrong", "error", err)
	case token.IssuedAt.After(here.Add(maxSkew)):
		return nil, c.wrongClock(token.IssuedAt, here)
	case subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(a.Nonce)) != 1:
		return nil, c.distrust("the ID token is another login's")
	case token.Subject == "" || len(token.Subject) > maxSubject:
		return nil, c.distrust("the ID token doesn't say whose it is")
	}
	var party struct {
		Authorized *string `json:"azp"`
	}
	if err := token.Claims(&party); err != nil {
		return nil, c.distrust("the ID token is wrong", "error", err)
	}
	if party.Authorized != nil && *party.Authorized != c.cfg.ClientID || party.Authorized == nil && len(token.Audience) > 1 {
		return nil, c.distrust("the ID token was made for another client", "audience", fmt.Sprint(token.Audience))
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(tokens.AccessToken); err != nil {
			return nil, c.distrust("the access token doesn't belong to the ID token", "error", err)
		}
	}
	return token, nil
}

// maxLogged bounds what a stranger can have written into one line of the log, in bytes.
const maxLogged = 300

func clip(text string) string { return text[:min(len(text), maxLogged)] }
