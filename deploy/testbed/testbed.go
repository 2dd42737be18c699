// Package testbed starts the real kiosc program for tests, kills it, and talks to it as its users do.
//
// It owns the processes and data directories of one test and removes them with everything that they made in Docker. It
// reaches into nothing: what a test learns, it learns from the REST API, the proxy or Docker itself.
package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
)

// Password is the admin's.
const Password = "testbed-password"

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 20 * time.Second
	pollEvery    = 50 * time.Millisecond
)

// build makes the program once for all tests of a package.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kiosc-testbed-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "kiosc")
	cmd := exec.Command("go", "build", "-o", binary, "kiosc")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building kiosc: %w\n%s", err, out)
	}
	return binary, nil
})

// Kiosc is one data directory with the program that works in it.
type Kiosc struct {
	testing.TB
	Binary, Dir, Addr string
	Token             string

	args []string
	cmd  *exec.Cmd
	out  *bytes.Buffer
}

// Start starts kiosc dev on a fresh data directory. Everything is removed when the test ends.
func Start(t testing.TB) *Kiosc {
	t.Helper()
	return start(t, "dev")
}

// StartManager starts a manager of a new cluster, without any Docker host.
func StartManager(t testing.TB) *Kiosc {
	t.Helper()
	return start(t, "manager", "--bootstrap", "--cluster-listen", freeAddr(t))
}

