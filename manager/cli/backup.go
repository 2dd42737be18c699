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

// backupIdle ends a backup that no longer makes progress.
const backupIdle = time.Minute

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
	return strings.TrimRight(string(raw), "\r\n"), nil
}

func newBackup() *cobra.Command {
	var admin adminFlags
	var passphrase passphraseFlags
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Write everything that the cluster knows into a file",
		Long: "Writes a consistent copy of the cluster's state, taken while it goes on, into a file that only its owner can read. Any\n" +
			"manager can be asked. The file has a checksum, which is verified before the command succeeds. Images and what\n" +
			"containers have written into themselves are not part of it.\n\n" + reachHelp,
		Example: "  kiosc backup kiosc-2026-11-24.backup --passphrase-file /root/passphrase --data-dir /var/lib/kiosc",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			secret, err := passphrase.read()
			if err != nil {
				return err
			}
			body, err := admin.stream(cmd.Context(), "backup", manager.BackupRequest{Passphrase: secret})
			if err != nil {
				return err
			}
			defer body.Close()
			return keep(args[0], body)
		},
	}
	admin.add(cmd)
	passphrase.add(cmd)
	return cmd
}

// keep writes a backup whole or not at all.
func keep(path string, from io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".backup-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("making the file of the backup: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, from)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	if err := manager.VerifyBackup(f.Name()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("putting the backup in place: %w", err)
	}
	return nil
}

// idleReader fails when nothing comes for a while.
type idleReader struct {
	io.ReadCloser
	timer  *time.Timer
	cancel context.CancelFunc
}

func newIdleReader(r io.ReadCloser, idle time.Duration, cancel context.CancelFunc) *idleReader {
	return &idleReader{ReadCloser: r, timer: time.AfterFunc(idle, cancel), cancel: cancel}
}

func (r *idleReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.timer.Reset(backupIdle)
	return n, err
}

// Close ends the stream.
func (r *idleReader) Close() error {
	r.timer.Stop()
	defer r.cancel()
	return r.ReadCloser.Close()
}

func newRestore() *cobra.Command {
	var node nodeFlags
	var passphrase passphraseFlags
	var o manager.RestoreOptions
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Make a new first manager from a backup",
		Long: "Fills an empty data directory from a backup. \"kiosc manager\" on it then goes on with the cluster as its only manager;\n" +
			"others join it anew. The managers of the time of the backup no longer belong to the cluster and must not be started\n" +
			"again. Agents come back by themselves where they reach the new manager, or after a start with --join.",
		Example: "  kiosc restore kiosc-2026-11-24.backup --data-dir /var/lib/kiosc --advertise m1.example.org:7443 --passphrase-file /root/passphrase",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			secret, err := passphrase.read()
			if err != nil {
				return err
			}
			if o.ClusterAddress == "" {
				return errors.New("give the host:port at which other nodes will reach this manager's cluster port with --advertise")
			}
			o.File, o.DataDir, o.Passphrase = args[0], node.dataDir, secret
			header, err := manager.Restore(cmd.Context(), o)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Restored cluster %s as of %s. Start it with: kiosc manager --data-dir %s\n",
				header.ClusterID, header.CreatedAt.Local().Format(time.DateTime), node.dataDir)
			return nil
		},
	}
	node.add(cmd, "/var/lib/kiosc")
	addName(cmd, &o.Name)
	passphrase.add(cmd)
	cmd.Flags().StringVar(&o.ClusterAddress, "advertise", "", "host:port at which other nodes reach this manager (KIOSC_ADVERTISE)")
	return cmd
}
