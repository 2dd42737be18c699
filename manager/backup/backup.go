// Package backup writes a cluster's whole state into one file, and reads it back.
//
// It owns the form of the file. It neither decides who may have a backup nor starts a cluster of one.
//
//	offset 0    8 bytes   KIOSCBAK
//	offset 8    2 bytes   version of the form, big-endian, 1
//	offset 10   4 bytes   length of the header, big-endian
//	offset 14             header in JSON, see Header
//	then                  the state as one bbolt file, in one zstd stream
//	last        32 bytes  SHA-256 of everything before
//
// What must always hold: a file whose last bytes aren't the sum of the others is never taken for a backup, and nothing
// secret is in it in plain.
package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"

	"kiosc/cluster/pki"
	"kiosc/cluster/state"
)

const (
	magic     = "KIOSCBAK"
	version   = 1
	headBytes = len(magic) + 2 + 4
	maxHeader = 64 << 10
	// maxState bounds what a backup unpacks to, so that a forged one can't fill the disk: 64 GiB.
	maxState = 64 << 30
)

// Header says what a backup is of.
type Header struct {
	ClusterID string    `json:"cluster_id"`
	CreatedAt time.Time `json:"created_at"`
	// Index and Term are the place in the Raft log that the state stands at.
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
	// Kiosc is the version that has written it, StateFormat that of the state.
	Kiosc       string `json:"kiosc"`
	StateFormat uint64 `json:"state_format"`
	// WrappedKey is the cluster key, wrapped by the passphrase.
	WrappedKey []byte `json:"wrapped_key"`
}

// Write writes the state as it stands now. The header's Index and StateFormat are filled in.
func Write(w io.Writer, store *state.Store, h Header) error {
	snapshot, err := store.Snapshot()
	if err != nil {
		return err
	}
	defer snapshot.Close()
	h.Index, h.StateFormat = snapshot.Index, state.Format
	head, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encoding the backup's header: %w", err)
	}
	sum := sha256.New()
	all := io.MultiWriter(w, sum)
	begin := binary.BigEndian.AppendUint16([]byte(magic), version)
	begin = binary.BigEndian.AppendUint32(begin, uint32(len(head)))
	if _, err := all.Write(append(begin, head...)); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	packed, err := zstd.NewWriter(all, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("compressing the backup: %w", err)
	}
	_, err = snapshot.WriteTo(packed)
	if err := errors.Join(err, packed.Close()); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	if _, err := w.Write(sum.Sum(nil)); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	return nil
}

var errDamaged = errors.New("the file is no whole backup: its checksum is wrong. Take another one")

// Backup is an open, verified backup.
type Backup struct {
	Header
	file  *os.File
	state *io.SectionReader
}

// Open verifies a backup from its first to its last byte.
func Open(path string) (_ *Backup, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the backup: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("opening the backup: %w", err)
	}
	head := make([]byte, headBytes)
	if _, err := io.ReadFull(f, head); err != nil || !bytes.HasPrefix(head, []byte(magic)) {
		return nil, errors.New("the file is no backup of Kiosc's")
	}
	if v := binary.BigEndian.Uint16(head[len(magic):]); v != version {
		return nil, fmt.Errorf("the backup has form %d and this kiosc knows %d only; use a newer kiosc", v, version)
	}
	length := int64(binary.BigEndian.Uint32(head[len(magic)+2:]))
	body := info.Size() - sha256.Size
	if length > maxHeader || int64(headBytes)+length > body {
		return nil, errDamaged
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, body)); err != nil {
		return nil, fmt.Errorf("reading the backup: %w", err)
	}
	want := make([]byte, sha256.Size)
	if _, err := f.ReadAt(want, body); err != nil || !bytes.Equal(want, sum.Sum(nil)) {
		return nil, errDamaged
	}
	b := &Backup{file: f, state: io.NewSectionReader(f, int64(headBytes)+length, body-int64(headBytes)-length)}
	raw := make([]byte, length)
	if _, err := f.ReadAt(raw, int64(headBytes)); err != nil {
		return nil, fmt.Errorf("reading the backup: %w", err)
	}
	if err := json.Unmarshal(raw, &b.Header); err != nil {
		return nil, fmt.Errorf("reading the backup's header: %w", err)
	}
	if b.StateFormat > state.Format {
		return nil, fmt.Errorf("the backup is of kiosc %s, whose state this kiosc doesn't know; use a newer kiosc", b.Kiosc)
	}
	return b, nil
}

// Close closes the file.
func (b *Backup) Close() error { return b.file.Close() }

// Key unwraps the cluster key.
func (b *Backup) Key(passphrase string) ([]byte, error) {
	return pki.UnwrapKey(b.WrappedKey, passphrase)
}

// State unpacks the state into a store.
func (b *Backup) State(into *state.Store) error {
	packed, err := zstd.NewReader(b.state, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("reading the backup: %w", err)
	}
	defer packed.Close()
	return into.Restore(io.LimitReader(packed, maxState))
}
