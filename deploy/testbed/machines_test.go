package testbed_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

// silence is how long nothing must be heard.
const silence = 500 * time.Millisecond

// reach tries to connect from one machine to a closed port of another: "refused" is how they reach one another,
// "silent" how they don't.
func reach(t *testing.T, m *testbed.Machines, from, to string) string {
	t.Helper()
	args := []string{"timeout", fmt.Sprint(silence.Seconds()), "bash", "-c", "echo >/dev/tcp/" + m.IP(to) + "/9"}
	cmd := exec.Command(args[0], args[1:]...)
	if from != testbed.Root {
		cmd = m.Command(from, args...)
	}
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	switch {
	case strings.Contains(string(out), "Connection refused"):
		return "refused"
	case cmd.ProcessState.ExitCode() == 124 && len(out) == 0:
		return "silent"
	}
	return string(out)
}

// echo is a connection between this machine and one whose program sends back what it gets.
type echo struct {
	t       *testing.T
	conn    net.Conn
	program *exec.Cmd
}

func newEcho(t *testing.T, m *testbed.Machines, name string) *echo {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(m.IP(testbed.Root), "0"))
	require.NoError(t, err)
	defer listener.Close()
	at := strings.Replace(listener.Addr().String(), ":", "/", 1)
	program := m.Command(name, "bash", "-c", "exec 3<>/dev/tcp/"+at+"; cat <&3 >&3")
	require.NoError(t, program.Start())
	conn, err := listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return &echo{t, conn, program}
}

func (e *echo) send() {
	e.t.Helper()
	_, err := e.conn.Write([]byte("x"))
	require.NoError(e.t, err)
}

func (e *echo) heard(limit time.Duration) bool {
	e.t.Helper()
	require.NoError(e.t, e.conn.SetReadDeadline(time.Now().Add(limit)))
	_, err := e.conn.Read(make([]byte, 1))
	if err != nil {
		require.ErrorIs(e.t, err, os.ErrDeadlineExceeded)
	}
	return err == nil
}

func TestMachinesAreMachinesOfTheirOwn(t *testing.T) {
	m := testbed.Up(t, 2, 1)
	for _, name := range []string{"d1", "d2", "p1"} {
		out, err := m.Command(name, "hostname").Output()
		require.NoError(t, err)
		require.Equal(t, name+"\n", string(out))
	}
	require.NotEqual(t, m.Docker("d1", "info", "-f", "{{.ID}}"), m.Docker("d2", "info", "-f", "{{.ID}}"))
	out, err := m.Command("d2", "docker", "info", "-f", "{{.Name}}").Output()
	require.NoError(t, err)
	require.Equal(t, "d2\n", string(out), "the engine that a command finds is its machine's")
	for _, pair := range [][2]string{{"root", "d1"}, {"root", "p1"}, {"p1", "d1"}, {"d2", "p1"}, {"d1", "d2"}} {
		require.Equal(t, "refused", reach(t, m, pair[0], pair[1]), "%v", pair)
	}
}

func TestACutMachineIsSilent(t *testing.T) {
	m := testbed.Up(t, 2, 1)
	e := newEcho(t, m, "d1")
	e.send()
	require.True(t, e.heard(soon))
	m.Cut("d1")
	e.send()
	require.False(t, e.heard(silence), "open connections hang")
	for _, pair := range [][2]string{{"root", "d1"}, {"p1", "d1"}, {"d1", "d2"}} {
		require.Equal(t, "silent", reach(t, m, pair[0], pair[1]), "%v", pair)
	}
	require.Equal(t, "refused", reach(t, m, "p1", "d2"))
	m.Heal("d1")
	require.True(t, e.heard(soon), "what was sent meanwhile arrives")
	require.Equal(t, "refused", reach(t, m, "root", "d1"))
	require.Equal(t, "refused", reach(t, m, "d1", "d2"))
}

