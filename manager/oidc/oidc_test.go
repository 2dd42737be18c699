package oidc_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/deploy/testbed/openid"
	"kiosc/manager/oidc"
)

// TestLoginAtARealProvider is with the claims in the ID token and with those that only the user information has.
func TestLoginAtARealProvider(t *testing.T) {
	for name, inToken := range map[string]bool{"ID token": true, "user information": false} {
		t.Run(name, func(t *testing.T) {
			p := openid.Start(t)
			p.InToken = inToken
			p.Allow(redirect)
			p.Set(openid.User{ID: "u1", Name: "ana", First: "Ana", Last: "Ж.", Email: "ana@example.org", Groups: []string{"mice", "fish", "mice"}})
			c, log := client(t, p.Issuer, nil)
			ctx := context.Background()
			a, to, err := c.Begin(ctx, redirect)
			require.NoError(t, err)
			at, err := url.Parse(to)
			require.NoError(t, err)
			require.Equal(t, "S256", at.Query().Get("code_challenge_method"))
			require.NotContains(t, to, a.Verifier)
			back := p.LogIn(t, to, "ana")
			who, err := c.Finish(ctx, a, returned(back))
			require.NoError(t, err, log)
			require.Equal(t, oidc.Person{Issuer: p.Issuer, Subject: "u1", Name: "ana", FullName: "Ana Ж.", FirstName: "Ana", LastName: "Ж.",
				Email: "ana@example.org", Groups: []string{"fish", "mice"}}, who)

			_, err = c.Finish(ctx, a, returned(back))
			require.ErrorIs(t, err, oidc.ErrStale, "a code counts once")
			a, to, err = c.Begin(ctx, redirect)
			require.NoError(t, err)
			back = p.LogIn(t, to, "ana")
			stolen := a
			stolen.Verifier = strings.Repeat("v", len(a.Verifier))
			_, err = c.Finish(ctx, stolen, returned(back))
			require.ErrorIs(t, err, oidc.ErrStale, "a code without its verifier is worth nothing")

			p.Set(openid.User{ID: "u1", Name: "ana"})
			a, to, err = c.Begin(ctx, redirect)
			require.NoError(t, err)
			who, err = c.Finish(ctx, a, returned(p.LogIn(t, to, "ana")))
			require.NoError(t, err)
			require.Equal(t, []string{}, who.Groups, "no claim is no group")

			a, to, err = c.Begin(ctx, redirect)
			require.NoError(t, err)
			_, err = c.Finish(ctx, a, returned(p.LogIn(t, to, "")))
			refused(t, err, state.Forbidden, "Institute login did not let you in, or you have cancelled the login.")
			require.NotContains(t, log.String(), openid.Secret)
		})
	}
}

func refused(t testing.TB, err error, code state.Code, text string) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, state.CodeOf(err), err)
	require.Contains(t, err.Error(), text)
}

// TestAWrongSecretIsTheOperatorsMatter is one that the real provider refuses.
func TestAWrongSecretIsTheOperatorsMatter(t *testing.T) {
	p := openid.Start(t)
	p.Allow(redirect)
	p.Set(openid.User{ID: "u1", Name: "ana"})
	c, log := client(t, p.Issuer, func(cfg *oidc.Config) { cfg.Secret = "another" })
	a, to, err := c.Begin(context.Background(), redirect)
	require.NoError(t, err)
	_, err = c.Finish(context.Background(), a, returned(p.LogIn(t, to, "ana")))
	refused(t, err, state.Unavailable, "does not accept logins for this Kiosc")
	require.Contains(t, log.String(), "invalid_client")
	require.NotContains(t, log.String(), "another")
}

const mistrust = "can't be trusted"

