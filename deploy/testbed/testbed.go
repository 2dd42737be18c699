// Package testbed starts the real kiosc program for tests, kills it, and talks to it as its users do.
//
// It owns the processes, data directories and machines of one test and removes them with everything that they made in
// Docker. It reaches into nothing: what a test learns, it learns from the REST API, the proxy, the command line or Docker
// itself.
//
// Start is one process on the local Docker Engine. StartCluster is several managers and Docker hosts, either as processes
// of this machine or on machines of their own, which can be cut off, slowed down and killed: those are Up's.
package testbed

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
)

// Password is the admin's.
const Password = "testbed-password"

// build makes the program once for all tests of a package.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kiosc-testbed-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "kiosc")
	cmd := exec.Command("go", "build", "-trimpath", "-o", binary, "kiosc")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building kiosc: %w\n%s", err, out)
	}
	return binary, nil
})

// Kiosc is one data directory with the program that works in it.
type Kiosc struct {
	Client
	Binary, Dir string

	args    []string
	env     []string
	process process
}

// Start starts kiosc dev on a fresh data directory, with settings such as KIOSC_URL=… besides its usual ones. Everything
// is removed when the test ends.
func Start(t testing.TB, env ...string) *Kiosc {
	t.Helper()
	return start(t, env, "dev")
}

// StartManager starts a manager of a new cluster, without any Docker host.
func StartManager(t testing.TB) *Kiosc {
	t.Helper()
	return start(t, nil, "manager", "--bootstrap", "--cluster-listen", freeAddr(t))
}

func start(t testing.TB, env []string, args ...string) *Kiosc {
	t.Helper()
	binary, err := build()
	require.NoError(t, err)
	k := &Kiosc{Client: Client{TB: t, Addr: freeAddr(t)}, Binary: binary, Dir: t.TempDir(), args: args, env: env}
	k.process = process{t: t, name: "kiosc", out: filepath.Join(t.TempDir(), "out")}
	t.Cleanup(k.clean)
	k.Run()
	k.Token = strings.TrimSpace(k.CLI("token", "create", "--user", "admin"))
	return k
}

func freeAddr(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// Run starts the program and waits until it can serve.
func (k *Kiosc) Run() {
	k.Helper()
	cmd := exec.Command(k.Binary, append(k.args, "--listen", k.Addr, "--data-dir", k.Dir, "--log-level", "debug")...)
	cmd.Env = append(append(os.Environ(), "KIOSC_ADMIN_PASSWORD="+Password, "KIOSC_DOCKER_ACTION_MIN_DELAY=0"), k.env...)
	k.process.start(cmd)
	k.process.waitFor(k.Ready)
}

// LocalAgent is a kiosc agent on the local Docker, as on a Docker host of its own.
type LocalAgent struct {
	k       *Kiosc
	process process
}

// Agent starts one with a join token.
func (k *Kiosc) Agent(token string) *LocalAgent {
	k.Helper()
	a := &LocalAgent{k, process{t: k.TB, name: "the agent", out: filepath.Join(k.TempDir(), "out")}}
	a.process.start(exec.Command(k.Binary, "agent", "--join", k.ClusterAddr(), "--token", token, "--name", "other-host",
		"--data-dir", filepath.Join(k.Dir, "agent")))
	return a
}

// Stop ends it as the service manager does.
func (a *LocalAgent) Stop() {
	a.k.Helper()
	a.process.stop(syscall.SIGTERM)
	if a.k.Failed() {
		a.k.Logf("the agent wrote:\n%s", a.process.tail())
	}
}

// Memory is what it has now, in bytes.
func (a *LocalAgent) Memory() int64 { a.k.Helper(); return a.process.memory("VmRSS:") }

// Memory is what the program has now, in bytes.
func (k *Kiosc) Memory() int64 { k.Helper(); return k.process.memory("VmRSS:") }

// PeakMemory is the most memory that the program has had since its start, in bytes.
func (k *Kiosc) PeakMemory() int64 { k.Helper(); return k.process.memory("VmHWM:") }

// ClusterAddr is where agents reach a manager that StartManager has started.
func (k *Kiosc) ClusterAddr() string { return k.args[len(k.args)-1] }

// Kill ends the program as a power failure would.
func (k *Kiosc) Kill() {
	k.Helper()
	require.True(k, k.process.running(), "kiosc is not running")
	k.process.kill()
}

// Stop ends the program as Ctrl-C does, and returns what it wrote.
func (k *Kiosc) Stop() string {
	k.Helper()
	k.process.stop(os.Interrupt)
	return k.process.output()
}

func (k *Kiosc) clean() {
	k.process.kill()
	if k.Failed() {
		k.Logf("kiosc wrote:\n%s", k.process.tail())
	}
	ClearDocker(k.TB, "kiosc.node="+k.node())
}

// node is the agent's id.
func (k *Kiosc) node() string {
	identity, err := pki.LoadIdentity(filepath.Join(k.Dir, "agent"))
	if err != nil {
		return "none" // it has never joined
	}
	return identity.NodeID
}

// ClearDocker removes the containers, networks and volumes with a label from the local engine.
func ClearDocker(t testing.TB, label string) {
	for _, id := range docker(t, "ps", "-aq", "--filter", "label="+label) {
		docker(t, "rm", "-f", id)
	}
	for _, id := range docker(t, "network", "ls", "-q", "--filter", "label="+label) {
		docker(t, "network", "rm", id)
	}
	for _, name := range docker(t, "volume", "ls", "-q", "--filter", "label="+label) {
		docker(t, "volume", "rm", name)
	}
}

// docker runs a docker command and returns the words that it prints.
func docker(t testing.TB, args ...string) []string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	require.NoError(t, err, "docker %v: %s", args, out)
	return strings.Fields(string(out))
}

// Docker runs a docker command and returns the words that it prints.
func (k *Kiosc) Docker(args ...string) []string {
	k.Helper()
	return docker(k.TB, args...)
}

// Containers are the Docker ids of a container, running or not.
func (k *Kiosc) Containers(id string) []string {
	k.Helper()
	return k.Docker("ps", "-aq", "--no-trunc", "--filter", "label=kiosc.container="+id)
}

// CLI runs a kiosc command against this data directory and returns its standard output.
func (k *Kiosc) CLI(args ...string) string {
	k.Helper()
	cmd := exec.Command(k.Binary, append(args, "--data-dir", k.Dir)...)
	out, err := cmd.Output()
	require.NoError(k, err, "kiosc %v", args)
	return string(out)
}