func TestABlockPartsOnePairOnly(t *testing.T) {
	m := testbed.Up(t, 2, 1)
	e := newEcho(t, m, "d1")
	m.Block(testbed.Root, "d1")
	e.send()
	require.False(t, e.heard(silence), "open connections hang")
	require.Equal(t, "silent", reach(t, m, "root", "d1"))
	require.Equal(t, "refused", reach(t, m, "p1", "d1"))
	m.Block("p1", "d1")
	require.Equal(t, "silent", reach(t, m, "p1", "d1"))
	require.Equal(t, "silent", reach(t, m, "d1", "p1"))
	require.Equal(t, "refused", reach(t, m, "d2", "d1"))
	require.Equal(t, "refused", reach(t, m, "d2", "p1"))
	m.Unblock("d1", testbed.Root)
	require.True(t, e.heard(soon), "what was sent meanwhile arrives")
	m.Unblock("p1", "d1")
	require.Equal(t, "refused", reach(t, m, "p1", "d1"))
}

func TestASlowCable(t *testing.T) {
	m := testbed.Up(t, 2, 0)
	const delay = 100 * time.Millisecond
	e := newEcho(t, m, "d1")
	trip := func() time.Duration {
		begun := time.Now()
		e.send()
		require.True(t, e.heard(soon))
		return time.Since(begun)
	}
	require.Less(t, trip(), 2*delay)
	m.Delay("d1", delay, 0)
	require.GreaterOrEqual(t, trip(), 2*delay)
	m.Cut("d1")
	require.Equal(t, "silent", reach(t, m, "d2", "d1"))
	m.Heal("d1")
	require.GreaterOrEqual(t, trip(), 2*delay, "still slow after a cut")
	m.Delay("d1", 0, 100)
	require.Equal(t, "silent", reach(t, m, "d2", "d1"))
	m.Delay("d1", 0, 0)
	require.Less(t, trip(), 2*delay)
}

func TestKilledMachinesStartAgain(t *testing.T) {
	m := testbed.Up(t, 2, 1)
	e := newEcho(t, m, "d1")
	m.Docker("d1", "volume", "create", "kept")
	m.Kill("d1", testbed.DockerdOnly)
	require.Error(t, exec.Command("docker", "-H", "unix://"+m.Socket("d1"), "version").Run())
	e.send()
	require.True(t, e.heard(soon), "nothing else ends")
	m.Restart("d1")
	require.Equal(t, "kept", m.Docker("d1", "volume", "ls", "-q"))

	m.Kill("d1", testbed.KillAll)
	require.Error(t, e.program.Wait())
	require.Equal(t, "refused", reach(t, m, "root", "d1"))
	require.Error(t, m.Command("d1", "true").Run(), "nothing runs on a machine that is off")
	require.NotEmpty(t, m.Docker("d2", "version"))
	m.Restart("d1")
	require.Equal(t, "kept", m.Docker("d1", "volume", "ls", "-q"))

	for _, name := range []string{"d1", "p1"} {
		m.Kill(name, testbed.PowerOff)
		require.Equal(t, "silent", reach(t, m, "root", name))
		m.Restart(name)
		require.Equal(t, "refused", reach(t, m, "root", name))
	}
}

func TestMachinesLeaveNothing(t *testing.T) {
	m := testbed.Up(t, 1, 1)
	k := m.Command("d1", "sleep", "1000")
	require.NoError(t, k.Start())
	m.Delay("d1", time.Millisecond, 0)
	run, tag := filepath.Dir(filepath.Dir(m.Socket("d1"))), strings.ReplaceAll(strings.TrimSuffix(m.IP(testbed.Root), ".1"), ".", "-")
	m.Down()
	require.Error(t, k.Wait())
	for _, files := range []string{run, "/run/netns/kiosc-" + tag + "-*", "/sys/fs/cgroup/kiosc-" + tag, "/sys/fs/cgroup/*/kiosc-" + tag, "/sys/class/net/k" + tag} {
		left, err := filepath.Glob(files)
		require.NoError(t, err)
		require.Empty(t, left)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(t, err)
	require.NotContains(t, string(mounts), run)
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range processes {
		command, _ := os.ReadFile(file) // it may have ended meanwhile
		require.NotContains(t, string(command), run)
	}
}
