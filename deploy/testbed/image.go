package testbed

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Image makes a Docker image whose entrypoint is a Go program of this module. It is removed when the test ends.
func Image(t testing.TB, name, program string) {
	t.Helper()
	ImageWith(t, name, program, "app", `ENTRYPOINT ["/app"]`)
}

// ImageWith makes a Docker image that has nothing but a Go program of this module at path, changed by an instruction of a
// Dockerfile. It is removed when the test ends.
func ImageWith(t testing.TB, name, program, path, change string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "app")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "building %s: %s", program, out)
	raw, err := os.ReadFile(binary)
	require.NoError(t, err)
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(raw))}))
	_, err = w.Write(raw)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	load := exec.Command("docker", "import", "--change", change, "-", name)
	load.Stdin = &files
	out, err = load.CombinedOutput()
	require.NoError(t, err, "importing %s: %s", name, out)
	t.Cleanup(func() { docker(t, "rmi", "-f", name) })
}

// ImageFrom makes a Docker image of another one, with a file in its directory /apps, by further instructions of a
// Dockerfile. It is removed when the test ends.
func ImageFrom(t testing.TB, name, from, file string, instructions ...string) {
	t.Helper()
	dir, base := filepath.Split(file)
	build := exec.Command("docker", "build", "--quiet", "--tag", name, "--file", "-", dir)
	build.Stdin = strings.NewReader("FROM " + from + "\nCOPY " + base + " /apps/\n" + strings.Join(instructions, "\n") + "\n")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "building %s: %s", name, out)
	t.Cleanup(func() { docker(t, "rmi", "-f", name) })
}
