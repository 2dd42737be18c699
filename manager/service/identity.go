package service

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// Identity is who somebody is as a directory or an OpenID provider says, which has checked it.
type Identity struct {
	// Name is the user's name in Kiosc.
	Name string
	// FullName is empty for first and last name together.
	FullName, FirstName, LastName, Email string
	// AuthType is LDAP or OIDC.
	AuthType state.AuthType
	// Subject is who it is whatever the name, if the provider numbers people; see state.Outside.
	Subject string
	// Groups are all that the person is in, in the form of GroupRules.
	Groups []string
}

// The lengths to which what comes from outside is cut, in bytes.
const (
	maxOutsideName  = 150
	maxOutsideFull  = 255
	maxOutsideEmail = 254
)

// TakeOver makes somebody from outside a user of Kiosc, or brings the user to what is said now: names, mail address, and what
// the groups give by these rules. Nothing is proposed where all is as it was. Before it is called, the person must have been
// proven to be this one. The error is for people.
func (s *Service) TakeOver(ctx context.Context, id Identity, rules GroupRules) (state.User, error) {
	user, _, err := s.takeOver(ctx, id, rules)
	return user, err
}

func (s *Service) takeOver(ctx context.Context, id Identity, rules GroupRules) (user state.User, changed bool, err error) {
	if !state.ValidName(id.Name, id.AuthType) {
		return user, false, state.Errorf(state.Invalid, "A user of the name \""+oneLine(id.Name, maxOutsideName)+"\" can't be in Kiosc: a name has up to 150 letters, digits and the characters . _ @ + - ' and blank. Ask an admin.")
	}
	outside := state.Outside{AuthType: id.AuthType, Name: id.Name, Subject: id.Subject,
		FirstName: oneLine(id.FirstName, maxOutsideName), LastName: oneLine(id.LastName, maxOutsideName),
		FullName: oneLine(id.FullName, maxOutsideFull), Email: oneLine(id.Email, maxOutsideEmail)}
	if outside.FullName == "" {
		outside.FullName = oneLine(outside.FirstName+" "+outside.LastName, maxOutsideFull)
	}
	same := false
	err = s.store.View(func(tx *state.Tx) error {
		given, err := rules.apply(tx, id.Groups)
		if err != nil {
			return err
		}
		for _, project := range given.unknown {
			s.logger.Warn("a group gives no role in a project that is not there, comes from upstream, or is no category for a finder", "project", project, "user", id.Name)
		}
		outside.Groups, outside.Roles, outside.Superuser = given.groups, given.roles, given.superuser
		user, same, err = tx.IdentityKnown(outside)
		return err
	})
	if err != nil || same {
		return user, false, err
	}
	name, what := "user_update", "take over what "+string(id.AuthType)+" says of {user}"
	if user.ID == "" {
		user = state.User{ID: uuid.NewString(), Name: id.Name}
		name, what = "user_create", "make {user} a user, who logs in by "+string(id.AuthType)
	}
	e := event(Actor{}, appUsers, "", name, what, userObject(user))
	user, err = act[state.User](ctx, s, &state.IdentityTaken{Outside: outside, ID: user.ID, At: e.Time}, e)
	return user, true, err
}

// LoginAs takes over somebody who has proven elsewhere to be it, and opens a session.
func (s *Service) LoginAs(ctx context.Context, id Identity, rules GroupRules) (secret string, user state.User, err error) {
	if !s.node.CaughtUp() {
		return "", user, errStarting
	}
	if user, err = s.TakeOver(ctx, id, rules); err != nil {
		return "", user, err
	}
	secret, err = s.openSession(ctx, user, string(id.AuthType))
	return secret, user, err
}

// openSession logs a user in, who has proven by a method, such as LOCAL, to be it.
func (s *Service) openSession(ctx context.Context, user state.User, method string) (string, error) {
	secret, hash := auth.NewSecret("")
	at := now()
	e := event(Actor{User: user}, appUsers, "", "login", "{user} logs in", userObject(user))
	e.Extra = map[string]string{"auth_type": method}
	_, err := act[any](ctx, s, &state.SessionOpened{Session: state.Session{
		Hash: hash, User: user.ID, CreatedAt: at, ExpiresAt: at.Add(s.settings.sessionLife()),
	}}, e)
	return secret, err
}

// oneLine makes text from outside fit for the state: valid, without control characters and blanks around it, and cut to a
// number of bytes.
func oneLine(text string, limit int) string {
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)), " ")
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return strings.TrimSpace(text[:limit])
}
