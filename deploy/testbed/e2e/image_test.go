//go:build e2e

package e2e_test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

// composed is what deploy/docker/compose.yaml makes, on the local Docker Engine.
type composed struct {
	*testing.T
	image, name, etc string
}

func (c *composed) command(args ...string) *exec.Cmd { return c.with("compose.yaml", args...) }

// with is a command on one of the files.
func (c *composed) with(file string, args ...string) *exec.Cmd {
	cmd := exec.Command("docker-compose", append([]string{"-p", c.name, "-f", "../../docker/" + file}, args...)...)
	cmd.Env = append(os.Environ(), "KIOSC_IMAGE="+c.image, "KIOSC_ETC="+c.etc)
	return cmd
}

func (c *composed) run(args ...string) {
	c.Helper()
	out, err := c.command(args...).CombinedOutput()
	require.NoError(c, err, "%v: %s", args, out)
}

// id is that of a service's Docker container.
func (c *composed) id(service string) string {
	c.Helper()
	return docker(c.T, "ps", "-q", "--no-trunc", "--filter", "label=com.docker.compose.project="+c.name, "--filter", "label=com.docker.compose.service="+service)
}

// kiosc runs a command where the manager runs.
func (c *composed) kiosc(args ...string) string {
	c.Helper()
	return docker(c.T, append([]string{"exec", c.id("manager"), "kiosc"}, args...)...)
}

func (c *composed) configure(service string, settings ...string) {
	c.Helper()
	require.NoError(c, os.WriteFile(filepath.Join(c.etc, service+".env"), []byte(strings.Join(settings, "\n")+"\n"), 0o600))
}

// buildImage makes an image of the program, which is gone when the test ends.
func buildImage(t *testing.T, image string) {
	t.Helper()
	out, err := exec.Command("../../docker/build", image, program(t)).CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() {
		out, err := exec.Command("docker", "rmi", "-f", image).CombinedOutput()
		require.NoError(t, err, "%s", out)
	})
}

func compose(t *testing.T, image string) *composed {
	t.Helper()
	c := &composed{T: t, image: image, name: "kiosc-e2e-" + uuid.NewString()[:8], etc: t.TempDir()}
	c.configure("manager")
	c.configure("agent")
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := c.command("logs", "--no-color").CombinedOutput()
			t.Logf("the services wrote:\n%s", out)
		}
		c.run("down", "--volumes", "--timeout", "20")
	})
	return c
}

// freePort is one of 127.0.0.1.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// docker runs a docker command on the local engine and returns what it prints.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("docker", args...)
	var messages strings.Builder
	cmd.Stderr = &messages
	out, err := cmd.Output()
	require.NoError(t, err, "docker %v: %s", args, messages.String())
	return strings.TrimSpace(string(out))
}

