package proxy

import (
	"net"
	"net/http"
	"strings"
)

const tokenPrefix = "kiosc_"

var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
}

// overreaching are response fields that would act on all of Kiosc's origin
// and not on one app: what browsers store and do for it, which scope workers
// get, and where they send reports about it.
var overreaching = []string{
	"Clear-Site-Data", "Service-Worker-Allowed", "Strict-Transport-Security", "Alt-Svc",
	"Public-Key-Pins", "Public-Key-Pins-Report-Only", "Nel", "Report-To",
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

func dropHopByHop(h http.Header) {
	for _, v := range h["Connection"] {
		for part := range strings.SplitSeq(v, ",") {
			h.Del(strings.Trim(part, " \t"))
		}
	}
	for _, name := range hopByHop {
		h.Del(name)
	}
}

// isUntrusted finds fields by which apps learn who the user is and where the
// request came from. Underscores count as dashes because CGI and WSGI make
// both the same.
func isUntrusted(name string) bool {
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	switch name {
	case "forwarded", "x-real-ip", "remote-user", "x-remote-user":
		return true
	}
	return strings.HasPrefix(name, "x-forwarded-")
}

// credentials reads what the request shows of its sender.
func (s *Server) credentials(h http.Header) Credentials {
	who := Credentials{Session: s.session(h)}
	for _, line := range h["Authorization"] {
		if token := kioscToken(line); token != "" {
			who.Token = token
			break
		}
	}
	return who
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

// backendHeader makes the header an app gets.
func (s *Server) backendHeader(c *client, req *request, t Target, prefix string) http.Header {
	h := req.header.Clone()
	trailers := hasToken(h, "Te", "trailers")
	announced := h["Trailer"]
	upgrade := req.upgrade()
	dropHopByHop(h)
	for name := range h {
		if isUntrusted(name) {
			delete(h, name)
		}
	}
	s.filterCookies(h)
	h["Authorization"] = filter(h["Authorization"], func(v string) bool { return kioscToken(v) == "" })
	if upgrade != "" {
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", upgrade)
	}
	if trailers {
		h.Set("Te", "trailers")
	}
	if req.length == chunked && len(announced) > 0 {
		h["Trailer"] = announced
	}
	h.Set("X-Forwarded-User", oneLine(t.User))
	h.Set("X-Forwarded-Prefix", prefix)
	h.Set("X-Forwarded-Proto", c.scheme())
	if req.host != "" {
		h.Set("X-Forwarded-Host", req.host)
	}
	h.Set("X-Forwarded-For", c.address())
	return h
}

func (c *client) scheme() string {
	if c.tls {
		return "https"
	}
	return "http"
}

func (c *client) address() string {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		return c.RemoteAddr().String()
	}
	return host
}

func oneLine(v string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, v)
}

func filter(values []string, keep func(string) bool) []string {
	var kept []string
	for _, v := range values {
		if keep(v) {
			kept = append(kept, v)
		}
	}
	return kept
}

// clientHeader makes the header a browser gets from an app's.
func (s *Server) clientHeader(h http.Header, host, prefix string) http.Header {
	h = h.Clone()
	dropHopByHop(h)
	h.Del("Content-Length")
	for name := range h {
		// net/http takes "Set-Cookie :" for a name of its own, some clients
		// do not.
		if !isToken(name) {
			delete(h, name)
		}
	}
	for _, name := range overreaching {
		h.Del(name)
	}
	var cookies []string
	for _, v := range h["Set-Cookie"] {
		if v = s.scopeCookie(v, prefix); v != "" {
			cookies = append(cookies, v)
		}
	}
	delete(h, "Set-Cookie")
	if cookies != nil {
		h["Set-Cookie"] = cookies
	}
	for _, name := range []string{"Location", "Content-Location"} {
		for i, v := range h[name] {
			h[name][i] = scopeURL(v, host, prefix)
		}
	}
	for i, v := range h["Refresh"] {
		h["Refresh"][i] = scopeRefresh(v, host, prefix)
	}
	return h
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

// isForeign tells whether another site's page opens this WebSocket.
func (r *request) isForeign() bool {
	for _, origin := range r.header["Origin"] {
		scheme, host, _ := strings.Cut(origin, "//")
		if !sameHost(host, r.host, strings.ToLower(scheme)) {
			return true
		}
	}
	return false
}