// TestWhatAProviderMustNotSay has each check of an answer refuse it.
func TestWhatAProviderMustNotSay(t *testing.T) {
	claim := func(name string, value any) func(*faulty) {
		return func(f *faulty) { f.claim = func(said map[string]any) { said[name] = value } }
	}
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for name, wrong := range map[string]struct {
		how  func(*faulty)
		text string
	}{
		"issuer":               {claim("iss", "https://elsewhere.example"), mistrust},
		"audience":             {claim("aud", "another client"), mistrust},
		"audience of several":  {claim("aud", []string{"another", openid.ClientID}), mistrust},
		"authorized party":     {claim("azp", "another client"), mistrust},
		"nonce":                {claim("nonce", "another's"), mistrust},
		"no nonce":             {claim("nonce", nil), mistrust},
		"no subject":           {claim("sub", ""), mistrust},
		"long subject":         {claim("sub", strings.Repeat("s", 256)), mistrust},
		"access token":         {claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), mistrust},
		"expired":              {claim("exp", at(-5*time.Minute)), "clocks"},
		"of the future":        {claim("iat", at(5*time.Minute)), "clocks"},
		"no name":              {claim("preferred_username", nil), "does not tell your user name"},
		"name that is no text": {claim("preferred_username", 7), "does not tell your user name"},
		"groups of no form":    {claim("groups", 7), mistrust},
		"groups within groups": {claim("groups", []any{map[string]any{"name": "mice"}}), mistrust},
		"groups elsewhere": {func(f *faulty) {
			f.claim = func(said map[string]any) {
				delete(said, "groups")
				said["_claim_names"] = map[string]any{"groups": "s"}
				said["_claim_sources"] = map[string]any{"s": map[string]any{"endpoint": f.URL}}
			}
		}, "has left out your groups"},
		"another's signature": {func(f *faulty) {
			f.sign = func(_ map[string]any, signed []byte) []byte { return f.rs256(otherKey(), signed) }
		}, mistrust},
		"no signature": {func(f *faulty) {
			f.sign = func(head map[string]any, _ []byte) []byte { head["alg"] = "none"; return nil }
		}, mistrust},
		"signature that anybody can make": {func(f *faulty) {
			public := make([]byte, 32)
			f.keys = func(w http.ResponseWriter, _ *http.Request) {
				reply(w, 200, map[string]any{"keys": []any{map[string]any{"kty": "oct", "kid": "k1", "k": base64.RawURLEncoding.EncodeToString(public)}}})
			}
			f.sign = func(head map[string]any, signed []byte) []byte {
				head["alg"] = "HS256"
				mac := hmac.New(sha256.New, public)
				mac.Write(signed)
				return mac.Sum(nil)
			}
		}, mistrust},
		"no ID token": {func(f *faulty) {
			f.answer = func(w http.ResponseWriter, said map[string]any) { delete(said, "id_token"); reply(w, 200, said) }
		}, mistrust},
		"no JSON": {func(f *faulty) {
			f.answer = func(w http.ResponseWriter, _ map[string]any) { w.Write([]byte("<html>")) }
		}, "can't be reached"},
		"unknown refusal": {func(f *faulty) {
			f.answer = func(w http.ResponseWriter, _ map[string]any) {
				reply(w, 400, map[string]any{"error": "unauthorized_client"})
			}
		}, "does not accept logins"},
		"failure": {func(f *faulty) {
			f.answer = func(w http.ResponseWriter, _ map[string]any) { reply(w, 502, "") }
		}, "can't be reached"},
		"failure of the keys": {func(f *faulty) {
			f.keys = func(w http.ResponseWriter, _ *http.Request) { reply(w, 500, "") }
		}, "can't be reached"},
		"redirected code": {func(f *faulty) {
			f.answer = func(w http.ResponseWriter, _ map[string]any) {
				w.Header().Set("Location", f.URL+"/token")
				w.WriteHeader(http.StatusTemporaryRedirect)
			}
		}, "does not accept logins"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			c, log := client(t, f.URL, nil)
			_, err := f.logIn(c, nil)
			require.NoError(t, err, log)
			c, log = client(t, f.URL, nil)
			f.change(func() { wrong.how(f) })
			_, err = f.logIn(c, nil)
			require.ErrorContains(t, err, wrong.text)
			require.Contains(t, log.String(), "a login has failed")
			require.NotContains(t, log.String(), "code=code")
		})
	}
}

// TestClocksMayDifferALittle has the provider's be a minute off.
func TestClocksMayDifferALittle(t *testing.T) {
	f := newFaulty(t)
	c, log := client(t, f.URL, nil)
	for _, off := range []time.Duration{-time.Minute, time.Minute} {
		f.change(func() {
			f.claim = func(said map[string]any) {
				at := time.Now().Add(off)
				said["iat"], said["nbf"], said["exp"] = at.Unix(), at.Unix(), at.Add(10*time.Second).Unix()
			}
		})
		_, err := f.logIn(c, nil)
		require.NoError(t, err, log)
	}
}

