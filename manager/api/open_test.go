package api_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/managertest"
)

// The proxy asks for every request. What was allowed is allowed no longer than it is true.
func TestAnOpenAppIsRefusedOnceItMayNotBeOpened(t *testing.T) {
	s := newSite(t)
	id, other := s.Running("app"), s.Running("other")
	open := func(session, token string) error {
		for range 3 {
			app, err := s.Service.OpenApp(session, token, id)
			if err != nil {
				return err
			}
			require.Equal(t, id, app.Container)
		}
		return nil
	}
	refused := func(code state.Code, session, token string) {
		t.Helper()
		require.Equal(t, code, state.CodeOf(open(session, token)))
	}
	require.NoError(t, open(s.Sessions["guest"], ""))
	app, err := s.Service.OpenApp(s.Sessions["guest"], "", other)
	require.NoError(t, err)
	require.Equal(t, other, app.Container)
	require.NoError(t, open("", s.token["owner"]))
	refused(state.Unauthenticated, s.token["owner"], "") // a token is no session, though it has opened the app
	refused(state.Unauthenticated, s.Sessions["guest"], s.Sessions["guest"])
	refused(state.NotFound, s.Sessions["outsider"], "")

	require.NoError(t, s.Service.Logout(t.Context(), s.Sessions["guest"]))
	refused(state.Unauthenticated, s.Sessions["guest"], "")

	secret, hash := auth.NewSecret("")
	end := time.Now().Add(100 * time.Millisecond)
	s.Do(&state.SessionOpened{Session: state.Session{Hash: hash, User: s.Users["owner"], CreatedAt: time.Now(), ExpiresAt: end}})
	require.Eventually(t, func() bool { return open(secret, "") != nil }, managertest.Patience, time.Millisecond)
	require.True(t, time.Now().After(end))

	require.NoError(t, open(s.Sessions["owner"], ""))
	s.Do(&state.ActionRequested{Container: id, Action: state.Stop, User: "owner", Time: time.Now()})
	refused(state.Conflict, s.Sessions["owner"], "")
}
