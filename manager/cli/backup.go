package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kiosc/manager"
)

// streamIdle ends a stream of which nothing comes any more.
const streamIdle = time.Minute

// passphraseFlags say where the passphrase of a backup comes from. It never stands on a command line, where others see it.
type passphraseFlags struct{ file string }

func (f *passphraseFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "passphrase-file", "", "file with the passphrase; KIOSC_BACKUP_PASSPHRASE is used without it")
}

func (f *passphraseFlags) read() (string, error) {
	if f.file == "" {
		if text := os.Getenv("KIOSC_BACKUP_PASSPHRASE"); text != "" {
			return text, nil
		}
		return "", errors.New("give a passphrase with --passphrase-file or KIOSC_BACKUP_PASSPHRASE: a backup holds the key that opens all secrets, wrapped by it")
	}
	raw, err := os.ReadFile(f.file)
	if err != nil {
		return "", fmt.Errorf("reading the passphrase: %w", err)
	}
	text := strings.TrimRight(string(raw), "\r\n")
	if text == "" {
		return "", fmt.Errorf("the passphrase file %s is empty", f.file)
	}
	return text, nil
}

func newBackup() *cobra.Command {
	var admin adminFlags
	var passphrase passphraseFlags
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Write everything that the cluster knows into a file",
		Long: "Writes a consistent copy of the cluster's state, taken while it goes on, into a file that only its owner can read. Any\n" +
			"manager can be asked. The file has a checksum, which is verified before the command succeeds; if it fails, nothing is\n" +
			"left and a file of that name stays as it was. Keep the passphrase elsewhere: without it the backup can't be restored.\n" +
			"Images and what containers have written into themselves are not part of it.\n\n" +
			"The command talks to the manager whose data directory is given, as the user that runs it or as root. Backups are not\n" +
			"made over the network: with KIOSC_ADDR set the command is refused.",
		Example: "  kiosc backup kiosc-2026-11-24.backup --passphrase-file /root/passphrase --data-dir /var/lib/kiosc",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			secret, err := passphrase.read()
			if err != nil {
				return err
			}
			size, err := keep(args[0], manager.VerifyBackup, func() (io.ReadCloser, error) {
				return admin.stream(cmd.Context(), "backup", manager.BackupRequest{Passphrase: secret})
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Wrote %s, %d bytes, and verified its checksum.\n", args[0], size)
			return nil
		},
	}
	admin.add(cmd)
	passphrase.add(cmd)
	return cmd
}

// keep writes a backup into a file, whole or not at all: into another file beside it first, which takes the name only
// once it is verified and on disk. That file's name is its own, so that two backups at once don't write into one.
func keep(path string, verify func(path string) error, from func() (io.ReadCloser, error)) (size int64, err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is no regular file; give the name of a file", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp") // with mode 0600
	if err != nil {
		return 0, fmt.Errorf("making the file of the backup: %w", err)
	}
	defer os.Remove(f.Name()) // is gone where all went well
	size, err = fill(f, from)
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, fmt.Errorf("no backup was written: %w", err)
	}
	if err := verify(f.Name()); err != nil {
		return 0, fmt.Errorf("no backup was written: what the manager sent is not whole: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return 0, fmt.Errorf("putting the backup in place: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return 0, fmt.Errorf("the backup is in place, but may not outlast a power failure: %w", err)
	}
	return size, nil
}

// fill writes all that comes into f and has it on disk then.
func fill(f *os.File, from func() (io.ReadCloser, error)) (int64, error) {
	body, err := from()
	if err != nil {
		return 0, err
	}
	defer body.Close()
	size, err := io.Copy(f, body)
	if err != nil {
		return 0, err
	}
	return size, f.Sync()
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// idleReader fails when nothing comes for a while. The time between reads doesn't count.
type idleReader struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	idle   time.Duration
	timer  *time.Timer
	// stalled is what cancels ctx when nothing comes.
	stalled error
}

// newIdleReader makes a reader of a body that ends when cancel ends ctx.
func newIdleReader(ctx context.Context, cancel context.CancelCauseFunc, body io.ReadCloser, idle time.Duration) *idleReader {
	r := &idleReader{ReadCloser: body, ctx: ctx, cancel: cancel, idle: idle,
		stalled: fmt.Errorf("nothing has come from the manager for %s", idle)}
	r.timer = time.AfterFunc(idle, func() { cancel(r.stalled) })
	r.timer.Stop()
	return r
}

func (r *idleReader) Read(p []byte) (int, error) {
	r.timer.Reset(r.idle)
	defer r.timer.Stop()
	n, err := r.ReadCloser.Read(p)
	switch cause := context.Cause(r.ctx); {
	case err == nil || err == io.EOF:
		return n, err
	case cause == r.stalled || cause == errNoAnswer:
		return n, cause
	case cause != nil:
		return n, errEnded
	}
	return n, fmt.Errorf("the manager's answer broke off: %w", err)
}

// Close ends the stream.
func (r *idleReader) Close() error {
	defer r.cancel(nil)
	return r.ReadCloser.Close()
}

func newRestore() *cobra.Command {
	var passphrase passphraseFlags
	var o manager.RestoreOptions
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Make a new first manager from a backup",
		Long: "Fills an empty data directory from a backup. \"kiosc manager\" on it then goes on with the cluster as its only manager;\n" +
			"others join it anew. The managers of the time of the backup no longer belong to the cluster and must not be started\n" +
			"again. Agents come back by themselves where they reach the new manager, or after a start with --join. A directory that\n" +
			"isn't empty is refused. Run the command as the user that the manager will run as; it talks to no manager.",
		Example: "  kiosc restore kiosc-2026-11-24.backup --data-dir /var/lib/kiosc --advertise m1.example.org:7443 --passphrase-file /root/passphrase",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			secret, err := passphrase.read()
			if err != nil {
				return err
			}
			if err := checkAddress(o.ClusterAddress); err != nil {
				return err
			}
			o.File, o.Passphrase = args[0], secret
			header, err := manager.Restore(cmd.Context(), o)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Restored cluster %s as of %s. Start it with: kiosc manager --data-dir %s\n",
				header.ClusterID, clock(header.CreatedAt), o.DataDir)
			return nil
		},
	}
	cmd.Flags().StringVar(&o.DataDir, "data-dir", "/var/lib/kiosc", "empty directory to fill with the manager's data (KIOSC_DATA_DIR)")
	addName(cmd, &o.Name)
	passphrase.add(cmd)
	cmd.Flags().StringVar(&o.ClusterAddress, "advertise", "", "host:port at which other nodes reach this manager (KIOSC_ADVERTISE)")
	return cmd
}
