package proxy

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// AppHosts are the hosts of apps: each has one of its own below a domain, and
// with it a browser origin that it shares with nobody. The host's name begins
// with the container's id without its dashes.
type AppHosts struct {
	site   string // address of Kiosc's own pages, without a path
	scheme string
	domain string // in lower case
	port   string // with its colon, or empty
	prefix string // of the names of cookies
}

const (
	// handOverPath is taken from every app's own paths.
	handOverPath = "/.kiosc/open"
	// OpenPath is where Kiosc's own pages hand a visitor over, followed by the
	// container's id.
	OpenPath = Prefix + "open/"

	appCookie     = tokenPrefix + "app"
	browserCookie = tokenPrefix + "browser"
	// browserLife is how long a visitor may take to log in.
	browserLife = time.Hour
	// redeemTimeout covers the election of a leader.
	redeemTimeout = 10 * time.Second
	// maxDeepLink is the length of a target, in bytes, that is remembered
	// while the visitor logs in. Escaped twice it has to fit in an address.
	maxDeepLink = 1024
)

// Redeemer exchanges the code with which a visitor comes from Kiosc's own
// pages for the value of the app's cookie, which counts for life. A code
// counts once, for one container, and in the browser which it was made for.
// Refusals are a *Denial, as a Gate's are.
type Redeemer interface {
	Redeem(ctx context.Context, code, containerID, browser string) (cookie string, life time.Duration, err error)
}

// ParseSite reads the address of Kiosc's own pages.
func ParseSite(text string) (*url.URL, error) {
	site, err := url.Parse(text)
	if err != nil || site.Scheme != "http" && site.Scheme != "https" || site.Hostname() == "" || site.User != nil ||
		strings.Trim(site.Path, "/") != "" || site.RawQuery != "" || site.Fragment != "" {
		return nil, fmt.Errorf("the address %q is none such as https://kiosc.example.org", text)
	}
	return &url.URL{Scheme: site.Scheme, Host: strings.ToLower(site.Host)}, nil
}

// CookiePrefix is what names of cookies begin with where it does: what begins
// so is refused by browsers if another host of the same domain sets it.
func CookiePrefix(site *url.URL) string {
	if site != nil && site.Scheme == "https" {
		return "__Host-"
	}
	return ""
}

// NewAppHosts are hosts below a domain such as apps.example.org, under the
// scheme and the port of the site. The site must not be among them.
func NewAppHosts(site *url.URL, domain string) (*AppHosts, error) {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	if !isDomain(domain) {
		return nil, fmt.Errorf("the domain of apps %q is no name such as apps.example.org", domain)
	}
	a := &AppHosts{site: site.String(), scheme: site.Scheme, domain: domain, prefix: CookiePrefix(site)}
	if site.Port() != "" {
		a.port = ":" + site.Port()
	}
	if _, ours := a.lookUp(site.Host); ours {
		return nil, fmt.Errorf("the address %s of Kiosc itself must not be at or below the domain of apps %s, which could then set its cookies", a.site, domain)
	}
	return a, nil
}

func isDomain(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return len(name) <= 200
}

// URL is the address of an app at its own host; target is a path with its
// query.
func (a *AppHosts) URL(container, target string) string {
	return a.scheme + "://" + strings.ReplaceAll(container, "-", "") + "." + a.domain + a.port + target
}

// HandOverURL is where the app's host takes a code. The visitor goes on to
// next there, which is a path with its query.
func (a *AppHosts) HandOverURL(container, code, next string) string {
	return a.URL(container, handOverPath+"?code="+code+"&next="+url.QueryEscape(next))
}

// Sources are all hosts of apps, as a Content-Security-Policy names them.
func (a *AppHosts) Sources() string { return a.scheme + "://*." + a.domain + a.port }

// lookUp tells whether a host is at or below the domain of apps and, if it may
// be an app's, which container's.
func (a *AppHosts) lookUp(host string) (id string, ours bool) {
	if a == nil {
		return "", false
	}
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 {
		host = host[:colon]
	}
	host = strings.TrimSuffix(host, ".")
	label := len(host) - len(a.domain) - 1
	switch {
	case label < -1 || !strings.EqualFold(host[label+1:], a.domain):
		return "", false
	case label == -1:
		return "", true
	case host[label] != '.':
		return "", false
	}
	return containerOf(strings.ToLower(host[:label])), true
}

func containerOf(label string) string {
	if len(label) != 32 {
		return ""
	}
	id := label[:8] + "-" + label[8:12] + "-" + label[12:16] + "-" + label[16:20] + "-" + label[20:]
	if !isUUID(id) {
		return ""
	}
	return id
}