// TestWhoComesBackWrong is a browser that returns with what isn't its own.
func TestWhoComesBackWrong(t *testing.T) {
	f := newFaulty(t)
	c, _ := client(t, f.URL, nil)
	for name, wrong := range map[string]struct {
		change func(*oidc.Return)
		code   state.Code
		text   string
	}{
		"another state":      {func(r *oidc.Return) { r.State = "AAAA" }, state.Unauthenticated, "This login has expired"},
		"no state":           {func(r *oidc.Return) { r.State = "" }, state.Unauthenticated, "This login has expired"},
		"no code":            {func(r *oidc.Return) { r.Code = "" }, state.Unauthenticated, "This login has expired"},
		"another provider":   {func(r *oidc.Return) { r.Issuer = "https://elsewhere.example" }, state.Unavailable, mistrust},
		"denied":             {func(r *oidc.Return) { r.Error = "access_denied" }, state.Forbidden, "did not let you in"},
		"without a login":    {func(r *oidc.Return) { r.Error = "login_required" }, state.Unauthenticated, "log in there first"},
		"provider is broken": {func(r *oidc.Return) { r.Error = "server_error" }, state.Unavailable, "can't be reached"},
		"unknown client":     {func(r *oidc.Return) { r.Error = "unauthorized_client" }, state.Unavailable, "does not accept logins"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.logIn(c, wrong.change)
			refused(t, err, wrong.code, wrong.text)
		})
	}
	require.Zero(t, f.count("/token"), "no code was sent")
	f.change(func() {
		f.describe = func(said map[string]any) { said["authorization_response_iss_parameter_supported"] = true }
	})
	c, _ = client(t, f.URL, nil)
	_, err := f.logIn(c, nil)
	refused(t, err, state.Unavailable, mistrust)
	_, err = f.logIn(c, func(r *oidc.Return) { r.Issuer = f.URL })
	require.NoError(t, err)
}

// TestClaimsOfManyForms reads what providers make of names and groups.
func TestClaimsOfManyForms(t *testing.T) {
	for name, form := range map[string]struct {
		claim         func(map[string]any)
		name, groups  string
		wantName, who string
		want          []string
	}{
		"one text":         {claim: func(s map[string]any) { s["groups"] = "mice" }, want: []string{"mice"}},
		"keys":             {claim: func(s map[string]any) { s["groups"] = map[string]any{"b": 1, "a": 2} }, want: []string{"a", "b"}},
		"within another":   {groups: "realm.roles", claim: func(s map[string]any) { s["realm"] = map[string]any{"roles": []string{"r"}} }, want: []string{"r"}},
		"name with dots":   {groups: "https://a.example/groups", claim: func(s map[string]any) { s["https://a.example/groups"] = []string{"d"} }, want: []string{"d"}},
		"within no object": {groups: "name.roles", want: []string{}},
		"no groups wanted": {groups: "-", want: nil},
		"mail as name":     {name: "email", wantName: "ana@example.org", want: []string{"fish", "mice"}},
		"two names": {claim: func(s map[string]any) {
			delete(s, "name")
			s["given_name"], s["family_name"] = "Ana", "C."
		}, who: "Ana C.", want: []string{"fish", "mice"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			f.claim = form.claim
			c, log := client(t, f.URL, func(cfg *oidc.Config) {
				if form.name != "" {
					cfg.UserNameClaim = form.name
				}
				if form.groups != "" {
					cfg.GroupsClaim = strings.TrimPrefix(form.groups, "-")
				}
			})
			who, err := f.logIn(c, nil)
			require.NoError(t, err, log)
			require.Equal(t, form.want, who.Groups)
			if form.wantName != "" {
				require.Equal(t, form.wantName, who.Name)
			}
			if form.who != "" {
				require.Equal(t, form.who, who.FullName)
			}
		})
	}
}

// TestUserInformation completes the ID token, and never replaces what that says.
func TestUserInformation(t *testing.T) {
	f := newFaulty(t)
	told := map[string]any{"sub": "u1", "preferred_username": "eve", "email": "ana@example.org", "email_verified": false, "groups": []string{"fish"}}
	status := 200
	f.user = func(w http.ResponseWriter, r *http.Request) {
		require.Equal(f, "Bearer access", r.Header.Get("Authorization"))
		reply(w, status, told)
	}
	f.claim = func(s map[string]any) { delete(s, "groups"); delete(s, "email") }
	c, log := client(t, f.URL, nil)
	who, err := f.logIn(c, nil)
	require.NoError(t, err, log)
	require.Equal(t, oidc.Person{Issuer: f.URL, Subject: "u1", Name: "ana", FullName: "Ana B.", Groups: []string{"fish"}}, who,
		"a mail address that isn't verified is not taken")
	f.change(func() { told["sub"] = "u2" })
	_, err = f.logIn(c, nil)
	refused(t, err, state.Unavailable, mistrust)
	f.change(func() { told["sub"], status = "u1", 403 })
	_, err = f.logIn(c, nil)
	refused(t, err, state.Unavailable, mistrust)
	f.change(func() { status = 503 })
	_, err = f.logIn(c, nil)
	refused(t, err, state.Unavailable, "can't be reached")
}

