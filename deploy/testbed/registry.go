package testbed

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

// The only login that a Registry takes.
const (
	RegistryUser     = "robot"
	RegistryPassword = "push-and-pull"
)

// Registry is a real Docker registry that asks for a login. Docker takes it without TLS because it is on 127.0.0.1.
type Registry struct {
	testing.TB
	Addr string // host:port, as images name it

	dir     string
	process process
}

const registryConfig = `version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: %[1]s/store}
http:
  addr: %[2]s
  secret: kiosc-test
auth:
  htpasswd: {realm: kiosc-test, path: %[1]s/htpasswd}
`

// StartRegistry starts an empty registry.
func StartRegistry(t testing.TB) *Registry {
	t.Helper()
	r := &Registry{TB: t, Addr: freeAddr(t), dir: t.TempDir()}
	hash, err := bcrypt.GenerateFromPassword([]byte(RegistryPassword), bcrypt.MinCost)
	require.NoError(t, err)
	for name, content := range map[string]string{"htpasswd": RegistryUser + ":" + string(hash) + "\n", "config.yml": fmt.Sprintf(registryConfig, r.dir, r.Addr)} {
		require.NoError(t, os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600))
	}
	r.process = process{t: t, name: "docker-registry", out: filepath.Join(t.TempDir(), "out")}
	t.Cleanup(r.process.kill)
	r.Run()
	return r
}

// Run starts the registry, again if Stop has ended it.
func (r *Registry) Run() {
	r.Helper()
	r.process.start(exec.Command("docker-registry", "serve", filepath.Join(r.dir, "config.yml")))
	r.process.waitFor(func() bool {
		answer, err := http.Get("http://" + r.Addr + "/v2/")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusUnauthorized
	})
}

// Stop ends the registry at once.
func (r *Registry) Stop() { r.process.kill() }

// Push puts a local image into the registry and returns its name there. It is not on the local engine by that name
// afterwards.
func (r *Registry) Push(image string) string {
	r.Helper()
	name := r.Addr + "/" + image
	config := r.TempDir() // a Docker configuration of its own, so that nobody's logins are touched
	with := func(args ...string) {
		cmd := exec.Command("docker", append([]string{"--config", config}, args...)...)
		out, err := cmd.CombinedOutput()
		require.NoError(r, err, "docker %v: %s", args, out)
	}
	with("login", "-u", RegistryUser, "-p", RegistryPassword, r.Addr)
	docker(r.TB, "tag", image, name)
	with("push", name)
	docker(r.TB, "rmi", name)
	r.Cleanup(func() { exec.Command("docker", "rmi", name).Run() })
	return name
}
