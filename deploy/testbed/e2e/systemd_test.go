//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

// units is where the units are, from this directory.
const units = "../../systemd"

// services is a systemd on a Docker host, which has Kiosc's units and no other services.
type services struct {
	*testbed.Machines
	host, dir string
	init      string // its process 1, as this machine counts
}

func startSystemd(t *testing.T, host, program string) *services {
	t.Helper()
	s := &services{Machines: testbed.Up(t, 1, 0), host: host, dir: t.TempDir()}
	script, err := filepath.Abs("../systemd")
	require.NoError(t, err)
	cmd := s.Command(host, script, s.dir, program, s.Socket(host))
	log, err := os.Create(filepath.Join(s.dir, "log"))
	require.NoError(t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the journal:\n%s", s.journal())
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		out, err := exec.Command(script, "--clear", strconv.Itoa(cmd.Process.Pid)).CombinedOutput()
		require.NoError(t, err, "%s", out)
	})
	children := fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid)
	s.wait("systemd runs", func() bool {
		raw, _ := os.ReadFile(children)
		if s.init = strings.TrimSpace(string(raw)); s.init == "" || strings.Contains(s.init, " ") {
			return false
		}
		return s.inside("systemctl", "is-active", "nothing.target").Run() == nil
	})
	return s
}

func (s *services) wait(what string, ok func() bool) {
	s.Helper()
	(&testbed.Client{TB: s.TB}).Wait(moment, what, ok)
}

// inside is a command as root has it on the machine.
func (s *services) inside(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"-t", s.init, "-m", "-u", "-i", "-p", "-C", "-n", "--"}, args...)...)
}

func (s *services) run(args ...string) string {
	s.Helper()
	out, err := s.inside(args...).Output()
	require.NoError(s, err, "%v: %s", args, out)
	return strings.TrimSpace(string(out))
}

func (s *services) journal() string {
	out, _ := os.ReadFile(filepath.Join(s.dir, "etc", "log"))
	return string(out)
}

// configure writes a service's settings.
func (s *services) configure(service string, settings ...string) {
	s.Helper()
	require.NoError(s, os.WriteFile(filepath.Join(s.dir, "etc", service+".env"), []byte(strings.Join(settings, "\n")+"\n"), 0o600))
}

// property is what systemd says of a service.
func (s *services) property(service, name string) string {
	s.Helper()
	return s.run("systemctl", "show", "--value", "--property", name, service)
}

// status is what the kernel says of a service's process.
func (s *services) status(service string) map[string]string {
	s.Helper()
	raw := s.run("cat", "/proc/"+s.property(service, "MainPID")+"/status")
	all := make(map[string]string)
	for line := range strings.Lines(raw) {
		name, value, _ := strings.Cut(line, ":")
		all[name] = strings.TrimSpace(value)
	}
	return all
}

// TestSystemdRunsTheServices has a real systemd run the units as they are, with all that they forbid: a manager at a port below
// 1024 and an agent that starts an app, serves it, and keeps it from the host, neither of them as root.
func TestSystemdRunsTheServices(t *testing.T) {
	const host = "d1"
	s := startSystemd(t, host, program(t))
	ip := s.IP(host)
	s.configure("manager", "KIOSC_BOOTSTRAP=true", "KIOSC_ADMIN_PASSWORD="+testbed.Password, "KIOSC_LISTEN="+ip+":80",
		"KIOSC_CLUSTER_LISTEN="+ip+":7443", "KIOSC_NAME=m1", "KIOSC_DOCKER_ACTION_MIN_DELAY=0")
	s.run("systemctl", "start", "kiosc-manager")
	c := &testbed.Client{TB: t, Addr: ip + ":80"}
	s.wait("the manager serves", c.Ready)
	c.Token = s.run("kiosc", "token", "create", "--user", "admin", "--data-dir", "/var/lib/kiosc")
	s.configure("agent", "KIOSC_NAME=host-1", "KIOSC_JOIN="+ip+":7443",
		"KIOSC_JOIN_TOKEN="+s.run("kiosc", "join-token", "agent", "--data-dir", "/var/lib/kiosc"))
	s.run("systemctl", "start", "kiosc-agent")

	id := c.Create("app", nil)
	c.Act("start", id)
	c.WaitState(moment, id, "running")
	answers := func() bool {
		status, _, err := c.Try(5*time.Second, http.MethodGet, "/containers/proxy/"+id+"/", nil)
		return err == nil && status == http.StatusOK
	}
	s.wait("the app answers", answers)
	require.Contains(t, s.run("iptables", "-w", "5", "-t", "mangle", "-S"), "KIOSC-", "the agent may change the packet filter")
	require.NotContains(t, s.run("kiosc", "node", "inspect", "host-1", "--data-dir", "/var/lib/kiosc"), "Apps can reach")

	for service, capability := range map[string]uint{"kiosc-manager": 10, "kiosc-agent": 12} { // CAP_NET_BIND_SERVICE, CAP_NET_ADMIN
		status := s.status(service)
		only := fmt.Sprintf("%016x", 1<<capability)
		require.Equal(t, []string{only, only, only}, []string{status["CapEff"], status["CapBnd"], status["CapAmb"]}, service)
		require.Equal(t, "1", status["NoNewPrivs"], service)
		require.Equal(t, "2", status["Seccomp"], service)
		require.NotContains(t, strings.Fields(status["Uid"]), "0", service)
		require.Equal(t, "700", s.run("stat", "-c", "%a", "/var/lib/"+s.property(service, "StateDirectory")))
	}

	// A crash is made good, and both stop in time while the app is used; it goes on.
	s.run("systemctl", "kill", "--signal", "KILL", "kiosc-agent")
	s.wait("the agent was started again", func() bool { return s.property("kiosc-agent", "NRestarts") == "1" && answers() })
	for _, service := range []string{"kiosc-agent", "kiosc-manager"} {
		s.run("systemctl", "stop", service)
		require.Equal(t, "success", s.property(service, "Result"), service)
	}
	s.run("systemctl", "start", "kiosc-manager", "kiosc-agent")
	s.wait("the app answers again", answers)

	// What can't be read is not tried again.
	s.run("systemctl", "stop", "kiosc-agent")
	s.configure("agent", "KIOSC_APP_ACCESS=192.0.2.7", "KIOSC_LABEL=bad")
	require.NoError(t, s.inside("systemctl", "start", "kiosc-agent").Run())
	s.wait("the agent has failed", func() bool { return s.property("kiosc-agent", "ActiveState") == "failed" })
}

// TestTheUnitsAreGood has systemd check the units: that it knows every setting, and how much they leave open.
func TestTheUnitsAreGood(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(units, "*.service"))
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		// The program needn't be installed here.
		text = regexp.MustCompile(`(?m)^ExecStart=\S+`).ReplaceAll(text, []byte("ExecStart=/bin/true"))
		copied := filepath.Join(t.TempDir(), filepath.Base(file))
		require.NoError(t, os.WriteFile(copied, text, 0o600))
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", copied).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.NotContains(t, string(out), filepath.Base(file))
		out, err = exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=20", copied).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

// program is where the program is that make build has left.
func program(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../../bin/kiosc")
	require.NoError(t, err)
	require.FileExists(t, path, "make build leaves it")
	return path
}
