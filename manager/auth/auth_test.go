package auth_test

import (
	"context"
	"os"
	"regexp"
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
	for _, right := range auth.Rights() {
		within := true
		for _, scope := range []state.Scope{state.ScopeAll, state.ScopeOperate, state.ScopeRead} {
			require.True(t, within || !auth.InScope(scope, right), "%s %s: a narrower scope has no more", scope, right)
			within = auth.InScope(scope, right)
		}
		require.True(t, auth.InScope("", right))
		require.False(t, auth.InScope("write", right), "what isn't known allows nothing")
		if auth.Changes(right) {
			require.False(t, auth.InScope(state.ScopeRead, right), "%s changes something", right)
		}
	}
	require.False(t, auth.InScope(state.ScopeOperate, auth.Administer))
}

// TestRights compares each role and right with the matrix in the manual, which is written by hand.
func TestRights(t *testing.T) {
	text, err := os.ReadFile("../../docs/access.md")
	require.NoError(t, err)
	lines := regexp.MustCompile("(?m)^\\| `([a-z]+\\.[a-z_]+)` \\|(.*)\\|$").FindAllStringSubmatch(string(text), -1)
	require.Len(t, lines, len(auth.Rights()), "docs/access.md has a line for each right")
	columns := []state.Role{state.Owner, state.Delegate, state.Contributor, state.Guest, state.Viewer, state.Finder, ""}
	cells := 0
	for _, line := range lines {
		right, row := auth.Right(line[1]), strings.Split(line[2], "|")
		require.Len(t, row, len(columns)+2, right)
		for i, role := range columns {
			want := strings.TrimSpace(row[i]) == "✓"
			require.Equal(t, want, auth.Can(state.User{Active: true}, role, right), "%s %q", right, role)
			require.True(t, auth.Can(state.User{Active: true, Superuser: true}, role, right))
			require.False(t, auth.Can(state.User{Superuser: true}, role, right), "an inactive user may do nothing")
			cells += 3
		}
		least := state.Scope(strings.TrimSpace(row[len(columns)]))
		require.Equal(t, least == state.ScopeRead, auth.InScope(state.ScopeRead, right), right)
		require.Equal(t, least != state.ScopeAll, auth.InScope(state.ScopeOperate, right), right)
		notes := row[len(columns)+1]
		require.Equal(t, strings.Contains(notes, "archived"), auth.Changes(right), right)
		require.Equal(t, strings.Contains(notes, "upstream"), auth.UpstreamDecides(right), right)
	}
	t.Logf("compared %d cells", cells)
	require.False(t, auth.Can(state.User{Active: true, Superuser: true}, state.Owner, auth.RightFor("explode")))
}

// FuzzParseAuthorization looks for headers that are taken for more than they are.
func FuzzParseAuthorization(f *testing.F) {
	for _, header := range []string{"", "token", "token kiosc_abc", "Bearer  kiosc_abc ", "Basic kiosc_abc", "TOKEN\tkiosc_x", "token kiosc_a b", "token  "} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		token, ok := auth.ParseAuthorization(header)
		if !ok {
			return
		}
		require.True(t, strings.HasPrefix(token, auth.TokenPrefix))
		require.Equal(t, strings.TrimSpace(token), token)
		scheme, rest, _ := strings.Cut(header, " ")
		require.Contains(t, []string{"token", "bearer"}, strings.ToLower(scheme))
		require.Equal(t, token, strings.TrimSpace(rest), "nothing but the token")
	})
}
