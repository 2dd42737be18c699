package oidc

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"kiosc/cluster/state"
)

// maxSubject is the length of a subject that the standard allows, in bytes.
const maxSubject = 255

// Person is who has logged in at the provider.
type Person struct {
	// Issuer and Subject are who it is, for ever. The name may come to somebody else.
	Issuer, Subject string
	// Name is the user's name as the claim has it. The others are empty where the provider doesn't say them.
	Name, FullName, FirstName, LastName, Email string
	// Groups are those that the person is in; nil where no claim for them is set.
	Groups []string
}

// claims are what the provider says of somebody.
type claims map[string]any

// person reads who somebody is from the ID token and, where that doesn't say everything, from the provider's user
// information. Where both say something the token counts.
func (c *Client) person(ctx context.Context, p *provider, token *oidc.IDToken, tokens *oauth2.Token) (Person, error) {
	said := claims{}
	if err := token.Claims(&said); err != nil {
		return Person{}, c.distrust("the ID token is wrong", "error", err)
	}
	wanted := []string{c.cfg.UserNameClaim, "email", "name"}
	if c.cfg.GroupsClaim != "" {
		wanted = append(wanted, c.cfg.GroupsClaim)
	}
	if p.UserInfoEndpoint() != "" && slices.ContainsFunc(wanted, func(name string) bool { return said.at(name) == nil }) {
		more, err := c.userInfo(ctx, p, token, tokens)
		if err != nil {
			return Person{}, err
		}
		maps.Copy(more, said)
		said = more
	}
	who := Person{Issuer: p.issuer, Subject: token.Subject, Name: said.text(c.cfg.UserNameClaim),
		FullName: said.fullName(), FirstName: said.text("given_name"), LastName: said.text("family_name")}
	if who.Name == "" {
		c.logger.Error("a login has failed: the claim of the user's name is missing or no text", "claim", c.cfg.UserNameClaim,
			"claims", slices.Sorted(maps.Keys(said)))
		return Person{}, state.Errorf(state.Unavailable, c.cfg.Name+" does not tell your user name. Tell the people who run this site; their log says more.")
	}
	if verified, known := said["email_verified"]; !known || verified == true || verified == "true" {
		who.Email = said.text("email")
	}
	if c.cfg.GroupsClaim == "" {
		return who, nil
	}
	if elsewhere, _ := said["_claim_names"].(map[string]any); elsewhere[c.cfg.GroupsClaim] != nil {
		c.logger.Error("a login has failed: the provider has left out the groups because there are too many; have it tell fewer", "user", clip(who.Name))
		return Person{}, state.Errorf(state.Unavailable, c.cfg.Name+" has left out your groups, so your roles are not known. Tell the people who run this site; their log says more.")
	}
	var ok bool
	if who.Groups, ok = said.groups(c.cfg.GroupsClaim); !ok {
		return Person{}, c.distrust("the claim of groups has a form that is not known", "claim", c.cfg.GroupsClaim)
	}
	return who, nil
}

func (c *Client) userInfo(ctx context.Context, p *provider, token *oidc.IDToken, tokens *oauth2.Token) (claims, error) {
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if unanswered(ctx, err) {
		c.logger.Warn("a login has failed: the OpenID provider did not tell more of the user", "error", err)
		return nil, c.unreachable()
	}
	if err != nil {
		return nil, c.distrust("the OpenID provider did not tell more of the user", "error", clip(err.Error()))
	}
	if info.Subject != token.Subject {
		return nil, c.distrust("the user information is of another user than the ID token")
	}
	said := claims{}
	if err := info.Claims(&said); err != nil {
		return nil, c.distrust("the user information is wrong", "error", err)
	}
	return said, nil
}

// at is the claim of a name; nil for none.
func (s claims) at(name string) any {
	if v, ok := s[name]; ok {
		return v
	}
	outer, inner, dotted := strings.Cut(name, ".")
	within, ok := s[outer].(map[string]any)
	if !dotted || !ok {
		return nil
	}
	return claims(within).at(inner)
}

// text is a claim as text, without blanks around it; empty where it is missing or something else.
func (s claims) text(name string) string {
	text, _ := s.at(name).(string)
	return strings.TrimSpace(text)
}

func (s claims) fullName() string {
	if name := s.text("name"); name != "" {
		return name
	}
	return strings.TrimSpace(s.text("given_name") + " " + s.text("family_name"))
}

// groups reads a claim of groups, which providers write as a list, as one text, or as an object whose keys they are.
// No claim is no group.
func (s claims) groups(name string) (groups []string, ok bool) {
	groups = []string{}
	switch v := s.at(name).(type) {
	case nil:
	case string:
		groups = append(groups, v)
	case map[string]any:
		groups = slices.AppendSeq(groups, maps.Keys(v))
	case []any:
		for _, one := range v {
			text, isText := one.(string)
			if !isText {
				return nil, false
			}
			groups = append(groups, text)
		}
	default:
		return nil, false
	}
	groups = slices.DeleteFunc(groups, func(g string) bool { return g == "" })
	slices.Sort(groups)
	return slices.Compact(groups), true
}
