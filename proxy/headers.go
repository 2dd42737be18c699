package proxy

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

const tokenPrefix = "kiosc_"

var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
}

// overreaching are response fields that would act on all of Kiosc's origin
// and not on one app.
var overreaching = []string{
	"Clear-Site-Data", "Service-Worker-Allowed", "Strict-Transport-Security", "Alt-Svc",
	"Public-Key-Pins", "Public-Key-Pins-Report-Only",
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

// isReserved finds Kiosc's own cookies.
func (s *Server) isReserved(cookie string) bool {
	if s.cfg.SessionCookie != "" && cookie == s.cfg.SessionCookie {
		return true
	}
	name := strings.ToLower(cookie)
	name = strings.TrimPrefix(strings.TrimPrefix(name, "__host-"), "__secure-")
	return strings.HasPrefix(name, tokenPrefix)
}

// credentials reads what the request shows of its sender.
func (s *Server) credentials(h http.Header) Credentials {
	var who Credentials
	for _, line := range h["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			name, value, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			if who.Session == "" && s.cfg.SessionCookie != "" && name == s.cfg.SessionCookie {
				who.Session = value
			}
		}
	}
	for _, line := range h["Authorization"] {
		if token := kioscToken(line); token != "" {
			who.Token = token
			break
		}
	}
	return who
}

func kioscToken(authorization string) string {
	scheme, token, _ := strings.Cut(authorization, " ")
	token = strings.Trim(token, " \t")
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
	h.Set("Connection", "close")
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
	h.Set("X-Forwarded-Host", req.host)
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

// filterCookies takes Kiosc's cookies out and leaves the others as they are.
func (s *Server) filterCookies(h http.Header) {
	var lines []string
	for _, line := range h["Cookie"] {
		pairs := strings.Split(line, ";")
		kept := filter(pairs, func(pair string) bool {
			name, _, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			return !s.isReserved(strings.Trim(name, " \t"))
		})
		if rest := strings.Trim(strings.Join(kept, ";"), " \t"); rest != "" {
			lines = append(lines, rest)
		}
	}
	delete(h, "Cookie")
	if len(lines) > 0 {
		h["Cookie"] = lines
	}
}

// clientHeader makes the header a browser gets from an app's.
func (s *Server) clientHeader(h http.Header, host, prefix string) http.Header {
	h = h.Clone()
	dropHopByHop(h)
	h.Del("Content-Length")
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

// scopeCookie confines a cookie to its app. It drops Kiosc's own names, and
// __Host- cookies as well: browsers take those with Path=/ only, where every
// other app would see them.
func (s *Server) scopeCookie(cookie, prefix string) string {
	parts := strings.Split(cookie, ";")
	name, _, _ := strings.Cut(parts[0], "=")
	name = strings.Trim(name, " \t")
	if s.isReserved(name) || strings.HasPrefix(strings.ToLower(name), "__host-") {
		return ""
	}
	if name == "" {
		// Browsers read "=__Host-a=b" and "__Host-a" as a nameless cookie; it
		// is of no use to an app and could stand for a reserved name.
		return ""
	}
	path := "/"
	kept := parts[:1]
	for _, part := range parts[1:] {
		key, value, _ := strings.Cut(part, "=")
		switch strings.ToLower(strings.Trim(key, " \t")) {
		case "domain":
		case "path":
			path = strings.Trim(value, " \t")
		default:
			kept = append(kept, part)
		}
	}
	if !strings.HasPrefix(path, "/") {
		path = "/"
	}
	return strings.Join(kept, ";") + "; Path=" + scopePath(path, prefix)
}

// scopePath puts an absolute path under the prefix unless it is there.
func scopePath(path, prefix string) string {
	if rest, ok := strings.CutPrefix(path, prefix); ok && (rest == "" || strings.ContainsRune("/?#", rune(rest[0]))) {
		return path
	}
	return prefix + path
}

func scopeURL(v, host, prefix string) string {
	if strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "//") {
		return scopePath(v, prefix)
	}
	u, err := url.Parse(v)
	if err != nil || !strings.EqualFold(u.Host, host) || u.Host == "" {
		return v
	}
	if u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
		return v
	}
	start := strings.Index(v, "//") + 2
	end := strings.IndexAny(v[start:], "/?#")
	if end < 0 {
		return v + prefix + "/"
	}
	rest := v[start+end:]
	if rest[0] != '/' {
		rest = "/" + rest
	}
	return v[:start+end] + scopePath(rest, prefix)
}

func scopeRefresh(v, host, prefix string) string {
	i := strings.Index(strings.ToLower(v), "url=")
	if i < 0 {
		return v
	}
	i += len("url=")
	if i < len(v) && (v[i] == '"' || v[i] == '\'') {
		i++
	}
	return v[:i] + scopeURL(v[i:], host, prefix)
}

// isForeign tells whether another site's page opens this WebSocket. Browsers
// send cookies along with such requests and do not ask first.
func (r *request) isForeign() bool {
	for _, origin := range r.header["Origin"] {
		u, err := url.Parse(origin)
		if err != nil || !strings.EqualFold(u.Host, r.host) {
			return true
		}
	}
	return false
}
