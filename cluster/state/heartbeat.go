package state

import (
	"net/url"
	"strconv"
	"strings"
)

// Heartbeat is the path, with its query, at which a container's own port is asked whether the app answers. ok is false
// where there is nothing to ask, and where the heartbeat URL leads elsewhere, which is never asked.
func (s *Spec) Heartbeat() (path string, ok bool) {
	text := strings.TrimSpace(s.HeartbeatURL)
	u, err := url.Parse(text)
	if text == "" || err != nil || u.User != nil || strings.HasPrefix(text, "//") || strings.ContainsAny(text, "\r\n\t ") {
		return "", false
	}
	if u.Scheme != "" || u.Host != "" {
		own := u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1"
		if u.Scheme != "http" || !own || u.Port() != "" && u.Port() != strconv.Itoa(s.Port) {
			return "", false
		}
	}
	u = &url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
	if !strings.HasPrefix(u.Path, "/") {
		u.Path = "/" + u.Path
		if u.RawPath != "" {
			u.RawPath = "/" + u.RawPath
		}
	}
	return u.RequestURI(), true
}