// cookie is a Set-Cookie value for the host alone.
func (a *AppHosts) cookie(name, value string, life time.Duration) string {
	line := a.prefix + name + "=" + value + "; Path=/; Max-Age=" + strconv.Itoa(int(life.Seconds())) + "; HttpOnly; SameSite=Lax"
	if a.scheme == "https" {
		line += "; Secure"
	}
	return line
}

// serveAppHost answers one request to an app's own host, or to one that is no
// app's.
func (s *Server) serveAppHost(c *client, req *request, b body, id string) bool {
	if id == "" {
		return s.answer(c, req, b, failure(req, http.StatusNotFound, "There is no app at this address."))
	}
	who := Credentials{App: cookieValue(req.header, s.cfg.Apps.prefix+appCookie), Token: token(req.header)}
	if path, query, _ := strings.Cut(req.target, "?"); path == handOverPath {
		return s.answer(c, req, b, s.endHandOver(c, req, id, who, query))
	}
	if who.App != "" && who.Token == "" && req.isForeignToApp() {
		return s.answer(c, req, b, foreign(req))
	}
	return s.serveAt(c, req, b, place{id: id, rest: req.target}, who)
}

// beginHandOver sends the visitor to Kiosc's own pages, to come back with a
// code. A cookie makes sure that this browser is the one that comes back:
// nobody can make others open an app in their name, or take a code away.
func (s *Server) beginHandOver(req *request, id string) *answer {
	next := req.target
	if len(next) > maxDeepLink {
		next = "/"
	}
	browser := cookieValue(req.header, s.cfg.Apps.prefix+browserCookie)
	if len(browser) != browserSize || strings.Trim(browser, browserText) != "" {
		browser = rand.Text()
	}
	a := redirect(http.StatusFound, s.cfg.Apps.site+OpenPath+id+"?browser="+browserHash(browser)+"&next="+url.QueryEscape(next))
	a.header.Add("Set-Cookie", s.cfg.Apps.cookie(browserCookie, browser, browserLife))
	return a
}

// What rand.Text returns.
const (
	browserSize = 26
	browserText = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

func browserHash(browser string) string {
	sum := sha256.Sum256([]byte(browser))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// endHandOver takes a code, sets the app's cookie and leads on to the address
// without the code.
func (s *Server) endHandOver(c *client, req *request, id string, who Credentials, query string) *answer {
	if req.method != http.MethodGet {
		return failure(req, http.StatusMethodNotAllowed, "This address only opens an app.")
	}
	values, _ := url.ParseQuery(query)
	next := values.Get("next")
	if !isTarget(next) {
		next = "/"
	}
	next = s.cfg.Apps.URL(id, next)
	ctx, cancel := context.WithTimeout(c.run.ctx, redeemTimeout)
	defer cancel()
	browser := cookieValue(req.header, s.cfg.Apps.prefix+browserCookie)
	cookie, life, err := s.cfg.Redeemer.Redeem(ctx, values.Get("code"), id, browserHash(browser))
	if err == nil {
		a := redirect(http.StatusFound, next)
		a.header.Add("Set-Cookie", s.cfg.Apps.cookie(appCookie, cookie, life))
		a.header.Add("Set-Cookie", s.cfg.Apps.cookie(browserCookie, "", 0))
		a.header.Set("Referrer-Policy", "no-referrer")
		return a
	}
	return s.handOverFailed(ctx, id, who, browser, next, err)
}

func (s *Server) handOverFailed(ctx context.Context, id string, who Credentials, browser, next string, err error) *answer {
	// Another tab was faster, or the visitor has gone back to the address.
	if who.App != "" {
		_, gateErr := s.cfg.Gate.Authorize(ctx, Credentials{App: who.App}, id)
		if d := (*Denial)(nil); gateErr == nil || errors.As(gateErr, &d) && d.Kind != NotLoggedIn {
			return redirect(http.StatusFound, next)
		}
	}
	status, text := http.StatusForbidden, ""
	var d *Denial
	switch {
	case !errors.As(err, &d):
		s.log.Error("handing a visitor over to an app failed", "container", id, "error", err)
		status, text = http.StatusInternalServerError, "Something went wrong in Kiosc. Please try again later."
	case d.Kind == NotLoggedIn:
		return redirect(http.StatusFound, next)
	case browser == "":
		text = "Your browser has not kept the cookie of this address. Allow cookies here, then open the app again."
	case d.Kind == Unavailable:
		status, text = http.StatusServiceUnavailable, d.Message
	case d.Kind == NoAccess:
		status, text = http.StatusNotFound, "There is no such app, or you have no access to it."
	default:
		text = d.Message
	}
	a := newAnswer(status)
	a.page("The app was not opened", text, next)
	return a
}