func start(t testing.TB, args ...string) *Kiosc {
	t.Helper()
	binary, err := build()
	require.NoError(t, err)
	k := &Kiosc{TB: t, Binary: binary, Dir: t.TempDir(), Addr: freeAddr(t), args: args}
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
	k.out = new(bytes.Buffer)
	k.cmd = exec.Command(k.Binary, append(k.args, "--listen", k.Addr, "--data-dir", k.Dir, "--log-level", "debug")...)
	k.cmd.Env = append(os.Environ(), "KIOSC_ADMIN_PASSWORD="+Password)
	k.cmd.Stdout, k.cmd.Stderr = k.out, k.out
	require.NoError(k, k.cmd.Start())
	k.Wait(startTimeout, "kiosc is ready", func() bool {
		answer, err := http.Get("http://" + k.Addr + "/readyz")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

// Agent starts kiosc agent on the local Docker with a join token, as on a Docker host of its own. The returned function
// ends it.
func (k *Kiosc) Agent(token string) (stop func()) {
	k.Helper()
	cmd := exec.Command(k.Binary, "agent", "--join", k.ClusterAddr(), "--token", token, "--name", "other-host",
		"--data-dir", filepath.Join(k.Dir, "agent"))
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(k, cmd.Start())
	return func() {
		cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(stopTimeout, func() { cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		if err != nil || k.Failed() {
			k.Errorf("the agent: %v\n%s", err, tail(out.String(), 4000))
		}
	}
}

// Kill ends the program as a power failure would.
func (k *Kiosc) Kill() {
	k.Helper()
	require.NoError(k, k.cmd.Process.Kill())
	k.cmd.Wait()
}

// Stop ends the program as Ctrl-C does, and returns what it wrote.
func (k *Kiosc) Stop() string {
	k.Helper()
	require.NoError(k, k.cmd.Process.Signal(syscall.SIGINT))
	timer := time.AfterFunc(stopTimeout, func() { k.cmd.Process.Kill() })
	err := k.cmd.Wait()
	require.True(k, timer.Stop(), "kiosc did not stop within %s\n%s", stopTimeout, k.out)
	require.NoError(k, err, k.out.String())
	return k.out.String()
}

func (k *Kiosc) clean() {
	if k.cmd != nil && k.cmd.ProcessState == nil {
		k.cmd.Process.Kill()
		k.cmd.Wait()
	}
	if k.Failed() {
		k.Logf("kiosc wrote:\n%s", tail(k.out.String(), 8000))
	}
	for _, id := range k.Docker("ps", "-aq", "--filter", "label=kiosc.node="+k.node()) {
		k.Docker("rm", "-f", id)
	}
	for _, id := range k.Docker("network", "ls", "-q", "--filter", "label=kiosc.node="+k.node()) {
		k.Docker("network", "rm", id)
	}
}

func tail(text string, n int) string { return text[max(0, len(text)-n):] }

// node is the agent's id.
func (k *Kiosc) node() string {
	identity, err := pki.LoadIdentity(filepath.Join(k.Dir, "agent"))
	if err != nil {
		return "none" // it has never joined
	}
	return identity.NodeID
}

// Docker runs a docker command and returns its lines.
func (k *Kiosc) Docker(args ...string) []string {
	k.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	require.NoError(k, err, "docker %v: %s", args, out)
	return strings.Fields(string(out))
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

// Wait polls until ok, and fails after limit.
func (k *Kiosc) Wait(limit time.Duration, what string, ok func() bool) {
	k.Helper()
	require.Eventually(k, ok, limit, pollEvery, what)
}

// Request sends one request with the admin's token and returns the status and the body.
func (k *Kiosc) Request(method, path string, body any) (int, []byte) {
	k.Helper()
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		require.NoError(k, err)
		in = bytes.NewReader(raw)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+k.Addr+path, in)
	require.NoError(k, err)
	request.Header.Set("Authorization", "token "+k.Token)
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(k, err)
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	require.NoError(k, err)
	return answer.StatusCode, raw
}

// Get decodes the JSON answer of a request that must succeed.
func (k *Kiosc) Get(path string, into any) {
	k.Helper()
	status, body := k.Request(http.MethodGet, path, nil)
	require.Equal(k, http.StatusOK, status, string(body))
	require.NoError(k, json.Unmarshal(body, into), string(body))
}

// Project is the id of the demo project.
func (k *Kiosc) Project() string {
	k.Helper()
	var projects []struct {
		UUID string `json:"sodar_uuid"`
	}
	k.Get("/project/api/list", &projects)
	require.Len(k, projects, 1)
	return projects[0].UUID
}

// Container is what the API tells of one.
type Container struct {
	UUID        string `json:"sodar_uuid"`
	Title       string `json:"title"`
	State       string `json:"state"`
	ContainerID string `json:"container_id"`
}

// List returns the containers of the demo project.
func (k *Kiosc) List() []Container {
	k.Helper()
	var page struct{ Results []Container }
	k.Get("/containers/api/"+k.Project(), &page)
	return page.Results
}

// Create makes a container of the demo image that runs with a command.
func (k *Kiosc) Create(title string, fields map[string]any) string {
	k.Helper()
	body := map[string]any{"title": title, "repository": "kiosc/demo", "tag": "1", "container_port": 8080}
	for name, value := range fields {
		body[name] = value
	}
	status, raw := k.Request(http.MethodPost, "/containers/api/create/"+k.Project(), body)
	require.Equal(k, http.StatusCreated, status, string(raw))
	var c Container
	require.NoError(k, json.Unmarshal(raw, &c))
	return c.UUID
}

// Act asks for start or stop.
func (k *Kiosc) Act(action, id string) {
	k.Helper()
	status, raw := k.Request(http.MethodPost, "/containers/api/"+action+"/"+id, nil)
	require.Equal(k, http.StatusOK, status, string(raw))
}

// State is a container's state.
func (k *Kiosc) State(id string) string {
	k.Helper()
	var c Container
	k.Get("/containers/api/detail/"+id, &c)
	return c.State
}

// WaitState waits until the container has the state.
func (k *Kiosc) WaitState(limit time.Duration, id, state string) {
	k.Helper()
	k.Wait(limit, "the container is "+state, func() bool { return k.State(id) == state })
}

// Log is a container's whole log.
func (k *Kiosc) Log(id string) (lines []string) {
	k.Helper()
	var page struct {
		Next  uint64
		Lines []string
	}
	for {
		k.Get(fmt.Sprintf("/containers/api/logs/%s?after=%d", id, page.Next), &page)
		if len(page.Lines) == 0 {
			return lines
		}
		lines = append(lines, page.Lines...)
	}
}

// LogHas tells whether a line of a container's log has the text.
func (k *Kiosc) LogHas(id, text string) bool {
	k.Helper()
	for _, line := range k.Log(id) {
		if strings.Contains(line, text) {
			return true
		}
	}
	return false
}

// ClusterAddr is where agents reach a manager that StartManager has started.
func (k *Kiosc) ClusterAddr() string { return k.args[len(k.args)-1] }
