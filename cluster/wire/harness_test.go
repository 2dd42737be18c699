package wire

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/mux"
	"kiosc/cluster/pki"
)

const (
	// patience is how long a test waits for what must happen.
	patience  = 20 * time.Second
	clusterID = "6a3c1d52-0000-4000-8000-000000000001"
)

func newCA(t *testing.T) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA(clusterID, time.Now())
	require.NoError(t, err)
	return ca
}

func identity(t *testing.T, ca *pki.CA, role pki.Role, node string) *pki.Credentials {
	t.Helper()
	id, err := pki.NewIdentity(ca, role, node, clusterID, time.Now(), 0)
	require.NoError(t, err)
	return pki.NewCredentials(id)
}

// noLeaks fails the test if goroutines are left when all later cleanups have run.
func noLeaks(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		// The timers of deadlines end on their own.
		if !waitFor(func() bool { return runtime.NumGoroutine() <= before }) {
			buf := make([]byte, 1<<20)
			t.Errorf("%d goroutines before the test, %d after:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		}
	})
}

func waitFor(ok func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if ok() {
			return true
		}
	}
	return false
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// serve runs a listener with the given handlers until the end of the test.
func serve(t *testing.T, id *pki.Credentials, handlers map[string]Handler) *Listener {
	t.Helper()
	l, err := Listen("127.0.0.1:0", id, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	for alpn, h := range handlers {
		l.Handle(alpn, h)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return l
}

// link is a session between an agent and a manager, with the raw connections below.
type link struct {
	agent, manager       *Session
	agentTCP, managerTCP net.Conn
}

func newLink(t *testing.T) link { return newLinkWith(t, func(*mux.Config) {}) }

func newLinkWith(t *testing.T, change func(*mux.Config)) (l link) {
	t.Helper()
	noLeaks(t)
	ca := newCA(t)
	manager, agent := identity(t, ca, pki.RoleManager, "m1"), identity(t, ca, pki.RoleAgent, "a1")
	port, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer port.Close()
	l.agentTCP, err = net.Dial("tcp", port.Addr().String())
	require.NoError(t, err)
	l.managerTCP, err = port.Accept()
	require.NoError(t, err)

	config := sessionConfig()
	change(&config)
	accepted := make(chan error, 1)
	go func() {
		conn := tls.Server(&gatherConn{Conn: l.managerTCP}, manager.ServerConfig([]string{ALPNAgent}))
		err := conn.Handshake()
		if err == nil {
			l.manager, err = newSession(conn, mux.Server, config)
		}
		accepted <- err
	}()
	l.agent, err = newSession(tls.Client(&gatherConn{Conn: l.agentTCP}, agent.ClientConfig(ALPNAgent)), mux.Client, config)
	require.NoError(t, err)
	require.NoError(t, <-accepted)
	t.Cleanup(func() {
		l.agent.Close()
		l.manager.Close()
	})
	return l
}

// pair opens a proxy stream from the manager and accepts it at the agent.
func (l link) pair(t *testing.T) (manager, agent *Stream) {
	t.Helper()
	manager, err := l.manager.Open(limited(t), Proxy, ProxyHeader{Container: "c", DockerID: "d", Port: 80})
	require.NoError(t, err)
	_, _, agent, err = l.agent.Accept(limited(t))
	require.NoError(t, err)
	return manager, agent
}

// tcpPair is a connection with a backend of the test.
func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	port, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer port.Close()
	a, err := net.Dial("tcp", port.Addr().String())
	require.NoError(t, err)
	b, err := port.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn)
}
