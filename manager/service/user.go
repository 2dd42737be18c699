package service

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// UserInput is what an admin enters for a user. For a new one nil means empty, else it leaves a field as it is.
type UserInput struct {
	Name             string  `json:"username"`
	FullName         *string `json:"name,omitempty"`
	Email            *string `json:"email,omitempty"`
	Superuser        *bool   `json:"is_superuser,omitempty"`
	Active           *bool   `json:"is_active,omitempty"`
	Password         *string `json:"password,omitempty"`
	GeneratePassword bool    `json:"generate_password,omitempty"`
}

// UserView is a user as admins see one.
type UserView struct {
	ID        string         `json:"sodar_uuid"`
	Name      string         `json:"username"`
	FullName  string         `json:"name"`
	Email     string         `json:"email"`
	Superuser bool           `json:"is_superuser"`
	Active    bool           `json:"is_active"`
	AuthType  state.AuthType `json:"auth_type"`
	CreatedAt time.Time      `json:"date_created"`
	// Password is a generated one, which can't be had again.
	Password string `json:"password,omitempty"`
}

func userView(u state.User) UserView {
	return UserView{ID: u.ID, Name: u.Name, FullName: u.FullName, Email: u.Email, Superuser: u.Superuser, Active: u.Active,
		AuthType: u.Auth(), CreatedAt: u.CreatedAt}
}

// Operator acts for whoever gives commands over the admin socket, who may do everything and is no user.
func Operator() Actor {
	return Actor{User: state.User{Superuser: true, Active: true}, Console: true}
}

// Users lists all users by name, for superusers.
func (s *Service) Users(a Actor) (views []UserView, err error) {
	if err := administer(a); err != nil {
		return nil, err
	}
	err = s.store.View(func(tx *state.Tx) error {
		users, err := tx.Users()
		for _, u := range users {
			views = append(views, userView(u))
		}
		return err
	})
	return views, err
}

// UserByID returns a user, for superusers.
func (s *Service) UserByID(a Actor, id string) (view UserView, err error) {
	if err := administer(a); err != nil {
		return view, err
	}
	err = s.store.View(func(tx *state.Tx) error {
		u, ok, err := tx.User(id)
		if err == nil && !ok {
			err = state.Errorf(state.NotFound, "There is no such user.")
		}
		view = userView(u)
		return err
	})
	return view, err
}

// newUser makes of the input a user who can log in with a password, which is generated where there is none.
func newUser(in UserInput) (u state.User, generated string, err error) {
	u = state.User{ID: uuid.NewString(), Name: strings.TrimSpace(in.Name), FullName: or(in.FullName, ""), Email: or(in.Email, ""),
		Superuser: or(in.Superuser, false), Active: or(in.Active, true), CreatedAt: now()}
	in.GeneratePassword = in.Password == nil
	hash, generated, err := newPassword(u.Name, in)
	if err == nil {
		u.PasswordHash = *hash
	}
	return u, generated, err
}

// CreateUser adds a user who can log in with a password. One that isn't given is generated. Only superusers may.
func (s *Service) CreateUser(ctx context.Context, a Actor, in UserInput) (UserView, error) {
	if err := administer(a); err != nil {
		return UserView{}, err
	}
	u, generated, err := newUser(in)
	if err != nil {
		return UserView{}, err
	}
	e := event(a, appUsers, "", "user_create", "create {user}", userObject(u))
	if _, err := act[any](ctx, s, &state.UserCreated{User: u}, e); err != nil {
		return UserView{}, err
	}
	view := userView(u)
	view.Password = generated
	return view, nil
}

// ChangeUser changes the user of the name in the input. A new password ends the user's logins, and deactivation at once all
// access, that by API tokens too. Only superusers may.
func (s *Service) ChangeUser(ctx context.Context, a Actor, in UserInput) (UserView, error) {
	if err := administer(a); err != nil {
		return UserView{}, err
	}
	u, err := s.userByName(in.Name)
	if err != nil {
		return UserView{}, err
	}
	if u.Upstream && (in.FullName != nil || in.Email != nil) {
		return UserView{}, state.Errorf(state.Conflict, u.Name+" comes from the upstream SODAR site; name and e-mail address are changed there.")
	}
	hash, generated, err := newPassword(u.Name, in)
	if err != nil {
		return UserView{}, err
	}
	if hash != nil && u.Auth() != state.AuthLocal {
		return UserView{}, state.Errorf(state.Conflict, "The password of "+u.Name+" is kept elsewhere and can't be set here.")
	}
	e := event(a, appUsers, "", "user_update", "change {user}", userObject(u))
	e.Extra = in.changes()
	u, err = act[state.User](ctx, s, &state.UserChanged{ID: u.ID, FullName: in.FullName, Email: in.Email, PasswordHash: hash,
		Superuser: in.Superuser, Active: in.Active}, e)
	if err != nil {
		return UserView{}, err
	}
	view := userView(u)
	view.Password = generated
	return view, nil
}

