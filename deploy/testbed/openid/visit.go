package openid

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// LogIn goes where Kiosc has sent a browser, logs in there as a user, and returns the address to which the provider sends
// the browser back. An empty name cancels.
func (p *Provider) LogIn(t testing.TB, to, name string) *url.URL {
	t.Helper()
	browser := http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer browser.CloseIdleConnections()
	answer, err := browser.Get(to)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	login, err := answer.Location()
	require.NoError(t, err, "the provider answers %s", answer.Status)
	form := url.Values{"id": {login.Query().Get("id")}, "username": {name}, "password": {Password}}
	if name == "" {
		form.Set("cancel", "1")
	}
	answer, err = browser.PostForm(p.Issuer+"/login", form)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	for {
		next, err := answer.Location()
		require.NoError(t, err, "the provider answers %s", answer.Status)
		if !strings.HasPrefix(next.String(), p.Issuer) {
			return next
		}
		answer, err = browser.Get(next.String())
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
	}
}
