package webui_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/manager/ldap"
	"kiosc/manager/service"
)

// oneUser is a directory for the domain ACME with one user, or one that is down.
type oneUser struct{ down bool }

func (oneUser) Domain() string    { return "ACME" }
func (oneUser) Printable() string { return "<Acme> Institute" }

func (oneUser) Account(login string) (string, bool) { return login, strings.HasSuffix(login, "@ACME") }

func (d oneUser) Login(_ context.Context, account, password string) (ldap.Person, error) {
	switch {
	case d.down:
		return ldap.Person{}, errors.New("no route to secret-host")
	case account != "ana@ACME" || password != "secret":
		return ldap.Person{}, ldap.ErrRefused
	}
	return ldap.Person{Account: account}, nil
}

func (oneUser) Find(context.Context, string) (ldap.Person, error) {
	return ldap.Person{}, ldap.ErrUnclear
}

func TestLoginWithADirectory(t *testing.T) {
	s := newSite(t)
	require.NotContains(t, s.get("", "/login/").body, "form-text")
	s.Service.UseDirectories([]service.DirectoryWithRules{{Directory: oneUser{}}})
	page := s.get("", "/login/").body
	require.Contains(t, page, "&lt;Acme&gt; Institute")
	require.Contains(t, page, "<strong>@ACME</strong>")
	require.Equal(t, 401, s.post("", "/login/", "username", "ana@ACME", "password", "wrong").status)

	in := s.post("", "/login/", "username", "ana@ACME", "password", "secret")
	require.Equal(t, 302, in.status)
	cookie, err := http.ParseSetCookie(in.header.Get("Set-Cookie"))
	require.NoError(t, err)
	s.Sessions["ana"] = cookie.Value
	account := s.get("ana", "/account/")
	require.Equal(t, 200, account.status)
	require.Contains(t, account.body, "You log in with your password of the directory of &lt;Acme&gt; Institute, and change it there.")
	require.NotContains(t, account.body, `action="/account/password"`)
	change := s.post("ana", "/account/password", "old_password", "secret", "new_password", "another one", "repeat_password", "another one")
	require.Equal(t, 409, change.status)

	s.Service.UseDirectories([]service.DirectoryWithRules{{Directory: oneUser{down: true}}})
	down := s.post("", "/login/", "username", "ana@ACME", "password", "secret")
	require.Equal(t, 503, down.status)
	require.NotEmpty(t, down.header.Get("Retry-After"))
	require.Contains(t, down.body, "The directory of &lt;Acme&gt; Institute does not answer;")
	require.NotContains(t, down.body, "secret")
	require.Equal(t, 302, s.post("", "/login/", "username", "owner", "password", password).status)
	require.Equal(t, 200, s.get("ana", "/account/").status, "sessions go on")
}
