package testbed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Root is the name of the machine that the test itself runs on.
const Root = "root"

const (
	// machinesNet and machinesRun are the networks and directories of as many test processes as may have machines at the
	// same time. The script's own defaults are not among them: a test leaves alone what somebody has brought up by hand.
	machinesNet = "10.214.%d.0/24"
	machinesRun = "kiosc-hosts-test-%d"
	firstSet    = 10
	sets        = 10

	hostsLimit  = 3 * time.Minute // with packages to install
	dockerLimit = time.Minute
)

// KillMode says how a machine ends.
type KillMode string

// What Kill kills.
const (
	KillAll     KillMode = ""          // every process; the address still answers, with refusals
	PowerOff    KillMode = "--power"   // every process, and nobody hears of it
	DockerdOnly KillMode = "--dockerd" // only dockerd; the containers go on
)

// Machines are the Docker hosts d1, d2, … and the plain machines p1, p2, … of one test. The script hosts beside this file
// makes them, and says what they are.
type Machines struct {
	testing.TB
	script  string
	env     []string
	sockets map[string]string // by name; empty without Docker
	ips     map[string]string

	mu  sync.Mutex
	off map[string]bool
}

// findHosts says where the script is.
var findHosts = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "kiosc/deploy/testbed").Output()
	return filepath.Join(strings.TrimSpace(string(out)), "hosts"), err
})

// Up brings up fresh machines and removes them when the test ends. Machines of other tests don't disturb it, also not
// those of other processes.
func Up(t testing.TB, docker, plain int) *Machines {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces and Docker Engines: run it as root")
	}
	script, err := findHosts()
	require.NoError(t, err)
	m := &Machines{TB: t, script: script, sockets: map[string]string{}, ips: map[string]string{}, off: map[string]bool{}}
	m.choose()
	t.Cleanup(m.Down)
	m.Down() // what a test has left that was killed
	for _, line := range strings.Split(m.hosts("up", "--docker", fmt.Sprint(docker), "--plain", fmt.Sprint(plain)), "\n") {
		var name, ip, socket string
		if _, err := fmt.Sscan(line, &name, &ip, &socket); err == nil {
			m.ips[name], m.sockets[name] = ip, strings.TrimPrefix(socket, "-")
			m.ips[Root] = ip[:strings.LastIndex(ip, ".")] + ".1"
		}
	}
	require.Len(t, m.sockets, docker+plain)
	return m
}

// choose takes a network and a directory that no other test has. The lock is the kernel's, which ends it with this
// process, however that ends.
func (m *Machines) choose() {
	m.Helper()
	for n := firstSet; n < firstSet+sets; n++ {
		run := filepath.Join(os.TempDir(), fmt.Sprintf(machinesRun, n))
		lock, err := os.OpenFile(run+".lock", os.O_CREATE|os.O_RDWR, 0o600)
		require.NoError(m, err)
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			lock.Close()
			continue
		}
		m.Cleanup(func() { lock.Close() })
		m.env = append(os.Environ(), "KIOSC_TESTBED_RUN="+run, "KIOSC_TESTBED_NET="+fmt.Sprintf(machinesNet, n))
		return
	}
	m.Fatalf("%d other tests have machines up", sets)
}

// hosts runs the script and returns what it prints.
func (m *Machines) hosts(args ...string) string {
	m.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hostsLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, m.script, args...)
	cmd.Env = m.env
	var messages strings.Builder
	cmd.Stderr = &messages
	out, err := cmd.Output()
	require.NoError(m, err, "hosts %v: %s", args, messages.String())
	return string(out)
}

// Down ends and removes all machines. The end of the test does so too.
func (m *Machines) Down() {
	m.Helper()
	m.hosts("down")
}

// Cut parts a machine from all others, silently.
func (m *Machines) Cut(name string) { m.Helper(); m.hosts("cut", name) }

// Heal ends Cut.
func (m *Machines) Heal(name string) { m.Helper(); m.hosts("heal", name) }

// Block parts two machines from one another only, silently. One of them may be Root.
func (m *Machines) Block(a, b string) { m.Helper(); m.hosts("block", a, b) }

// Unblock ends Block.
func (m *Machines) Unblock(a, b string) { m.Helper(); m.hosts("unblock", a, b) }

// Delay makes every packet to or from a machine arrive so much later, and loses some percent of them. Zeroes end it.
func (m *Machines) Delay(name string, delay time.Duration, lossPercent float64) {
	m.Helper()
	if delay == 0 && lossPercent == 0 {
		m.hosts("delay", name, "none")
		return
	}
	m.hosts("delay", name, "--delay", delay.String(), "--loss", fmt.Sprintf("%g%%", lossPercent))
}

// Kill ends a machine's processes without warning.
func (m *Machines) Kill(name string, mode KillMode) {
	m.Helper()
	m.setOff(name, true)
	if mode == KillAll {
		m.hosts("kill", name)
		return
	}
	m.hosts("kill", string(mode), name)
}

// Restart starts a killed machine again, with its data. What Command had started in it is not.
func (m *Machines) Restart(name string) {
	m.Helper()
	m.hosts("start", name)
	m.setOff(name, false)
}

func (m *Machines) setOff(name string, off bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.off[name] = off
}

// isOff tells whether a machine's engine doesn't answer because Kill ended it.
func (m *Machines) isOff(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.off[name]
}

// Command is a program to be run as a process of the machine. Its process is the program itself, so signals reach it.
func (m *Machines) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(m.script, append([]string{"exec", name}, args...)...)
	cmd.Env = m.env
	return cmd
}

// IP is a machine's address, also Root's.
func (m *Machines) IP(name string) string { return m.ips[name] }

// Socket is where a Docker host's engine listens. It can be used from anywhere on this machine, also after Cut.
func (m *Machines) Socket(name string) string { return m.sockets[name] }

// Docker runs a docker command on a Docker host's engine and returns what it prints.
func (m *Machines) Docker(name string, args ...string) string {
	m.Helper()
	require.NotEmpty(m, m.Socket(name), "%s has no Docker", name)
	ctx, cancel := context.WithTimeout(context.Background(), dockerLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", append([]string{"-H", "unix://" + m.Socket(name)}, args...)...)
	var messages strings.Builder
	cmd.Stderr = &messages
	out, err := cmd.Output()
	require.NoError(m, err, "docker %v on %s: %s", args, name, messages.String())
	return strings.TrimSpace(string(out))
}
