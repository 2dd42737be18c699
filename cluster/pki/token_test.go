package pki_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
)

func TestJoinToken(t *testing.T) {
	ca := newCA(t)
	token := pki.NewJoinToken(pki.RoleAgent, ca.Certificate)
	got, err := pki.ParseJoinToken(" " + token.String() + "\n")
	require.NoError(t, err)
	require.Equal(t, token, got)
	require.Equal(t, pki.HashSecret(token.Secret), pki.HashSecret(got.Secret))
	require.NotEqual(t, token.Secret, pki.NewJoinToken(pki.RoleAgent, ca.Certificate).Secret)
	text := token.String()
	for _, bad := range []string{"", "kioscjoin", text[:len(text)-1], text + "-x", strings.Replace(text, "-1-", "-2-", 1),
		strings.Replace(text, "agent", "root", 1), strings.Replace(text, text[18:20], "zz", 1)} {
		_, err := pki.ParseJoinToken(bad)
		require.ErrorContains(t, err, "kiosc join-token agent", bad)
		require.ErrorContains(t, err, "kiosc join-token manager", bad)
		require.NotContains(t, err.Error(), token.Secret)
	}
}
