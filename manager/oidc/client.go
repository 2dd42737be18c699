package oidc

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"kiosc/cluster/state"
)

const (
	// requestTimeout bounds one request to the provider, exchangeTimeout all that one login needs.
	requestTimeout  = 10 * time.Second
	exchangeTimeout = 20 * time.Second
	// maxAnswer bounds an answer of the provider, in bytes.
	maxAnswer = 1 << 20
	// refreshEvery is how old what the provider says of itself gets, retryEvery how soon it is asked again after a failure.
	refreshEvery = 10 * time.Minute
	retryEvery   = 30 * time.Second
	// failureLife is how long logins hear of a failure instead of asking the provider again.
	failureLife = 3 * time.Second
	// maxExchanges bounds the logins that wait for the provider at a time. The others are told to try again.
	maxExchanges = 64

	wellKnown = "/.well-known/openid-configuration"
)

// Config is what an operator decides.
type Config struct {
	// Issuer is the provider's address, below which its description is. It must be https, but for this machine's.
	Issuer string
	// ClientID and Secret are what the provider knows Kiosc by. The secret may be empty, for what is called a public client.
	ClientID, Secret string
	// UserNameClaim says which claim is the user's name, GroupsClaim which has the groups; "" for none. What a dot leads to
	// is within the claim before it, unless there is a claim of that very name.
	UserNameClaim, GroupsClaim string
	// Scopes are asked for besides openid; nil for profile and email.
	Scopes []string
	// Name is what people call the provider; empty for "Single Sign-On".
	Name string
	// CAFile is a PEM file of certificates to trust besides the system's; empty for none.
	CAFile string
	// Logger gets the causes of failures; nil for slog.Default().
	Logger *slog.Logger
}

// Client talks to one provider. It is safe for use by many goroutines.
type Client struct {
	cfg    Config
	http   *http.Client
	logger *slog.Logger
	slots  chan struct{}

	asking chan struct{} // has one element, which the goroutine holds that asks the provider to describe itself
	mu     sync.Mutex
	known  *provider // nil before the first answer
	failed time.Time // when the last question failed; zero after an answer
}

// provider is what the provider has said of itself.
type provider struct {
	*oidc.Provider
	issuer   string
	style    oauth2.AuthStyle
	saysIss  bool // it names itself when it sends somebody back
	verifier *oidc.IDTokenVerifier
}