// changes is what the input changes, for the timeline.
func (in *UserInput) changes() map[string]string {
	changes := make(map[string]string)
	if in.Superuser != nil {
		changes["is_superuser"] = strconv.FormatBool(*in.Superuser)
	}
	if in.Active != nil {
		changes["is_active"] = strconv.FormatBool(*in.Active)
	}
	if in.Password != nil || in.GeneratePassword {
		changes["password"] = "new"
	}
	return changes
}

func (s *Service) userByName(name string) (u state.User, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		var ok bool
		if u, ok, err = tx.UserByName(name); err == nil && !ok {
			err = state.Errorf(state.NotFound, "There is no user of this name.")
		}
		return err
	})
	return u, err
}

// generatedPassword is the length of one, of letters and digits: more than 100 bits.
const generatedPassword = 20

// newPassword returns the hash of the password in the input, and the password where it was generated. The hash is nil
// where there is none.
func newPassword(user string, in UserInput) (hash *string, generated string, err error) {
	var password string
	switch {
	case in.Password != nil:
		password = *in.Password
	case in.GeneratePassword:
		generated, _ = auth.NewSecret("")
		generated = generated[:generatedPassword]
		password = generated
	default:
		return nil, "", nil
	}
	if err := checkPassword("password", user, password); err != nil {
		return nil, "", err
	}
	h, err := auth.HashPassword(password)
	return &h, generated, err
}

// checkPassword refuses a new password, as an error of a field.
func checkPassword(field, user, password string) error {
	err := auth.CheckPassword(user, password)
	if err == nil {
		return nil
	}
	text := err.Error()
	return wrongField(field, strings.ToUpper(text[:1])+text[1:]+".")
}

func wrongField(field, text string) error {
	return &state.Error{Code: state.Invalid, Message: "Please correct the marked fields.", Fields: map[string][]string{field: {text}}}
}

// ChangePassword gives the actor a new password. It ends all other logins of the actor's, and needs the old password, which
// can be guessed no faster here than at login.
func (s *Service) ChangePassword(ctx context.Context, a Actor, session, address, old, password string) error {
	if elsewhere := s.PasswordElsewhere(a.User); elsewhere != "" {
		return state.Errorf(state.Conflict, elsewhere)
	}
	right, err := s.rightPassword(ctx, a.User, a.User.Name, address, old)
	if err != nil {
		return err
	}
	if !right {
		return wrongField("old_password", "This is not your password.")
	}
	if err := checkPassword("new_password", a.User.Name, password); err != nil {
		return err
	}
	hash, err := auth.HashPassword(password)
	if err != nil {
		return err
	}
	_, err = act[any](ctx, s, &state.UserChanged{ID: a.User.ID, PasswordHash: &hash, Keep: hashOf(session)},
		event(a, appUsers, "", "password_change", "{user} changes the password", userObject(a.User)))
	return err
}

// LogoutEverywhere ends all logins of the actor's but the one of this session.
func (s *Service) LogoutEverywhere(ctx context.Context, a Actor, session string) error {
	_, err := act[any](ctx, s, &state.SessionsClosed{User: a.User.ID, Keep: hashOf(session)},
		event(a, appUsers, "", "logout_everywhere", "{user} logs out everywhere else", userObject(a.User)))
	return err
}

// rightPassword checks a password that Kiosc itself has, which an account and an address can have done so many times only.
func (s *Service) rightPassword(ctx context.Context, user state.User, name, address, password string) (bool, error) {
	return s.attempt(name, address, func() (bool, error) {
		check, cancel := context.WithTimeout(ctx, loginTimeout)
		defer cancel()
		right, err := auth.VerifyPassword(check, user.PasswordHash, password)
		if check.Err() != nil {
			return false, state.Errorf(state.TooMany, "Too many people are logging in at the moment. Try again in a few seconds.")
		}
		return right, err
	})
}

// attempt has a password checked if the account and the address have not used up their attempts. One that was right, or that
// couldn't be checked, doesn't count.
func (s *Service) attempt(account, address string, check func() (right bool, err error)) (bool, error) {
	if wait := s.attempts.Begin(account, address, time.Now()); wait > 0 {
		return false, state.Errorf(state.TooMany, fmt.Sprintf("Too many wrong passwords. Try again in %d seconds.", int(wait.Seconds())+1))
	}
	right, err := check()
	if right || err != nil {
		s.attempts.Right(account, address, time.Now())
	}
	return right, err
}

// or is what n points to, or something else where it is nil.
func or[T any](n *T, otherwise T) T {
	if n == nil {
		return otherwise
	}
	return *n
}
