package oidc_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed/openid"
	"kiosc/manager/oidc"
)

const redirect = "http://kiosc.test/social/complete/oidc/"

// lines is a log that can be read.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// client is one that knows the provider at issuer, and its log.
func client(t testing.TB, issuer string, change func(*oidc.Config)) (*oidc.Client, *lines) {
	t.Helper()
	log := new(lines)
	cfg := oidc.Config{Issuer: issuer, ClientID: openid.ClientID, Secret: openid.Secret, UserNameClaim: "preferred_username",
		GroupsClaim: "groups", Name: "Institute login", Logger: slog.New(slog.NewTextHandler(log, nil))}
	if change != nil {
		change(&cfg)
	}
	c, err := oidc.New(cfg)
	require.NoError(t, err)
	return c, log
}

// returned is what a provider says in the address to which it sends a browser back.
func returned(to *url.URL) oidc.Return {
	q := to.Query()
	return oidc.Return{State: q.Get("state"), Code: q.Get("code"), Issuer: q.Get("iss"), Error: q.Get("error"), Description: q.Get("error_description")}
}

// faulty is a provider that can be made to do wrong what real ones do right.
type faulty struct {
	testing.TB
	*httptest.Server
	key   *rsa.PrivateKey
	nonce string // of the attempt

	mu sync.Mutex
	// describe changes what it says of itself, claim an ID token, sign how that is signed, answer what comes for a code.
	describe func(map[string]any)
	claim    func(map[string]any)
	sign     func(head map[string]any, signed []byte) []byte
	answer   func(w http.ResponseWriter, said map[string]any)
	keys     http.HandlerFunc
	user     http.HandlerFunc // nil for no user information
	asked    map[string]int   // how often, by path
}

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// The key of most providers, and another one.
var firstKey, otherKey = sync.OnceValue(newKey), sync.OnceValue(newKey)

func newFaulty(t testing.TB) *faulty {
	f := &faulty{TB: t, key: firstKey(), asked: make(map[string]int)}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", f.wellKnown)
	mux.HandleFunc("/keys", f.serveKeys)
	mux.HandleFunc("POST /token", f.token)
	mux.HandleFunc("/user", func(w http.ResponseWriter, r *http.Request) { f.user(w, r) })
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.asked[r.URL.Path]++
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}

func (f *faulty) wellKnown(w http.ResponseWriter, _ *http.Request) {
	said := map[string]any{"issuer": f.URL, "authorization_endpoint": f.URL + "/auth", "token_endpoint": f.URL + "/token",
		"jwks_uri": f.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"}}
	if f.user != nil {
		said["userinfo_endpoint"] = f.URL + "/user"
	}
	if f.describe != nil {
		f.describe(said)
	}
	reply(w, http.StatusOK, said)
}

func (f *faulty) serveKeys(w http.ResponseWriter, r *http.Request) {
	if f.keys != nil {
		f.keys(w, r)
		return
	}
	encode := base64.RawURLEncoding.EncodeToString
	reply(w, http.StatusOK, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "use": "sig", "kid": "k1", "alg": "RS256",
		"n": encode(f.key.N.Bytes()), "e": encode(big.NewInt(int64(f.key.E)).Bytes())}}})
}

func (f *faulty) token(w http.ResponseWriter, _ *http.Request) {
	now := time.Now().Unix()
	claims := map[string]any{"iss": f.URL, "sub": "u1", "aud": openid.ClientID, "nonce": f.nonce, "iat": now, "exp": now + 300,
		"preferred_username": "ana", "name": "Ana B.", "email": "ana@example.org", "groups": []string{"mice", "fish"}}
	if f.claim != nil {
		f.claim(claims)
	}
	said := map[string]any{"access_token": "access", "token_type": "Bearer", "id_token": f.signed(claims)}
	if f.answer != nil {
		f.answer(w, said)
		return
	}
	reply(w, http.StatusOK, said)
}

func (f *faulty) signed(claims map[string]any) string {
	head := map[string]any{"alg": "RS256", "kid": "k1"}
	body, err := json.Marshal(claims)
	require.NoError(f, err)
	sign := f.sign
	if sign == nil {
		sign = func(_ map[string]any, signed []byte) []byte { return f.rs256(f.key, signed) }
	}
	// Asked once for the head and once for the signature.
	sign(head, nil)
	raw, err := json.Marshal(head)
	require.NoError(f, err)
	text := base64.RawURLEncoding.EncodeToString(raw) + "." + base64.RawURLEncoding.EncodeToString(body)
	return text + "." + base64.RawURLEncoding.EncodeToString(sign(head, []byte(text)))
}

func (f *faulty) rs256(key *rsa.PrivateKey, signed []byte) []byte {
	sum := sha256.Sum256(signed)
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	require.NoError(f, err)
	return signature
}

// change makes it do something wrong.
func (f *faulty) change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how()
}

func (f *faulty) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[path]
}

// logIn has somebody come back from it who gave the right state.
func (f *faulty) logIn(c *oidc.Client, change func(*oidc.Return)) (oidc.Person, error) {
	f.Helper()
	ctx := context.Background()
	a, _, err := c.Begin(ctx, redirect)
	if err != nil {
		return oidc.Person{}, err
	}
	f.change(func() { f.nonce = a.Nonce })
	r := oidc.Return{State: a.State, Code: "code"}
	if change != nil {
		change(&r)
	}
	return c.Finish(ctx, a, r)
}
