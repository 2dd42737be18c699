package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"syscall"

	"github.com/docker/go-connections/nat"
)

// addresses remembers where Docker containers are reached, so that a proxied connection asks Docker nothing.
type addresses struct {
	mu sync.Mutex
	of map[string]map[int]string // Docker id, port → address
}

func (a *addresses) get(dockerID string, port int) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.of[dockerID][port]
}

func (a *addresses) put(dockerID string, port int, address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = make(map[string]map[int]string)
	}
	if a.of[dockerID] == nil {
		a.of[dockerID] = make(map[int]string)
	}
	a.of[dockerID][port] = address
}

func (a *addresses) forget(dockerID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.of, dockerID)
}

// Dial connects to a TCP port of a running Docker container of this cluster.
func (e *Engine) Dial(ctx context.Context, dockerID string, port int) (net.Conn, error) {
	address := e.addresses.get(dockerID, port)
	if address == "" {
		var err error
		if address, err = e.address(ctx, dockerID, port); err != nil {
			return nil, err
		}
		e.addresses.put(dockerID, port, address)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err == nil {
		return conn, nil
	}
	e.addresses.forget(dockerID)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrRefused
	}
	return nil, fmt.Errorf("connecting to the container's port %d: %w", port, err)
}

func (e *Engine) address(ctx context.Context, dockerID string, port int) (string, error) {
	info, err := e.inspect(ctx, dockerID)
	if err != nil {
		return "", err
	}
	if !info.State.Running || info.State.Paused {
		return "", ErrNotRunning
	}
	if e.mode == ModeDockerShared {
		ip, _ := reachedAt(info)
		if ip == "" {
			return "", ErrNotRunning
		}
		return net.JoinHostPort(ip, strconv.Itoa(port)), nil
	}
	for _, b := range info.NetworkSettings.Ports[nat.Port(strconv.Itoa(port)+"/tcp")] {
		return net.JoinHostPort("127.0.0.1", b.HostPort), nil
	}
	return "", fmt.Errorf("port %d of the container is not published", port)
}
