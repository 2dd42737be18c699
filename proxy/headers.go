package proxy

import (
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

const tokenPrefix = "kiosc_"

// isHopByHop finds fields of one connection; names are in canonical form.
func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	}
	return false
}

// isOverreaching finds response fields that would act on all of Kiosc's origin
// or domain and not on one app: what browsers store and do for it, which scope
// workers get, and where they send reports about it.
func isOverreaching(name, prefix string) bool {
	switch name {
	case "Clear-Site-Data", "Strict-Transport-Security", "Alt-Svc",
		"Public-Key-Pins", "Public-Key-Pins-Report-Only", "Nel", "Report-To":
		return true
	case "Service-Worker-Allowed":
		return prefix != ""
	}
	return false
}

// hasToken looks for a word in a comma-separated field.
func hasToken(h http.Header, name, token string) bool {
	for _, v := range h[name] {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.Trim(part, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// connectionNames returns the fields that Connection makes hop-by-hop besides
// those that always are.
func connectionNames(h http.Header) (names []string) {
	for _, v := range h["Connection"] {
		for part := range strings.SplitSeq(v, ",") {
			switch part = strings.Trim(part, " \t"); {
			case strings.EqualFold(part, "keep-alive"), strings.EqualFold(part, "close"), strings.EqualFold(part, "upgrade"):
			default:
				names = append(names, textproto.CanonicalMIMEHeaderKey(part))
			}
		}
	}
	return names
}

// isUntrusted finds fields by which apps learn who the user is and where the
// request came from. Underscores count as dashes because CGI and WSGI make
// both the same.
func isUntrusted(name string) bool {
	for _, known := range []string{"forwarded", "x-real-ip", "remote-user", "x-remote-user"} {
		if len(name) == len(known) && hasCGIPrefix(name, known) {
			return true
		}
	}
	return hasCGIPrefix(name, "x-forwarded-")
}

// hasCGIPrefix compares as CGI sees names; prefix has small letters and dashes.
func hasCGIPrefix(name, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c == '_':
			c = '-'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}

// credentials reads what the request shows of its sender.
func (s *Server) credentials(h http.Header) Credentials {
	return Credentials{Session: s.session(h), Token: token(h)}
}

// token is the API token that the request shows; empty for none.
func token(h http.Header) string {
	for _, line := range h["Authorization"] {
		if token := kioscToken(line); token != "" {
			return token
		}
	}
	return ""
}

// kioscToken returns the token of an Authorization value that carries one.
func kioscToken(authorization string) string {
	end := strings.IndexAny(authorization, " \t")
	if end < 0 {
		return ""
	}
	scheme, token := authorization[:end], strings.Trim(authorization[end:], " \t")
	if !strings.HasPrefix(token, tokenPrefix) {
		return ""
	}
	if strings.EqualFold(scheme, "token") || strings.EqualFold(scheme, "bearer") {
		return token
	}
	return ""
}

// appHead makes the head that the app gets.
func (x *exchange) appHead(b []byte) []byte {
	r := x.req
	b = append(append(append(append(b, r.method...), ' '), x.rest...), " HTTP/1.1\r\n"...)
	b = appendField(b, "Host", r.host)
	named := connectionNames(r.header)
	for name, values := range r.header {
		if isHopByHop(name) || isUntrusted(name) || slices.Contains(named, name) {
			continue
		}
		for _, v := range values {
			switch name {
			case "Cookie":
				v = x.s.foreignCookies(v)
			case "Authorization":
				if kioscToken(v) != "" {
					v = ""
				}
			}
			if v != "" || name != "Cookie" && name != "Authorization" {
				b = appendField(b, name, v)
			}
		}
	}
	if hasToken(r.header, "Te", "trailers") {
		b = appendField(b, "Te", "trailers")
	}
	switch upgrade := r.upgrade(); {
	case upgrade != "":
		b = appendField(appendField(b, "Connection", "Upgrade"), "Upgrade", upgrade)
	case !x.backend.canRest():
		b = appendField(b, "Connection", "close")
	}
	switch {
	case r.length == chunked:
		for _, v := range r.header["Trailer"] {
			b = appendField(b, "Trailer", v)
		}
		b = appendField(b, "Transfer-Encoding", "chunked")
	case r.length > 0 || r.method == http.MethodPost || r.method == http.MethodPut || r.method == http.MethodPatch:
		b = appendField(b, "Content-Length", strconv.FormatInt(r.length, 10))
	}
	b = appendField(b, "X-Forwarded-User", oneLine(x.target.User))
	if x.prefix != "" {
		b = appendField(b, "X-Forwarded-Prefix", x.prefix)
	}
	b = appendField(b, "X-Forwarded-Proto", r.scheme)
	if r.host != "" {
		b = appendField(b, "X-Forwarded-Host", r.host)
	}
	return append(appendField(b, "X-Forwarded-For", r.address), "\r\n"...)
}

func oneLine(v string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, v)
}

// appendForClient adds the fields of an app's header that a browser gets.
func (x *exchange) appendForClient(b []byte, h http.Header) []byte {
	named := connectionNames(h)
	for name, values := range h {
		// net/http takes "Set-Cookie :" for a name of its own, some clients
		// do not.
		if isHopByHop(name) || isOverreaching(name, x.prefix) || name == "Content-Length" || !isToken(name) || slices.Contains(named, name) {
			continue
		}
		for _, v := range values {
			switch name {
			case "Set-Cookie":
				if v = x.s.scopeCookie(v, x.prefix); v == "" {
					continue
				}
			case "Location", "Content-Location":
				v = scopeURL(v, x.req.host, x.prefix)
			case "Refresh":
				v = scopeRefresh(v, x.req.host, x.prefix)
			}
			b = appendField(b, name, v)
		}
	}
	return b
}

// scopePath puts an absolute path under the prefix unless it is there.
func scopePath(path, prefix string) string {
	if rest, ok := strings.CutPrefix(path, prefix); ok && (rest == "" || strings.ContainsRune("/?#", rune(rest[0]))) {
		return path
	}
	return prefix + path
}

// scopeURL puts the prefix into a URL that leads to the host of the request.
// It cuts by hand: apps send URLs that net/url does not take but browsers do.
func scopeURL(v, host, prefix string) string {
	if strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "//") {
		return scopePath(v, prefix)
	}
	scheme, after, ok := strings.Cut(v, "//")
	switch strings.ToLower(scheme) {
	case "", "http:", "https:":
	default:
		return v
	}
	if !ok {
		return v
	}
	end := strings.IndexAny(after, "/?#\\'\"")
	if end < 0 {
		end = len(after)
	}
	authority, rest := after[:end], after[end:]
	if !sameHost(authority[strings.LastIndexByte(authority, '@')+1:], host, strings.ToLower(scheme)) {
		return v
	}
	if !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	return scheme + "//" + authority + scopePath(rest, prefix)
}

// sameHost compares two hosts, of which each may name the scheme's own port.
func sameHost(a, b, scheme string) bool {
	port := map[string]string{"http:": ":80", "https:": ":443"}[scheme]
	return a != "" && strings.EqualFold(strings.TrimSuffix(a, port), strings.TrimSuffix(b, port))
}

// scopeRefresh scopes the URL in a value such as: 5; url='/there'.
func scopeRefresh(v, host, prefix string) string {
	i := strings.IndexAny(v, ";, \t")
	if i < 0 {
		return v
	}
	to := strings.TrimLeft(v[i:], ";, \t")
	if len(to) > 3 && strings.EqualFold(to[:3], "url") {
		if after, ok := strings.CutPrefix(strings.TrimLeft(to[3:], " \t"), "="); ok {
			to = strings.TrimLeft(after, " \t")
		}
	}
	if to != "" && (to[0] == '"' || to[0] == '\'') {
		to = to[1:]
	}
	return v[:len(v)-len(to)] + scopeURL(to, host, prefix)
}

// isForeign tells whether another origin's page makes the browser send this
// request. It is asked about requests that change something and WebSockets,
// to which browsers add cookies whatever page they come from; they never add
// tokens. The other subdomains of a site are the same site for SameSite.
func (r *request) isForeign() bool {
	upgrade := r.header.Get("Upgrade") != ""
	switch r.method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		if !upgrade {
			return false
		}
	}
	if site := r.header.Get("Sec-Fetch-Site"); site != "" {
		return !isOwn(site)
	}
	for _, origin := range r.header["Origin"] {
		if origin == "null" && !upgrade {
			continue // also a form of the app itself, where its pages tell no referrer
		}
		scheme, host, _ := strings.Cut(origin, "//")
		if !sameHost(host, r.host, strings.ToLower(scheme)) {
			return true
		}
	}
	return false
}

// isForeignToApp is the stricter rule at an app's own host: pages of other
// origins may lead there but load nothing from there in the visitor's name.
func (r *request) isForeignToApp() bool {
	if r.isForeign() {
		return true
	}
	site := r.header.Get("Sec-Fetch-Site")
	return site != "" && !isOwn(site) && r.header.Get("Sec-Fetch-Mode") != "navigate"
}

// isOwn tells whether Sec-Fetch-Site names the request's own origin, or nobody
// but the visitor.
func isOwn(site string) bool { return site == "same-origin" || site == "none" }
