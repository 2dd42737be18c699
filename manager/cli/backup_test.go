package cli_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
	"kiosc/cluster/state"
	"kiosc/manager/backup"
	"kiosc/manager/cli"
)

const passphrase = "several words of which one is rare"

// backupOf is a real backup of an empty state.
func backupOf(t *testing.T) []byte {
	store, err := state.Open(filepath.Join(t.TempDir(), "state.db"))
	require.NoError(t, err)
	defer store.Close()
	wrapped, err := pki.WrapKey(bytes.Repeat([]byte{7}, 32), passphrase)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, backup.Write(&out, store, backup.Header{ClusterID: "c1", CreatedAt: time.Now(), WrappedKey: wrapped}))
	return out.Bytes()
}

// holds says which files are in a directory.
func holds(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	require.Equal(t, names, got)
}

func TestBackup(t *testing.T) {
	f := newFake(t)
	raw := backupOf(t)
	f.serve("backup", func(w http.ResponseWriter, _ *http.Request) { w.Write(raw) })
	dir := t.TempDir()
	file := filepath.Join(dir, "kiosc.backup")
	t.Setenv("KIOSC_BACKUP_PASSPHRASE", passphrase)
	stdout, stderr := f.ok("backup", file)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "Wrote "+file)
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, raw, written)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	holds(t, dir, "kiosc.backup")
	require.JSONEq(t, `{"passphrase":"`+passphrase+`"}`, f.requests()[0].body)

	// Again, over the former, with a passphrase from a file.
	secret := filepath.Join(t.TempDir(), "passphrase")
	require.NoError(t, os.WriteFile(secret, []byte(" from a file \r\n"), 0o600))
	f.ok("backup", file, "--passphrase-file", secret)
	require.JSONEq(t, `{"passphrase":" from a file "}`, f.requests()[1].body)
	holds(t, dir, "kiosc.backup")
}

func TestBackupIsWholeOrNothing(t *testing.T) {
	f := newFake(t)
	raw := backupOf(t)
	half := func(w http.ResponseWriter) {
		w.Write(raw[:len(raw)/2])
		w.(http.Flusher).Flush()
	}
	t.Setenv("KIOSC_BACKUP_PASSPHRASE", passphrase)
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		says  string
	}{
		"cut off":         {func(w http.ResponseWriter, _ *http.Request) { half(w); panic(http.ErrAbortHandler) }, "the manager's answer broke off"},
		"ends too early":  {func(w http.ResponseWriter, _ *http.Request) { w.Write(raw[:len(raw)-1]) }, "not whole"},
		"no trailer":      {func(w http.ResponseWriter, _ *http.Request) { w.Write(raw[:len(raw)-32]) }, "not whole"},
		"altered":         {func(w http.ResponseWriter, _ *http.Request) { half(w); w.Write(bytes.ToUpper(raw[len(raw)/2:])) }, "not whole"},
		"nothing":         {func(http.ResponseWriter, *http.Request) {}, "not whole"},
		"refused":         {refuse(http.StatusBadRequest, "Give a passphrase of at least 12 characters."), "Give a passphrase of at least 12 characters."},
		"interrupted":     {func(w http.ResponseWriter, r *http.Request) { half(w); interrupt(t); <-r.Context().Done() }, "interrupted"},
		"ended at once":   {func(w http.ResponseWriter, r *http.Request) { interrupt(t); <-r.Context().Done() }, "interrupted"},
		"another service": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, "no backup of Kiosc's"},
	} {
		t.Run(name, func(t *testing.T) {
			f.serve("backup", c.serve)
			dir := t.TempDir()
			for _, former := range []bool{false, true} {
				file := filepath.Join(dir, "kiosc.backup")
				if former {
					require.NoError(t, os.WriteFile(file, []byte("former"), 0o600))
				}
				stdout, stderr, code := f.run("backup", file)
				require.Equal(t, 1, code)
				require.Empty(t, stdout)
				require.Contains(t, stderr, "kiosc: no backup was written: ")
				require.Contains(t, stderr, c.says)
				if !former {
					holds(t, dir)
					continue
				}
				holds(t, dir, "kiosc.backup")
				kept, err := os.ReadFile(file)
				require.NoError(t, err)
				require.Equal(t, "former", string(kept))
			}
		})
	}
}

func TestBackupAsksForNothing(t *testing.T) {
	f := newFake(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "kiosc.backup")
	_, stderr, code := f.run("backup", file)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "give a passphrase with --passphrase-file or KIOSC_BACKUP_PASSPHRASE: a backup holds the key that opens all secrets")
	empty := filepath.Join(t.TempDir(), "passphrase")
	require.NoError(t, os.WriteFile(empty, []byte("\n"), 0o600))
	_, stderr, code = f.run("backup", file, "--passphrase-file", empty)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "is empty")
	_, _, code = f.run("backup", file, "--passphrase-file", empty+"s")
	require.Equal(t, 1, code)
	t.Setenv("KIOSC_BACKUP_PASSPHRASE", passphrase)
	_, stderr, code = f.run("backup", dir)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "is no regular file")
	_, _, code = f.run("backup", filepath.Join(dir, "nowhere", "file"))
	require.Equal(t, 1, code)
	holds(t, dir)
	require.Empty(t, f.requests())
}

func TestStreamThatStalls(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	out, in := io.Pipe()
	context.AfterFunc(ctx, func() { in.CloseWithError(context.Cause(ctx)) })
	const idle = 100 * time.Millisecond
	go func() {
		for range 4 { // longer than idle in all
			time.Sleep(idle / 2)
			in.Write([]byte("x"))
		}
	}()
	r := cli.NewIdleReader(ctx, cancel, out, idle)
	p := make([]byte, 1)
	for range 4 {
		_, err := r.Read(p)
		require.NoError(t, err)
	}
	time.Sleep(2 * idle) // a slow disk is not the manager's fault
	require.NoError(t, ctx.Err())
	_, err := r.Read(p)
	require.EqualError(t, err, "nothing has come from the manager for 100ms")
	require.NoError(t, r.Close())
}

func TestRestoreRefuses(t *testing.T) {
	newFake(t)
	file := filepath.Join(t.TempDir(), "kiosc.backup")
	require.NoError(t, os.WriteFile(file, backupOf(t), 0o600))
	dir := t.TempDir()
	used := filepath.Join(dir, "state.db")
	require.NoError(t, os.WriteFile(used, []byte("precious"), 0o600))
	restore := func(args ...string) string {
		stdout, stderr, code := run(append([]string{"restore", file, "--data-dir", dir, "--advertise", "m1.example.org:7443"}, args...)...)
		require.Equal(t, 1, code)
		require.Empty(t, stdout)
		return stderr
	}
	require.Contains(t, restore(), "give a passphrase")
	t.Setenv("KIOSC_BACKUP_PASSPHRASE", "another passphrase")
	restore()
	t.Setenv("KIOSC_BACKUP_PASSPHRASE", passphrase)
	require.Contains(t, restore(), "is not empty")
	holds(t, dir, "state.db")
	kept, err := os.ReadFile(used)
	require.NoError(t, err)
	require.Equal(t, "precious", string(kept))
}
