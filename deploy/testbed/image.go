package testbed

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Image makes a Docker image of a Go program of this module, which is removed when the test ends.
func Image(t testing.TB, name, program string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "app")
	build := exec.Command("go", "build", "-o", binary, program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "building %s: %s", program, out)
	raw, err := os.ReadFile(binary)
	require.NoError(t, err)
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(raw))}))
	_, err = w.Write(raw)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	load := exec.Command("docker", "import", "--change", `ENTRYPOINT ["/app"]`, "-", name)
	load.Stdin = &files
	out, err = load.CombinedOutput()
	require.NoError(t, err, "importing %s: %s", name, out)
	t.Cleanup(func() { docker(t, "rmi", "-f", name) })
}

// PeakMemory is the most memory that the program has had since its start, in bytes.
func (k *Kiosc) PeakMemory() int64 {
	k.Helper()
	r, running := k.process.current()
	require.True(k, running, "kiosc is not running")
	status, err := os.ReadFile("/proc/" + strconv.Itoa(r.cmd.Process.Pid) + "/status")
	require.NoError(k, err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	require.NoError(k, err)
	return kib << 10
}