// New makes a Client and asks the provider nothing yet. Its errors are mistakes in the settings.
func New(cfg Config) (*Client, error) {
	cfg.Issuer = strings.TrimSuffix(cfg.Issuer, wellKnown)
	cfg.Name = cmp.Or(cfg.Name, "Single Sign-On")
	if cfg.Scopes == nil {
		cfg.Scopes = []string{oidc.ScopeProfile, "email"}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	at, err := url.Parse(cfg.Issuer)
	switch {
	case err != nil || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "" || at.Scheme != "https" && at.Scheme != "http":
		return nil, fmt.Errorf("the address of the OpenID provider %q is none such as https://login.example.org/realms/main", cfg.Issuer)
	case at.Scheme == "http" && !isLocal(at.Hostname()):
		return nil, fmt.Errorf("the address of the OpenID provider %s is not https, so that others could log in as anybody", cfg.Issuer)
	case cfg.ClientID == "":
		return nil, errors.New("the OpenID provider needs a client id, by which it knows Kiosc")
	case cfg.UserNameClaim == "":
		return nil, errors.New("the OpenID provider needs the name of the claim that has the user's name")
	}
	roots, err := trusted(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	transport.MaxConnsPerHost = maxExchanges
	return &Client{cfg: cfg, logger: cfg.Logger.With("provider", cfg.Issuer), slots: make(chan struct{}, maxExchanges),
		asking: make(chan struct{}, 1), http: &http.Client{Transport: bounded{transport}, Timeout: requestTimeout,
			// The secret and the code go where the provider's description says, and nowhere else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// trusted are the certificates that a provider's may come from; nil for the system's.
func trusted(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the certificates that the OpenID provider's may come from: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the file %s has no certificate in PEM form", file)
	}
	return pool, nil
}

// bounded cuts answers off at maxAnswer. A server that says it has failed has given no answer.
type bounded struct{ *http.Transport }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= 500 {
		answer.Body.Close()
		return nil, fmt.Errorf("it answers %s", answer.Status)
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	return answer, nil
}

// Name is what people call the provider.
func (c *Client) Name() string { return c.cfg.Name }

// Run keeps what is known of the provider fresh, until ctx ends. A provider that is down is no error; the log says so
// once, and once when it is back.
func (c *Client) Run(ctx context.Context) error {
	defer c.http.CloseIdleConnections()
	down := false
	for {
		wait, err := refreshEvery, c.refresh(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			wait = retryEvery
			if !down {
				c.logger.Warn("the OpenID provider can't be asked what it is; logins there fail until it can", "error", clip(err.Error()))
			}
		case down:
			c.logger.Info("the OpenID provider answers again")
		}
		down = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// refresh asks the provider to describe itself. What was known before stays where it fails.
func (c *Client) refresh(ctx context.Context) error {
	p, err := c.discover(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed = time.Now()
		return err
	}
	c.known, c.failed = p, time.Time{}
	return nil
}

// provider is what is known of the provider, which is asked where nothing is. Of those who come together one asks.
func (c *Client) provider(ctx context.Context) (*provider, error) {
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		return nil, c.unreachable()
	}
	c.mu.Lock()
	known, failed := c.known, c.failed
	c.mu.Unlock()
	switch {
	case known != nil:
		return known, nil
	case time.Since(failed) < failureLife:
		return nil, c.unreachable()
	}
	if err := c.refresh(ctx); err != nil {
		c.logger.Warn("a login has failed: the OpenID provider can't be asked what it is", "error", clip(err.Error()))
		return nil, c.unreachable()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known, nil
}

func (c *Client) discover(ctx context.Context) (*provider, error) {
	ctx = oidc.ClientContext(ctx, c.http)
	issuer := c.cfg.Issuer
	found, err := oidc.NewProvider(ctx, issuer)
	var other *oidc.IssuerMismatchError
	if errors.As(err, &other) && strings.TrimSuffix(other.Discovered, "/") == strings.TrimSuffix(issuer, "/") {
		// Some have a slash at the end and some don't, which nobody can know.
		issuer = other.Discovered
		found, err = oidc.NewProvider(ctx, issuer)
	}
	if err != nil {
		return nil, err
	}
	var more struct {
		Keys    string   `json:"jwks_uri"`
		Signed  []string `json:"id_token_signing_alg_values_supported"`
		Methods []string `json:"token_endpoint_auth_methods_supported"`
		SaysIss bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := found.Claims(&more); err != nil {
		return nil, err
	}
	secure := strings.HasPrefix(issuer, "https:")
	for _, address := range []string{found.Endpoint().AuthURL, found.Endpoint().TokenURL, more.Keys} {
		at, err := url.Parse(address)
		if err != nil || at.Host == "" || at.Scheme != "https" && (secure || at.Scheme != "http") {
			return nil, fmt.Errorf("its description has the address %q, which is of no use", address)
		}
	}
	style := oauth2.AuthStyleInHeader
	if c.cfg.Secret == "" || slices.Contains(more.Methods, "client_secret_post") && !slices.Contains(more.Methods, "client_secret_basic") {
		style = oauth2.AuthStyleInParams
	}
	keys := keySet{oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), c.http), more.Keys)}
	return &provider{Provider: found, issuer: issuer, style: style, saysIss: more.SaysIss, verifier: oidc.NewVerifier(issuer, keys,
		&oidc.Config{ClientID: c.cfg.ClientID, SupportedSigningAlgs: slices.DeleteFunc(more.Signed, isNoSignature),
			Now: func() time.Time { return time.Now().Add(-maxSkew) }})}, nil
}

// isNoSignature tells whether an algorithm is none that only the provider can sign with.
func isNoSignature(algorithm string) bool {
	return !slices.Contains([]string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384,
		oidc.PS512, oidc.EdDSA}, algorithm)
}

// keySet are the provider's keys. Where they could not be had it says so to who has put a place for the error into the
// context, because the verifier around it keeps the text alone.
type keySet struct{ oidc.KeySet }

type keysMissing struct{}

func (k keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, token)
	if missing, ok := ctx.Value(keysMissing{}).(*bool); ok && unanswered(ctx, err) {
		*missing = true
	}
	return payload, err
}

// unanswered tells whether an error is of the network and not of what came over it.
func unanswered(ctx context.Context, err error) bool {
	var request *url.Error
	return err != nil && (ctx.Err() != nil || errors.As(err, &request))
}

func (c *Client) unreachable() error {
	return state.Errorf(state.Unavailable, c.cfg.Name+" can't be reached at the moment. Try again later. Who has a password of Kiosc's own can log in with that.")
}
