package service

import (
	"context"
	"time"

	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// loginTimeout bounds how long a login waits for its turn to be checked.
const loginTimeout = 10 * time.Second

// errStarting is the answer of a manager whose state may be old: it may know neither a new user nor that an old one has
// lost the access.
var errStarting = state.Errorf(state.Unavailable, "This Kiosc has just been started and waits for its cluster. Try again in a few seconds.")

var errWrongLogin = state.Errorf(state.Unauthenticated, "The user name or the password is wrong.")

// Login checks a password, here or with the directory whose user it is, and opens a session. The answer for an unknown user
// is that for a wrong password, and takes as long. Who guesses has to wait, by the account and by the address that the
// client has.
func (s *Service) Login(ctx context.Context, name, password, address string) (secret string, err error) {
	defer func() { s.noteLogin(err) }()
	if !s.node.CaughtUp() {
		return "", errStarting
	}
	began := time.Now()
	directory, account, user, err := s.directoryFor(name)
	if err != nil {
		return "", err
	}
	var right bool
	if directory == nil {
		if !user.Active {
			user = state.User{}
		}
		right, err = s.rightPassword(ctx, user, name, address, password)
	} else {
		right, err = s.attempt(account, address, func() (right bool, err error) {
			right, user, err = s.askDirectory(ctx, directory, account, password)
			return right, err
		})
	}
	if err != nil {
		return "", err
	}
	if !right {
		s.noteFailure(ctx, name, address)
		s.holdBack(ctx, began)
		return "", errWrongLogin
	}
	return s.openSession(ctx, user, string(user.Auth()))
}

// Logout ends a session. An unknown one is no error.
func (s *Service) Logout(ctx context.Context, secret string) error {
	a, err := s.BySession(secret)
	if err != nil {
		return nil
	}
	_, err = act[any](ctx, s, &state.SessionClosed{Hash: auth.HashSecret(secret)}, event(a, appUsers, "", "logout", "{user} logs out", userObject(a.User)))
	return err
}

// BySession tells who has this session.
func (s *Service) BySession(secret string) (Actor, error) {
	a, _, err := s.actor(hashOf(secret), false)
	return a, err
}

// ByToken tells whose API token this is.
func (s *Service) ByToken(token string) (Actor, error) {
	a, _, err := s.actor(hashOf(token), true)
	return a, err
}

// hashOf is by which the state knows a secret; nil for none shown.
func hashOf(secret string) []byte {
	if secret == "" {
		return nil
	}
	return auth.HashSecret(secret)
}

// grant is what a session or an API token gives.
type grant struct {
	user    string
	until   time.Time // zero for always
	used    time.Time // of a session: when it was last used, to within a few minutes
	scope   state.Scope
	project string
}

func sessionGrant(tx *state.Tx, hash []byte) (grant, bool, error) {
	s, ok, err := tx.Session(hash)
	return grant{user: s.User, until: s.ExpiresAt, used: s.LastUse()}, ok, err
}

func tokenGrant(tx *state.Tx, hash []byte) (grant, bool, error) {
	t, ok, err := tx.Token(hash)
	return grant{user: t.User, until: t.ExpiresAt, scope: t.Scope, project: t.Project}, ok, err
}

var errNotLoggedIn = state.Errorf(state.Unauthenticated, "You are not logged in, or your login has expired.")

// actor also returns until when the actor may act, or the zero time for always.
func (s *Service) actor(hash []byte, api bool) (a Actor, until time.Time, err error) {
	if len(hash) == 0 {
		return a, until, errNotLoggedIn
	}
	if !s.node.CaughtUp() {
		return a, until, errStarting
	}
	find := sessionGrant
	if api {
		find = tokenGrant
	}
	err = s.store.View(func(tx *state.Tx) error {
		g, ok, err := find(tx, hash)
		if err != nil {
			return err
		}
		if !api {
			g.until = s.idleEnd(hash, g)
		}
		if !ok || !g.until.IsZero() && !g.until.After(time.Now()) {
			return errNotLoggedIn
		}
		user, ok, err := tx.User(g.user)
		if err != nil {
			return err
		}
		if !ok || !user.Active {
			return errNotLoggedIn
		}
		s.uses.note(hash, api)
		a, until = Actor{User: user, API: api, Scope: g.scope, Project: g.project}, g.until
		return nil
	})
	return a, until, err
}

// TokenInput is what a new API token shall be.
type TokenInput struct {
	Name    string
	Life    time.Duration // 0 for no end
	Scope   state.Scope   // empty for all
	Project string        // the only one it is for; empty for all
}

// CreateToken makes an API token for the actor and returns it; it can't be had again.
func (s *Service) CreateToken(ctx context.Context, a Actor, in TokenInput) (secret string, err error) {
	if !a.within("", auth.ManageTokens) {
		return "", errScope
	}
	if in.Life < 0 {
		return "", wrongField("ttl", "Ensure this value is greater than or equal to 0.")
	}
	if in.Project != "" {
		if err := s.may(a, in.Project, auth.ViewContainer); err != nil {
			return "", err
		}
	}
	secret, hash := auth.NewSecret(auth.TokenPrefix)
	token := state.Token{ID: uuid.NewString(), Hash: hash, User: a.User.ID, Name: in.Name, CreatedAt: now(), Scope: in.Scope, Project: in.Project}
	if token.Scope == "" {
		token.Scope = state.ScopeAll
	}
	if in.Life > 0 {
		token.ExpiresAt = token.CreatedAt.Add(in.Life)
	}
	e := event(a, appTokens, "", "token_create", "create the API token {token}", tokenObject(token))
	e.Extra = map[string]string{"scope": string(token.Scope), "project": token.Project}
	if _, err := act[any](ctx, s, &state.TokenCreated{Token: token}, e); err != nil {
		return "", err
	}
	return secret, nil
}

// Tokens lists the actor's API tokens.
func (s *Service) Tokens(a Actor) (tokens []state.Token, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		tokens, err = tx.TokensOf(a.User.ID)
		return err
	})
	return tokens, err
}

