package proxy

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// ParseProxies reads addresses and prefixes such as 10.1.2.3 and 10.0.0.0/8.
func ParseProxies(list []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, text := range list {
		text = strings.TrimSpace(text)
		prefix, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("the trusted proxy %q is no address such as 10.1.2.3 and no prefix such as 10.0.0.0/8", text)
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	return prefixes, nil
}

// trusts tells whether a proxy at this address may say who its clients are.
func (s *Server) trusts(addr netip.Addr) bool {
	for _, prefix := range s.cfg.TrustedProxies {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// peer is the address at the other end of a connection, and whether it is that
// of a trusted proxy.
func (s *Server) peer(conn net.Conn) (address string, trusted bool) {
	at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return conn.RemoteAddr().String(), false
	}
	addr := at.Addr().Unmap()
	return addr.String(), s.trusts(addr.WithZone(""))
}

// locate finds out where the request came from and under which scheme and
// host its sender reached Kiosc: from the connection, and from what a trusted
// proxy in front says. What anybody else says of it is not looked at.
func (s *Server) locate(c *client, req *request) {
	req.scheme, req.address = "http", c.address
	if c.tls {
		req.scheme = "https"
	}
	if !c.trusted {
		return
	}
	switch proto := firstOf(req.header["X-Forwarded-Proto"]); {
	case strings.EqualFold(proto, "https"):
		req.scheme = "https"
	case strings.EqualFold(proto, "http"):
		req.scheme = "http"
	}
	if host := firstOf(req.header["X-Forwarded-Host"]); isHost(host) {
		req.host = host
	}
	if addr := s.clientAddr(req.header); addr.IsValid() {
		req.address = addr.String()
	}
}

// clientAddr is the last address in X-Forwarded-For that is no trusted proxy:
// whatever stands before it, the client may have written itself.
func (s *Server) clientAddr(h http.Header) (found netip.Addr) {
	lines := h["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			var last string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, last = rest[:comma], rest[comma+1:]
			} else {
				last, more = rest, false
			}
			addr, ok := hopAddr(strings.Trim(last, " \t"))
			if !ok {
				return found
			}
			found = addr
			if !s.trusts(addr) {
				return found
			}
		}
	}
	return found
}

// hopAddr reads an address which some proxies write with a port.
func hopAddr(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		at, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = at.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

// firstOf is the first value of a field that lists one for each proxy passed.
func firstOf(values []string) string {
	if len(values) == 0 {
		return ""
	}
	first, _, _ := strings.Cut(values[0], ",")
	return strings.Trim(first, " \t")
}