// TestAProviderThatIsDown is one at the start of Kiosc, which then comes up.
func TestAProviderThatIsDown(t *testing.T) {
	f := newFaulty(t)
	f.describe = func(said map[string]any) { said["issuer"] = "https://elsewhere.example" }
	c, log := client(t, f.URL, nil)
	for range 20 {
		_, err := f.logIn(c, nil)
		refused(t, err, state.Unavailable, "Institute login can't be reached at the moment.")
	}
	require.Equal(t, 1, f.count("/.well-known/openid-configuration"), "a flood of logins isn't one of questions")
	require.Contains(t, log.String(), "did not match the issuer")
	f.change(func() { f.describe = nil })
	require.Eventually(t, func() bool {
		_, err := f.logIn(c, nil)
		return err == nil
	}, 10*time.Second, 50*time.Millisecond)
	f.Close()
	_, err := f.logIn(c, nil)
	refused(t, err, state.Unavailable, "can't be reached")
}

// TestASlowProviderKeepsNobodyForLong hangs in each of its answers.
func TestASlowProviderKeepsNobodyForLong(t *testing.T) {
	for _, path := range []string{"/.well-known/openid-configuration", "/token", "/keys"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			gone := make(chan struct{})
			real := f.Config.Handler
			f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != path {
					real.ServeHTTP(w, r)
					return
				}
				_ = r.ParseForm() // the server sees that a client has gone once it has read the request
				<-r.Context().Done()
				close(gone)
			})
			c, _ := client(t, f.URL, nil)
			c.HurryUp(300 * time.Millisecond)
			_, err := f.logIn(c, nil)
			refused(t, err, state.Unavailable, "can't be reached")
			<-gone
		})
	}
}

// TestRunFindsTheProviderBeforeAnybodyComes and ends with its context.
func TestRunFindsTheProviderBeforeAnybodyComes(t *testing.T) {
	f := newFaulty(t)
	c, _ := client(t, f.URL, nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	require.Eventually(t, func() bool { return f.count("/.well-known/openid-configuration") == 1 }, 10*time.Second, 10*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
}

// TestKeysChange has the provider sign with a new key.
func TestKeysChange(t *testing.T) {
	f := newFaulty(t)
	c, log := client(t, f.URL, nil)
	_, err := f.logIn(c, nil)
	require.NoError(t, err, log)
	f.change(func() { f.key = otherKey() })
	_, err = f.logIn(c, nil)
	require.NoError(t, err, log)
}

// TestIssuersDifferByASlash is what operators get wrong most often.
func TestIssuersDifferByASlash(t *testing.T) {
	f := newFaulty(t)
	for _, form := range []string{"/", "/.well-known/openid-configuration"} {
		c, log := client(t, f.URL+form, nil)
		who, err := f.logIn(c, nil)
		require.NoError(t, err, log)
		require.Equal(t, f.URL, who.Issuer)
	}
}

// TestCertificates are trusted by file.
func TestCertificates(t *testing.T) {
	f := newFaulty(t)
	server := httptest.NewTLSServer(f.Config.Handler)
	t.Cleanup(server.Close)
	f.describe = func(said map[string]any) {
		for name, v := range said {
			if text, ok := v.(string); ok {
				said[name] = strings.Replace(text, f.URL, server.URL, 1)
			}
		}
	}
	f.claim = func(said map[string]any) { said["iss"] = server.URL }
	c, log := client(t, server.URL, nil)
	_, err := f.logIn(c, nil)
	refused(t, err, state.Unavailable, "can't be reached")
	require.Contains(t, log.String(), "certificate")
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	c, log = client(t, server.URL, func(cfg *oidc.Config) { cfg.CAFile = file })
	_, err = f.logIn(c, nil)
	require.NoError(t, err, log)

	f.change(func() { f.describe = func(said map[string]any) { said["issuer"] = server.URL } })
	c, log = client(t, server.URL, func(cfg *oidc.Config) { cfg.CAFile = file })
	_, err = f.logIn(c, nil)
	refused(t, err, state.Unavailable, "can't be reached")
	require.Contains(t, log.String(), "of no use", "codes don't leave TLS")
}

// TestWrongSettings are told at the start.
func TestWrongSettings(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for text, cfg := range map[string]oidc.Config{
		"is none such as":        {Issuer: "login.example.org", ClientID: "kiosc", UserNameClaim: "name"},
		"is not https":           {Issuer: "http://login.example.org", ClientID: "kiosc", UserNameClaim: "name"},
		"needs a client id":      {Issuer: "https://login.example.org", UserNameClaim: "name"},
		"name of the claim":      {Issuer: "https://login.example.org", ClientID: "kiosc"},
		"no such file":           {Issuer: "https://login.example.org", ClientID: "kiosc", UserNameClaim: "name", CAFile: "/nowhere.pem"},
		"no certificate in PEM":  {Issuer: "https://login.example.org", ClientID: "kiosc", UserNameClaim: "name", CAFile: empty},
		"none such as https://l": {Issuer: "https://login.example.org?a", ClientID: "kiosc", UserNameClaim: "name"},
	} {
		_, err := oidc.New(cfg)
		require.ErrorContains(t, err, text)
	}
}
