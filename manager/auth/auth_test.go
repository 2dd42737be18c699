package auth_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

func TestPasswords(t *testing.T) {
	ctx := context.Background()
	hash, err := auth.HashPassword("correct horse")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(hash, "$argon2id$v=19$"))
	again, err := auth.HashPassword("correct horse")
	require.NoError(t, err)
	require.NotEqual(t, hash, again, "each has a salt of its own")
	for password, want := range map[string]bool{"correct horse": true, "Correct horse": false, "": false,
		strings.Repeat("x", auth.MaxPassword+1): false} {
		ok, err := auth.VerifyPassword(ctx, hash, password)
		require.NoError(t, err)
		require.Equal(t, want, ok, "%.20q", password)
	}
	ok, err := auth.VerifyPassword(ctx, "", "no password is this")
	require.NoError(t, err)
	require.False(t, ok, "nobody has no password")
	_, err = auth.VerifyPassword(ctx, "$2y$bcrypt", "x")
	require.Error(t, err)
	for _, refused := range []string{"", "short", "aaaaaaaabc", "Bernadette", strings.Repeat("long", 257)} {
		require.Error(t, auth.CheckPassword("bernadette", refused), refused)
	}
	require.NoError(t, auth.CheckPassword("bernadette", "långsamt"))
}

func TestSecretsAndTheirPlaces(t *testing.T) {
	secret, hash := auth.NewSecret(auth.TokenPrefix)
	require.True(t, strings.HasPrefix(secret, "kiosc_"))
	require.Equal(t, hash, auth.HashSecret(secret))
	for header, want := range map[string]bool{"token " + secret: true, "Token " + secret: true, "bearer " + secret: true,
		"token other": false, "Basic " + secret: false, secret: false, "": false} {
		_, ok := auth.ParseAuthorization(header)
		require.Equal(t, want, ok, header)
	}
	require.True(t, auth.CheckCSRF("session", auth.CSRFToken("session")))
	require.False(t, auth.CheckCSRF("session", auth.CSRFToken("another")))
	require.False(t, auth.CheckCSRF("", auth.CSRFToken("")))
}

func TestScopesGrow(t *testing.T) {
	count := map[state.Scope]int{}
	for _, right := range auth.Rights() {
		within := true
		for _, scope := range []state.Scope{state.ScopeAll, state.ScopeOperate, state.ScopeRead} {
			require.True(t, within || !auth.InScope(scope, right), "%s %s: a narrower scope has no more", scope, right)
			if within = auth.InScope(scope, right); within {
				count[scope]++
			}
		}
		require.True(t, auth.InScope("", right))
		require.False(t, auth.InScope("write", right), "what isn't known allows nothing")
	}
	require.Equal(t, map[state.Scope]int{state.ScopeAll: len(auth.Rights()), state.ScopeOperate: 7, state.ScopeRead: 2}, count)
	require.False(t, auth.InScope(state.ScopeOperate, auth.Administer))
}

// TestRights walks every role and right and compares with the manual's matrix.
func TestRights(t *testing.T) {
	all := []state.Role{state.Owner, state.Delegate, state.Contributor, state.Guest, "project viewer", ""}
	guests := map[auth.Right]bool{auth.ViewContainer: true, auth.ProxyContainer: true}
	for _, right := range auth.Rights() {
		for i, role := range all {
			want := i < 3 || role == state.Guest && guests[right]
			require.Equal(t, want, auth.Can(state.User{Active: true}, role, right), "%s %s", role, right)
			require.True(t, auth.Can(state.User{Active: true, Superuser: true}, role, right))
			require.False(t, auth.Can(state.User{Superuser: true}, role, right), "an inactive user may do nothing")
		}
	}
	require.False(t, auth.Can(state.User{Active: true, Superuser: true}, state.Owner, auth.RightFor("explode")))
}
