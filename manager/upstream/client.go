package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"kiosc/cluster/state"
)

// Source is a site that is asked.
type Source struct {
	// URL is the site's address, such as https://sodar.example.org.
	URL    string
	Secret string
	// CAs may have signed the site's certificate; nil for those of the system.
	CAs *x509.CertPool
	// AllowPlain lets the secret go over the network without TLS.
	AllowPlain bool
	// Timeout bounds one request with its answer; 0 for two minutes.
	Timeout time.Duration
}

// Time limits of the parts of a request. The upstream site makes the whole answer before it begins to send it.
const (
	defaultTimeout = 2 * time.Minute
	connectTimeout = 10 * time.Second
	headTimeout    = time.Minute
	maxRedirects   = 3
)

// CheckURL refuses an address that can't be, or to which the secret would go readable for everybody.
func CheckURL(text string, allowPlain bool) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, state.Errorf(state.Invalid, "The address of the upstream site is one such as https://sodar.example.org.")
	}
	if u.Scheme == "http" && !allowPlain && !loopback(u.Hostname()) {
		return nil, state.Errorf(state.Invalid, "The secret would go over the network without TLS. Give the upstream site's https:// address, or, if that is what you want, set KIOSC_UPSTREAM_ALLOW_PLAIN=true.")
	}
	return u, nil
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}

// errVersion says that the site doesn't answer in the version asked for.
var errVersion = errors.New("the version is not spoken")

// Fetch asks for an answer, in the newest version that the site speaks. The error is a sentence for people; log is called with
// its cause, which has no secret in it.
func (s Source) Fetch(ctx context.Context, log func(cause string)) ([]byte, error) {
	base, err := CheckURL(s.URL, s.AllowPlain)
	if err != nil {
		return nil, err
	}
	timeout := s.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	client := s.client()
	defer client.CloseIdleConnections()
	for _, version := range Versions {
		bounded, cancel := context.WithTimeout(ctx, timeout)
		raw, err := s.ask(bounded, client, base, version)
		cancel()
		var known *state.Error
		switch {
		case err == nil:
			return raw, nil
		case errors.Is(err, errVersion):
			continue
		case errors.As(err, &known):
			return nil, known
		}
		log(s.redact(cause(err).Error()))
		return nil, explain(base.Hostname(), err)
	}
	return nil, state.Errorf(state.Conflict, "The upstream site speaks none of the versions "+strings.Join(Versions, ", ")+" of the remote project API.")
}

func (s Source) client() *http.Client {
	return &http.Client{
		CheckRedirect: sameSite,
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSClientConfig:       &tls.Config{RootCAs: s.CAs, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:   connectTimeout,
			ResponseHeaderTimeout: headTimeout,
			ForceAttemptHTTP2:     true,
		},
	}
}

// errElsewhere refuses to hand the secret to whom it isn't for.
var errElsewhere = state.Errorf(state.Conflict, "The upstream site redirects to another address, which is not given the secret. Set the address that it redirects to if that is right.")

// sameSite lets a redirect through to the same host, and from HTTP to HTTPS.
func sameSite(next *http.Request, before []*http.Request) error {
	first := before[0].URL
	same := next.URL.Host == first.Host && (next.URL.Scheme == first.Scheme || next.URL.Scheme == "https") ||
		next.URL.Hostname() == first.Hostname() && first.Scheme == "http" && next.URL.Scheme == "https"
	if !same || len(before) > maxRedirects {
		return errElsewhere
	}
	return nil
}

func (s Source) ask(ctx context.Context, client *http.Client, base *url.URL, version string) ([]byte, error) {
	address := base.JoinPath(Path, url.PathEscape(s.Secret))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", ContentType(version))
	request.Header.Set("User-Agent", "kiosc")
	request.Header.Set(extension, extensionValue)
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if err := statusFault(response.StatusCode); err != nil {
		return nil, err
	}
	if response.ContentLength > MaxAnswer {
		return nil, errBroken("it has more than %d MiB", MaxAnswer>>20)
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, MaxAnswer+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errBroken("it is cut off")
	case err != nil:
		return nil, err
	case len(raw) > MaxAnswer:
		return nil, errBroken("it has more than %d MiB", MaxAnswer>>20)
	}
	return raw, nil
}

func statusFault(status int) error {
	switch {
	case status == http.StatusOK:
		return nil
	case status == http.StatusNotAcceptable:
		return errVersion
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return state.Errorf(state.Conflict, "The upstream site does not know the secret. Set the one that it has for this site.")
	case status == http.StatusNotFound:
		return state.Errorf(state.Conflict, "Nothing answers at the upstream site's address with SODAR's remote project API. Set the site's address, without a path behind it.")
	}
	return state.Errorf(state.Unavailable, fmt.Sprintf("The upstream site answered with the status %d. Nothing was changed; the next sync tries again.", status))
}

// cause takes off what has the whole address, and the secret with it.
func cause(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// redact takes the secret out of a text, in whatever form it is there.
func (s Source) redact(text string) string {
	for _, form := range []string{s.Secret, url.PathEscape(s.Secret), url.QueryEscape(s.Secret)} {
		if form != "" {
			text = strings.ReplaceAll(text, form, "<secret>")
		}
	}
	return text
}

// explain is a sentence for people.
func explain(host string, err error) error {
	var timeout net.Error
	var certificate *tls.CertificateVerificationError
	var name *net.DNSError
	what := "can't be reached"
	switch {
	case errors.As(err, &certificate):
		what = "shows a TLS certificate that can't be trusted; set KIOSC_UPSTREAM_CA_FILE if it is of a CA of its own"
	case errors.As(err, &name):
		what = "is not found: its name can't be resolved"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		what = "did not answer in time"
	}
	return state.Errorf(state.Unavailable, "The upstream site "+cut(host, 253)+" "+what+". Nothing was changed; the next sync tries again.")
}
