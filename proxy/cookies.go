package proxy

import (
	"net/http"
	"strings"
)

// session finds the session cookie; of several the first counts, which is the
// one with the longest path.
func (s *Server) session(h http.Header) string {
	if s.cfg.SessionCookie == "" {
		return ""
	}
	return cookieValue(h, s.cfg.SessionCookie)
}

func cookieValue(h http.Header, want string) string {
	for _, line := range h["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			name, value, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			if name == want && value != "" {
				return value
			}
		}
	}
	return ""
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

// foreignCookies takes Kiosc's cookies out and leaves the others as they are.
func (s *Server) foreignCookies(line string) string {
	kept := make([]byte, 0, len(line))
	for pair := range strings.SplitSeq(line, ";") {
		name, _, _ := strings.Cut(pair, "=")
		if s.isReserved(strings.Trim(name, " \t")) {
			continue
		}
		if len(kept) > 0 {
			kept = append(kept, ';')
		}
		kept = append(kept, pair...)
	}
	return strings.Trim(string(kept), " \t")
}

// scopeCookie confines a cookie to its app. It drops Kiosc's own names, and
// below Prefix __Host- cookies as well: browsers take those with Path=/ only,
// where every other app would see them.
func (s *Server) scopeCookie(cookie, prefix string) string {
	parts := strings.Split(cookie, ";")
	name, _, _ := strings.Cut(parts[0], "=")
	name = strings.Trim(name, " \t")
	if s.isReserved(name) || prefix != "" && strings.HasPrefix(strings.ToLower(name), "__host-") {
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
			if prefix == "" {
				kept = append(kept, part)
			}
		default:
			kept = append(kept, part)
		}
	}
	if prefix == "" {
		return strings.Join(kept, ";")
	}
	if !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, isOddInCookies) {
		path = "/"
	}
	return strings.Join(kept, ";") + "; Path=" + scopePath(path, prefix)
}

// isOddInCookies finds what not every client takes in an attribute (RFC 6265,
// section 4.1.1); some ignore the whole of it then.
func isOddInCookies(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }
