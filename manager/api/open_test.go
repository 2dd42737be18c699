package api_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// The proxy asks for every request. What was allowed is allowed no longer than it is true.
func TestAnOpenAppIsRefusedOnceItMayNotBeOpened(t *testing.T) {
	s := newSite(t)
	id, other := s.running("app"), s.running("other")
	open := func(session, token string) error {
		for range 3 {
			app, err := s.service.OpenApp(session, token, id)
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
	require.NoError(t, open(s.session["guest"], ""))
	app, err := s.service.OpenApp(s.session["guest"], "", other)
	require.NoError(t, err)
	require.Equal(t, other, app.Container)
	require.NoError(t, open("", s.token["owner"]))
	refused(state.Unauthenticated, s.token["owner"], "") // a token is no session, though it has opened the app
	refused(state.Unauthenticated, s.session["guest"], s.session["guest"])
	refused(state.NotFound, s.session["outsider"], "")

	require.NoError(t, s.service.Logout(t.Context(), s.session["guest"]))
	refused(state.Unauthenticated, s.session["guest"], "")

	secret, hash := auth.NewSecret("")
	end := time.Now().Add(100 * time.Millisecond)
	s.propose(&state.SessionOpened{Session: state.Session{Hash: hash, User: s.users["owner"], CreatedAt: time.Now(), ExpiresAt: end}})
	require.Eventually(t, func() bool { return open(secret, "") != nil }, patience, time.Millisecond)
	require.True(t, time.Now().After(end))

	require.NoError(t, open(s.session["owner"], ""))
	s.propose(&state.ActionRequested{Container: id, Action: state.Stop, User: "owner", Time: time.Now()})
	refused(state.Conflict, s.session["owner"], "")
}
