package cli_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager"
	"kiosc/manager/cli"
	"kiosc/manager/oidc"
	"kiosc/manager/service"
)

const allOfOpenID = `ENABLE_OIDC=True
SOCIAL_AUTH_OIDC_OIDC_ENDPOINT=https://login.example.org/realms/main
SOCIAL_AUTH_OIDC_KEY=kiosc
SOCIAL_AUTH_OIDC_SECRET= secret with blanks 
SOCIAL_AUTH_OIDC_USERNAME_KEY=preferred_username
KIOSC_OIDC_GROUPS_CLAIM=groups
KIOSC_OIDC_GROUP_ROLES=[{"group": "Mice", "project": "Lab / Mice", "role": "contributor"}]
KIOSC_OIDC_SUPERUSER_GROUP=Chiefs
KIOSC_OIDC_NAME=Institute login
KIOSC_OIDC_SCOPES=profile, email groups
KIOSC_OIDC_CA_FILE=/etc/ca.pem`

func TestSettingsOfTheOpenIDProvider(t *testing.T) {
	got, err := cli.OpenID(lookup(allOfOpenID))
	require.NoError(t, err)
	require.Equal(t, &manager.OpenIDConfig{
		Provider: oidc.Config{Issuer: "https://login.example.org/realms/main", ClientID: "kiosc", Secret: " secret with blanks ",
			UserNameClaim: "preferred_username", GroupsClaim: "groups", Scopes: []string{"profile", "email", "groups"}, Name: "Institute login",
			CAFile: "/etc/ca.pem"},
		Rules: service.GroupRules{Superuser: "Chiefs", Roles: []service.GroupRule{{Group: "Mice", Project: "Lab / Mice", Role: state.Contributor}}},
	}, got)

	got, err = cli.OpenID(lookup(strings.Join(strings.Split(allOfOpenID, "\n")[:3], "\n")))
	require.NoError(t, err)
	require.Equal(t, oidc.Config{Issuer: "https://login.example.org/realms/main", ClientID: "kiosc", UserNameClaim: "username"}, got.Provider)

	got, err = cli.OpenID(lookup(allOfOpenID + "\nENABLE_OIDC=false\nSOCIAL_AUTH_OIDC_KEY="))
	require.NoError(t, err)
	require.Nil(t, got)

	for line, text := range map[string]string{
		"ENABLE_OIDC=maybe":               "ENABLE_OIDC is either true or false",
		"SOCIAL_AUTH_OIDC_OIDC_ENDPOINT=": "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT is missing",
		"SOCIAL_AUTH_OIDC_KEY=":           "SOCIAL_AUTH_OIDC_KEY is missing",
		"KIOSC_OIDC_GROUPS_CLAIM=":        "need KIOSC_OIDC_GROUPS_CLAIM",
		"KIOSC_OIDC_GROUP_ROLES={}":       "KIOSC_OIDC_GROUP_ROLES is not of the form",
	} {
		_, err := cli.OpenID(lookup(allOfOpenID + "\n" + line))
		require.ErrorContains(t, err, text)
	}
}

func TestRelink(t *testing.T) {
	f := newFake(t)
	f.answer("user-relink", service.RelinkView{Users: 3})
	_, stderr := f.ok("user", "relink", "ana")
	require.Contains(t, stderr, "Forgotten for 3 users.")
	f.ok("user", "relink", "--all")
	var bodies []string
	for _, a := range f.requests() {
		bodies = append(bodies, a.name+" "+a.body)
	}
	require.Equal(t, []string{`user-relink {"username":"ana"}`, `user-relink {"all":true}`}, bodies)
	for _, wrong := range [][]string{{"user", "relink"}, {"user", "relink", "ana", "--all"}} {
		_, stderr, code := f.run(wrong...)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "or --all")
	}
}
