package proxy

import "time"

// Limit replaces the grace period of a stop and the number of connections.
func (s *Server) Limit(grace time.Duration, conns int) {
	s.grace, s.slots = grace, make(chan struct{}, conns)
}

// Stall replaces how long a client may take nothing.
func (s *Server) Stall(limit time.Duration) { s.stall = limit }

// ScopeCookie and ScopeURL let fuzz targets reach the rules for responses.
func ScopeCookie(v, prefix string) string {
	return New(Config{SessionCookie: "kiosc_session"}).scopeCookie(v, prefix)
}

func ScopeURL(v, host, prefix string) string { return scopeURL(v, host, prefix) }

// ParseHead lets the fuzz target compare the strict check with net/http.
func ParseHead(raw []byte) (method, host string, length int64, err error) {
	r, err := parseHead(raw)
	if err != nil {
		return "", "", 0, err
	}
	return r.method, r.host, r.length, nil
}
