package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"kiosc/manager"
	"kiosc/manager/oidc"
	"kiosc/manager/service"
)

// defaultUserNameClaim is the original's.
const defaultUserNameClaim = "username"

// openID reads the settings of the OpenID provider; nil for none.
func openID(lookup func(string) (string, bool)) (*manager.OpenIDConfig, error) {
	s := &settings{lookup: lookup}
	if !s.truth("ENABLE_OIDC") {
		return nil, s.err
	}
	secret, _ := lookup("SOCIAL_AUTH_OIDC_SECRET") // may begin or end with a blank
	c := oidc.Config{
		Issuer: s.text("SOCIAL_AUTH_OIDC_OIDC_ENDPOINT"), ClientID: s.text("SOCIAL_AUTH_OIDC_KEY"), Secret: secret,
		UserNameClaim: cmp.Or(s.text("SOCIAL_AUTH_OIDC_USERNAME_KEY"), defaultUserNameClaim),
		GroupsClaim:   s.text("KIOSC_OIDC_GROUPS_CLAIM"), Name: s.text("KIOSC_OIDC_NAME"), CAFile: s.text("KIOSC_OIDC_CA_FILE"),
	}
	if scopes := s.text("KIOSC_OIDC_SCOPES"); scopes != "" {
		c.Scopes = strings.FieldsFunc(scopes, func(r rune) bool { return r == ' ' || r == ',' })
	}
	if c.Issuer == "" {
		s.fail(errors.New("ENABLE_OIDC needs the address of the provider; SOCIAL_AUTH_OIDC_OIDC_ENDPOINT is missing"))
	}
	if c.ClientID == "" {
		s.fail(errors.New("ENABLE_OIDC needs the client id by which the provider knows Kiosc; SOCIAL_AUTH_OIDC_KEY is missing"))
	}
	roles, superuser := s.text("KIOSC_OIDC_GROUP_ROLES"), s.text("KIOSC_OIDC_SUPERUSER_GROUP")
	if (roles != "" || superuser != "") && c.GroupsClaim == "" {
		s.fail(errors.New("KIOSC_OIDC_GROUP_ROLES and KIOSC_OIDC_SUPERUSER_GROUP need KIOSC_OIDC_GROUPS_CLAIM, the name of the claim that has the groups"))
	}
	rules, err := service.ParseGroupRules(roles, superuser, nil)
	if err != nil {
		s.fail(fmt.Errorf("KIOSC_OIDC_GROUP_ROLES %w", err))
	}
	return &manager.OpenIDConfig{Provider: c, Rules: rules}, s.err
}
