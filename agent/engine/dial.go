package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/docker/go-connections/nat"
)

// refusalWait is how long a connection through Docker's own proxy is watched for a refusal.
const refusalWait = 50 * time.Millisecond

// address is where a port of a Docker container is reached.
type address struct {
	hostPort string
	// proven says that something was seen to listen behind Docker's proxy.
	proven bool
}

// addresses remembers where Docker containers are reached, so that a proxied connection asks Docker nothing.
type addresses struct {
	mu      sync.Mutex
	of      map[string]map[int]address // by Docker id and port
	forgets uint64                     // how often something was forgotten
}

// get also returns what put wants to know.
func (a *addresses) get(dockerID string, port int) (found address, forgets uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.of[dockerID][port], a.forgets
}

// put does nothing if something was forgotten since the get: the address may be of before that.
func (a *addresses) put(dockerID string, port int, at address, forgets uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if forgets != a.forgets {
		return
	}
	if a.of == nil {
		a.of = make(map[string]map[int]address)
	}
	if a.of[dockerID] == nil {
		a.of[dockerID] = make(map[int]address)
	}
	a.of[dockerID][port] = at
}

func (a *addresses) forget(dockerID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forgets++
	delete(a.of, dockerID)
}

func (a *addresses) forgetAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forgets++
	clear(a.of)
}

// Dial connects to a TCP port of a running Docker container of this cluster.
func (e *Engine) Dial(ctx context.Context, dockerID string, port int) (net.Conn, error) {
	at, forgets := e.addresses.get(dockerID, port)
	remembered := at.hostPort != ""
	if !remembered {
		var err error
		if at.hostPort, err = e.address(ctx, dockerID, port); err != nil {
			return nil, err
		}
	}
	conn, err := e.connectTo(ctx, &at)
	if err == nil {
		e.addresses.put(dockerID, port, at, forgets)
		return conn, nil
	}
	e.addresses.forget(dockerID)
	if remembered && ctx.Err() == nil {
		return e.Dial(ctx, dockerID, port) // what was remembered may be out of date; Docker knows
	}
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, ErrRefused) {
		return nil, ErrRefused
	}
	return nil, fmt.Errorf("connecting to the container's port %d: %w", port, err)
}

// connectTo connects. A published port always accepts: Docker's proxy listens there, and closes the connection at once
// if nothing listens in the container. So the first connection is watched for that.
func (e *Engine) connectTo(ctx context.Context, at *address) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", at.hostPort)
	if err != nil {
		return nil, err
	}
	if e.mode == ModeHost && !at.proven {
		if closedAtOnce(conn) {
			conn.Close()
			return nil, ErrRefused
		}
		at.proven = true
	}
	return conn, nil
}

// closedAtOnce looks at the first byte without taking it.
func closedAtOnce(conn net.Conn) (closed bool) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	tcp.SetReadDeadline(time.Now().Add(refusalWait))
	defer tcp.SetReadDeadline(time.Time{})
	raw.Read(func(fd uintptr) bool {
		var first [1]byte
		n, _, err := syscall.Recvfrom(int(fd), first[:], syscall.MSG_PEEK)
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR) {
			return false
		}
		closed = err != nil || n == 0
		return true
	})
	return closed
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
		ip, _ := e.reachedAt(info)
		if ip == "" {
			return "", fmt.Errorf("the Docker container has no address in the network %s", e.networkName(info.Config.Labels[labelProject]))
		}
		return net.JoinHostPort(ip, strconv.Itoa(port)), nil
	}
	if info.NetworkSettings != nil {
		for _, b := range info.NetworkSettings.Ports[nat.Port(strconv.Itoa(port)+"/tcp")] {
			return net.JoinHostPort("127.0.0.1", b.HostPort), nil
		}
	}
	return "", fmt.Errorf("port %d of the container is not published on its Docker host; start the container again", port)
}
