package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

const (
	// soReusePort is SO_REUSEPORT, which Go's syscall lacks on Linux.
	soReusePort = 0xf
	// inUseTimeout bounds the look whether an address is in use. Nothing but this machine is asked.
	inUseTimeout = time.Second
)

// ListenShared listens on a TCP address in such a way that an agent, which has the port on single addresses, and a manager
// on the same machine, which has the same port on all, don't exclude each other, as long as both run as the same user. The
// kernel gives a connection to who has the single address. What has the very same address excludes, as always.
func ListenShared(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ip, err := netip.ParseAddr(host)
	onAll := host == "" || err == nil && ip.IsUnspecified()
	// One that listens on all addresses is seen here, and one that listens on single ones in the projects' networks isn't.
	answered := port != "0" && answers(net.JoinHostPort("127.0.0.1", port))
	if onAll && answered {
		return nil, fmt.Errorf("listen tcp %s: %w", address, syscall.EADDRINUSE)
	}
	if !onAll {
		plain, err := net.Listen("tcp", address)
		switch {
		case err == nil:
			plain.Close()
		case !errors.Is(err, syscall.EADDRINUSE) || !answered:
			return nil, err
		}
	}
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		controlErr := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1) })
		return errors.Join(controlErr, err)
	}}
	return config.Listen(context.Background(), "tcp", address)
}

func answers(address string) bool {
	conn, err := net.DialTimeout("tcp", address, inUseTimeout)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
