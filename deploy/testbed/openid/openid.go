// Package openid runs a real OpenID provider for tests, that of github.com/zitadel/oidc, on a port of this machine. Its
// users are the test's, and it has a page on which they log in.
package openid

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// What the provider knows Kiosc by.
const (
	ClientID = "kiosc"
	Secret   = "the secret of kiosc"
)

// Password is every user's.
const Password = "a password of the provider"

// User is somebody whom the provider knows. The claim preferred_username has the name, groups the groups.
type User struct {
	ID, Name, First, Last, Email string
	Groups                       []string
}

// Provider is one provider. Its methods may be called while it serves.
type Provider struct {
	// Issuer is its address.
	Issuer string
	// InToken has the ID token say everything; else only the user information does. It is set before the first login.
	InToken bool

	*storage.Storage
	server *httptest.Server

	mu        sync.Mutex
	users     map[string]User // by id
	redirects []string
}

// Start starts a provider that ends with the test.
func Start(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{users: make(map[string]User)}
	p.Storage = storage.NewStorageWithClients(users{p}, nil)
	p.server = httptest.NewUnstartedServer(nil)
	p.Issuer = "http://" + p.server.Listener.Addr().String()
	provider, err := op.NewProvider(&op.Config{CryptoKey: [32]byte{1}, CodeMethodS256: true, AuthMethodPost: true}, p,
		op.StaticIssuer(p.Issuer), op.WithAllowInsecure())
	require.NoError(t, err)
	back := op.AuthCallbackURL(provider)
	mux := http.NewServeMux()
	mux.Handle("/", provider)
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) { p.page(w, r.FormValue("id"), "") })
	named := op.NewIssuerInterceptor(provider.IssuerFromRequest)
	mux.HandleFunc("POST /login", named.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.FormValue("id")
		if r.FormValue("cancel") != "" {
			p.cancel(w, r, id)
			return
		}
		if err := p.CheckUsernamePassword(r.FormValue("username"), r.FormValue("password"), id); err != nil {
			p.page(w, id, err.Error())
			return
		}
		http.Redirect(w, r, back(r.Context(), id), http.StatusFound)
	}))
	p.server.Config.Handler = mux
	p.server.Start()
	t.Cleanup(p.server.Close)
	return p
}

// Stop ends it at once.
func (p *Provider) Stop() {
	p.server.CloseClientConnections()
	p.server.Close()
}

// Set adds a user, or changes the one of this id.
func (p *Provider) Set(u User) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users[u.ID] = u
}

// Allow has the provider send people back to an address.
func (p *Provider) Allow(redirect string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.redirects = append(p.redirects, redirect)
}

var page = template.Must(template.New("").Parse(`<!doctype html><title>Provider</title>{{.Error}}
<form method="post" action="/login"><input type="hidden" name="id" value="{{.ID}}">
<input id="username" name="username"><input id="password" name="password" type="password">
<button id="login">Log in</button><button id="cancel" name="cancel" value="1">Cancel</button></form>`))

func (p *Provider) page(w http.ResponseWriter, id, failure string) {
	if err := page.Execute(w, struct{ ID, Error string }{id, failure}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (p *Provider) cancel(w http.ResponseWriter, r *http.Request, id string) {
	request, err := p.AuthRequestByID(r.Context(), id)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	said := url.Values{"error": {"access_denied"}, "error_description": {"cancelled"}, "state": {request.GetState()}}
	http.Redirect(w, r, request.GetRedirectURI()+"?"+said.Encode(), http.StatusFound)
}

// GetClientByClientID replaces the storage's own clients.
func (p *Provider) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id != ClientID {
		return nil, fmt.Errorf("unknown client %q", id)
	}
	return client{storage.WebClient(ClientID, Secret, p.redirects...), p.InToken}, nil
}

// AuthorizeClientIDSecret checks Kiosc's.
func (p *Provider) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if id != ClientID || secret != Secret {
		return fmt.Errorf("wrong secret of client %q", id)
	}
	return nil
}

// SetUserinfoFromRequest fills an ID token.
func (p *Provider) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, request op.IDTokenRequest, scopes []string) error {
	if p.InToken {
		p.addGroups(info, request.GetSubject())
	}
	return p.Storage.SetUserinfoFromRequest(ctx, info, request, scopes)
}

// SetUserinfoFromToken fills the user information.
func (p *Provider) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, token, subject, origin string) error {
	p.addGroups(info, subject)
	return p.Storage.SetUserinfoFromToken(ctx, info, token, subject, origin)
}

func (p *Provider) addGroups(info *oidc.UserInfo, subject string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if groups := p.users[subject].Groups; groups != nil {
		info.AppendClaims("groups", groups)
	}
}

// client is Kiosc as the provider knows it.
type client struct {
	*storage.Client
	inToken bool
}

func (c client) IDTokenUserinfoClaimsAssertion() bool { return c.inToken }
func (c client) LoginURL(id string) string            { return "/login?id=" + id }

// users are the provider's, as the storage asks for them.
type users struct{ p *Provider }

func (s users) GetUserByID(id string) *storage.User {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	u, ok := s.p.users[id]
	if !ok {
		return nil
	}
	return &storage.User{ID: u.ID, Username: u.Name, Password: Password, FirstName: u.First, LastName: u.Last, Email: u.Email, EmailVerified: true}
}

func (s users) GetUserByUsername(name string) *storage.User {
	s.p.mu.Lock()
	var id string
	for _, u := range s.p.users {
		if u.Name == name {
			id = u.ID
		}
	}
	s.p.mu.Unlock()
	return s.GetUserByID(id)
}

func (s users) ExampleClientID() string { return storage.ServiceUserID }