// TestComposeRunsAManagerAndAnAgent builds the image and has docker-compose run it as deploy/docker/compose.yaml says: an app is started and
// served, kept from its host, and is still there after all services were made anew.
func TestComposeRunsAManagerAndAnAgent(t *testing.T) {
	image := "kiosc-e2e/kiosc:" + uuid.NewString()[:8]
	buildImage(t, image)
	s := compose(t, image)
	out, err := s.with("compose.agent.yaml", "config", "--quiet").CombinedOutput()
	require.NoError(t, err, "an agent's own file: %s", out)
	web, nodes := freePort(t), freePort(t)
	s.configure("manager", "KIOSC_BOOTSTRAP=true", "KIOSC_ADMIN_PASSWORD="+testbed.Password, "KIOSC_LISTEN="+web, "KIOSC_CLUSTER_LISTEN="+nodes,
		"KIOSC_NAME=m1", "KIOSC_DOCKER_ACTION_MIN_DELAY=0", "TZ=Asia/Kathmandu")
	s.run("up", "--detach", "manager")
	c := &testbed.Client{TB: t, Addr: web}
	c.Wait(moment, "the manager serves", c.Ready)
	c.Token = s.kiosc("token", "create", "--user", "admin")
	s.configure("agent", "KIOSC_NAME=host-1", "KIOSC_JOIN="+nodes, "KIOSC_JOIN_TOKEN="+s.kiosc("join-token", "agent"))
	s.run("up", "--detach")

	id := c.Create("app", nil)
	t.Cleanup(func() {
		clusters := docker(t, "ps", "-a", "--filter", "label=kiosc.container="+id, "--format", `{{.Label "kiosc.cluster"}}`)
		for _, cluster := range strings.Fields(clusters) {
			testbed.ClearDocker(t, "kiosc.cluster="+cluster)
		}
	})
	c.Act("start", id)
	c.WaitState(moment, id, "running")
	answers := func() bool {
		status, _, err := c.Try(5*time.Second, http.MethodGet, "/containers/proxy/"+id+"/", nil)
		return err == nil && status == http.StatusOK
	}
	c.Wait(moment, "the app answers", answers)
	shown := s.kiosc("node", "inspect", "host-1")
	require.Contains(t, shown, "docker-shared")
	require.NotContains(t, shown, "Apps can reach")

	s.allowsNothingElse()
	var hosts []struct {
		Containers []struct{ ID, Kinship string }
	}
	c.Get("/containers/api/docker", &hosts)
	require.Len(t, hosts, 1)
	kinship := make(map[string]string)
	for _, other := range hosts[0].Containers {
		kinship[other.ID] = other.Kinship
	}
	const role = `{{index .Config.Labels "org.kiosc.role"}}`
	require.Equal(t, "manager", docker(t, "image", "inspect", "-f", role, image))
	for _, service := range []string{"manager", "agent"} {
		require.Equal(t, service, docker(t, "inspect", "-f", role, s.id(service)))
		require.Equal(t, "self", kinship[s.id(service)], "the admin page marks the %s", service)
	}
	out, err = exec.Command("docker", "logs", s.id("manager")).CombinedOutput()
	require.NoError(t, err)
	require.Contains(t, string(out), "+05:45 ", "the program knows time zones")
	require.Contains(t, docker(t, "run", "--rm", "--entrypoint", "/usr/local/bin/kiosc", image, "version"), "kiosc ")

	s.run("up", "--detach", "--force-recreate")
	c.Wait(moment, "the app answers again", answers)
	s.restoresABackup(nodes)
	require.NotEmpty(t, docker(t, "ps", "-q", "--filter", "label=kiosc.container="+id), "apps go on")
	s.run("up", "--detach")
	c.Wait(moment, "the app answers after all data of the manager was lost", answers)
}

// restoresABackup makes one, loses the manager's data, and restores it, by the commands of docs/cluster.md.
func (c *composed) restoresABackup(nodes string) {
	c.Helper()
	const file, secret = "kiosc.backup", "/etc/kiosc/passphrase"
	require.NoError(c, os.WriteFile(filepath.Join(c.etc, "passphrase"), []byte("a long passphrase of the test\n"), 0o600))
	for path, mode := range map[string]os.FileMode{c.etc: 0o755, filepath.Join(c.etc, "passphrase"): 0o644} {
		require.NoError(c, os.Chmod(path, mode)) // for the manager's user, as below
	}
	c.kiosc("backup", "/var/lib/kiosc/"+file, "--passphrase-file", secret)
	dir := c.TempDir()
	docker(c.T, "cp", c.id("manager")+":/var/lib/kiosc/"+file, dir)
	c.run("down", "--timeout", "20")
	docker(c.T, "volume", "rm", c.name+"_manager")
	require.NoError(c, os.Chmod(filepath.Join(dir, file), 0o644))
	c.run("run", "--rm", "-v", filepath.Join(dir, file)+":/"+file+":ro", "manager", "restore", "/"+file, "--passphrase-file", secret, "--advertise", nodes)
}

// allowsNothingElse looks at what the kernel lets the services do.
func (c *composed) allowsNothingElse() {
	c.Helper()
	for service, want := range map[string][2]string{"manager": {"10001", "0000000000000000"}, "agent": {"0", "0000000000001000"}} { // CAP_NET_ADMIN
		pid := docker(c.T, "inspect", "-f", "{{.State.Pid}}", c.id(service))
		raw, err := os.ReadFile("/proc/" + pid + "/status")
		require.NoError(c, err)
		got := make(map[string]string)
		for line := range strings.Lines(string(raw)) {
			name, value, _ := strings.Cut(line, ":")
			got[name] = strings.TrimSpace(value)
		}
		require.Equal(c, want[0], strings.Fields(got["Uid"])[0], service)
		require.Equal(c, want[1], got["CapEff"], service)
		require.Equal(c, "1", got["NoNewPrivs"], service)
	}
}
