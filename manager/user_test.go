package manager_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager"
	"kiosc/manager/service"
)

func TestUsers(t *testing.T) {
	t.Parallel()
	cfg := config(t, "m1")
	cfg.Bootstrap = true
	n := start(t, cfg)
	user := func(command string, in service.UserInput) (out service.UserView) {
		t.Helper()
		require.NoError(t, n.admin(command, in, &out))
		return out
	}
	refused := func(text, command string, in service.UserInput) {
		t.Helper()
		require.ErrorContains(t, n.admin(command, in, &service.UserView{}), text)
	}
	logIn := func(name, password string) (*browser, int) {
		b := newBrowser(t, n)
		answer, _ := b.send("POST", "http://kiosc.test/login/", url.Values{"username": {name}, "password": {password}})
		return b, answer.StatusCode
	}
	home := func(b *browser) int {
		answer, _ := b.send("GET", "http://kiosc.test/", nil)
		return answer.StatusCode
	}
	made := user("user-add", service.UserInput{Name: "ana", FullName: new("Ana B."), Email: new("ana@example.org")})
	require.Len(t, made.Password, 20)
	b, status := logIn("ana", made.Password)
	require.Equal(t, 302, status)
	require.Equal(t, 200, home(b))
	refused("There is a user of this name already.", "user-add", service.UserInput{Name: "ana"})
	refused("A user name has", "user-add", service.UserInput{Name: "a b"})
	refused("at least 8 characters", "user-add", service.UserInput{Name: "ben", Password: new("short")})
	refused("There is no user of this name.", "user-set", service.UserInput{Name: "ben", Active: new(false)})
	var users []service.UserView
	require.NoError(t, n.admin("user-ls", struct{}{}, &users))
	require.Len(t, users, 2, "what is refused leaves nothing")
	require.Equal(t, []string{"admin", "ana"}, []string{users[0].Name, users[1].Name})
	require.Equal(t, "Ana B.", users[1].FullName)
	require.Empty(t, users[1].Password)

	// A new password, by an admin.
	user("user-set", service.UserInput{Name: "ana", Password: new("a new password")})
	require.Equal(t, 302, home(b), "the login has ended")
	_, status = logIn("ana", made.Password)
	require.Equal(t, 401, status)
	b, status = logIn("ana", "a new password")
	require.Equal(t, 302, status)

	// Superusers come and go, but one stays.
	refused("last superuser", "user-set", service.UserInput{Name: "admin", Active: new(false)})
	require.True(t, user("user-set", service.UserInput{Name: "ana", Superuser: new(true)}).Superuser)
	require.False(t, user("user-set", service.UserInput{Name: "admin", Superuser: new(false)}).Superuser)
	user("user-set", service.UserInput{Name: "admin", Superuser: new(true)})

	// Deactivation takes everything at once.
	var token manager.Printed
	require.NoError(t, n.admin("token", manager.TokenRequest{User: "ana"}, &token))
	_, err := n.m.Service().ByToken(token.Value)
	require.NoError(t, err)
	require.False(t, user("user-set", service.UserInput{Name: "ana", Active: new(false)}).Active)
	require.Equal(t, 302, home(b))
	_, status = logIn("ana", "a new password")
	require.Equal(t, 401, status)
	_, err = n.m.Service().ByToken(token.Value)
	require.Error(t, err)
	user("user-set", service.UserInput{Name: "ana", Active: new(true)})
	_, status = logIn("ana", "a new password")
	require.Equal(t, 302, status)
}

// TestAdminCommandsNeedAWholeToken gives them over the web port.
func TestAdminCommandsNeedAWholeToken(t *testing.T) {
	t.Parallel()
	cfg := config(t, "m1")
	cfg.Bootstrap = true
	n := start(t, cfg)
	b := newBrowser(t, n)
	for scope, want := range map[state.Scope]int{"": 200, state.ScopeAll: 200, state.ScopeOperate: 403, state.ScopeRead: 403} {
		var token manager.Printed
		require.NoError(t, n.admin("token", manager.TokenRequest{User: "admin", Scope: scope}, &token))
		answer, body := b.send("POST", "http://kiosc.test"+manager.AdminPrefix+"cluster-status", nil, "Authorization", "token "+token.Value,
			"Content-Type", "application/json")
		if want == 200 {
			want = 400 // let in, and told that there is no JSON
		}
		require.Equal(t, want, answer.StatusCode, "%s: %s", scope, body)
	}
	require.ErrorContains(t, n.admin("token", manager.TokenRequest{User: "admin", Scope: "write"}, &manager.Printed{}), "A scope is read, operate or all.")
}

// TestALoginFloodLeavesOthersAlone guesses a password a thousand times while another user logs in.
func TestALoginFloodLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	cfg := config(t, "m1")
	cfg.Bootstrap = true
	n := start(t, cfg)
	require.NoError(t, n.admin("user-add", service.UserInput{Name: "ana", Password: new("a new password")}, &service.UserView{}))
	began := time.Now()
	tried := map[int]int{}
	b := newBrowser(t, n)
	for i := range 1000 {
		answer, _ := b.send("POST", "http://kiosc.test/login/", url.Values{"username": {"admin"}, "password": {"guess"}})
		tried[answer.StatusCode]++
		if i%250 == 0 {
			answer, _ := newBrowser(t, n).send("POST", "http://kiosc.test/login/", url.Values{"username": {"ana"}, "password": {"a new password"}})
			require.Equal(t, 302, answer.StatusCode)
		}
	}
	checked := 5 + int(time.Since(began)/(10*time.Second)) + 1
	require.LessOrEqual(t, tried[401], checked, "the others cost no hash")
	require.Equal(t, 1000, tried[401]+tried[429])
}
