package webui_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChangingOnesPassword(t *testing.T) {
	s := newSite(t)
	other := s.Sessions["guest"]
	s.Sessions["guest"] = s.Login(s.Users["guest"])
	change := func(old, password, again string) answer {
		return s.post("guest", "/account/password", "old_password", old, "new_password", password, "repeat_password", again)
	}
	for text, entered := range map[string][3]string{
		"This is not your password.":                   {"wrong", "another one", "another one"},
		"The two new passwords differ.":                {password, "another one", "another 0ne"},
		"A password needs at least 8 characters.":      {password, "short", "short"},
		"A password needs at least 4 different charac": {password, "abababababab", "abababababab"},
	} {
		got := change(entered[0], entered[1], entered[2])
		require.Equal(t, 400, got.status, text)
		require.Contains(t, got.body, text)
		require.NotContains(t, got.body, "another", "no password is shown again")
	}
	require.Equal(t, 302, change(password, "another one", "another one").status)
	require.Equal(t, 200, s.get("guest", "/account/").status, "this login stays")
	s.Sessions["other"] = other
	require.Equal(t, 302, s.get("other", "/account/").status, "the other login has ended")
	require.Equal(t, 401, s.post("", "/login/", "username", "guest", "password", password).status)
	require.Equal(t, 302, s.post("", "/login/", "username", "guest", "password", "another one").status)
}

func TestLoggingOutEverywhere(t *testing.T) {
	s := newSite(t)
	s.Sessions["first"], s.Sessions["second"] = s.Login(s.Users["guest"]), s.Login(s.Users["guest"])
	require.Equal(t, 302, s.post("second", "/account/logout-everywhere").status)
	require.Equal(t, 302, s.get("first", "/account/").status)
	require.Equal(t, 302, s.get("guest", "/account/").status)
	require.Equal(t, 200, s.get("second", "/account/").status)
	require.Equal(t, 200, s.get("owner", "/").status)
}

func TestGuessingPasswordsIsRefusedAfterAWhile(t *testing.T) {
	s := newSite(t)
	wrong := func(name string) int {
		return s.post("", "/login/", "username", name, "password", "guess").status
	}
	for _, name := range []string{"guest", "nobody-of-this-name"} {
		for range 5 {
			require.Equal(t, 401, wrong(name))
		}
		got := s.post("", "/login/", "username", name, "password", password)
		require.Equal(t, 429, got.status, "known and unknown users alike")
		require.NotEmpty(t, got.header.Get("Retry-After"))
		require.Contains(t, got.body, "Too many wrong passwords.")
	}
	require.Equal(t, 302, s.post("", "/login/", "username", "owner", "password", password).status)
}