// DeleteToken deletes one of the actor's API tokens.
func (s *Service) DeleteToken(ctx context.Context, a Actor, id string) error {
	if !a.within("", auth.ManageTokens) {
		return errScope
	}
	return s.deleteToken(ctx, a, a.User, id)
}

func (s *Service) deleteToken(ctx context.Context, a Actor, owner state.User, id string) error {
	tokens, err := s.Tokens(Actor{User: owner})
	if err != nil {
		return err
	}
	e := event(a, appTokens, "", "token_delete", "delete the API token {token}")
	for _, t := range tokens {
		if t.ID == id {
			e.Objects = append(e.Objects, tokenObject(t))
		}
	}
	_, err = act[any](ctx, s, &state.TokenDeleted{ID: id, User: owner.ID}, e)
	return err
}

// ByName acts for a user without a password. Only the admin socket may ask for it, which is protected by file mode and
// peer credentials.
func (s *Service) ByName(name string) (a Actor, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		user, ok, err := tx.UserByName(name)
		if err == nil && (!ok || !user.Active) {
			err = state.Errorf(state.NotFound, "There is no active user of this name.")
		}
		a = Actor{User: user, Console: true}
		return err
	})
	return a, err
}

// TokenView is an API token as admins see it, without what it could be used with.
type TokenView struct {
	ID        string      `json:"id"`
	Name      string      `json:"name"`
	Scope     state.Scope `json:"scope"`
	Project   string      `json:"project,omitempty"` // id
	CreatedAt time.Time   `json:"date_created"`
	ExpiresAt *time.Time  `json:"expires,omitempty"`
	UsedAt    *time.Time  `json:"last_used,omitempty"` // to within a few minutes
}

// TokensOf lists a user's API tokens, for superusers.
func (s *Service) TokensOf(a Actor, user string) (views []TokenView, err error) {
	if err := administer(a); err != nil {
		return nil, err
	}
	u, err := s.userByName(user)
	if err != nil {
		return nil, err
	}
	tokens, err := s.Tokens(Actor{User: u})
	for _, t := range tokens {
		view := TokenView{ID: t.ID, Name: t.Name, Scope: t.Scope, Project: t.Project, CreatedAt: t.CreatedAt}
		if !t.ExpiresAt.IsZero() {
			view.ExpiresAt = &t.ExpiresAt
		}
		if !t.UsedAt.IsZero() {
			view.UsedAt = &t.UsedAt
		}
		views = append(views, view)
	}
	return views, err
}

// DeleteTokenOf deletes an API token of a user, for superusers.
func (s *Service) DeleteTokenOf(ctx context.Context, a Actor, user, id string) error {
	if err := administer(a); err != nil {
		return err
	}
	u, err := s.userByName(user)
	if err != nil {
		return err
	}
	return s.deleteToken(ctx, a, u, id)
}
