package pki

import (
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// caFile has the certificate of the cluster's CA and its key, which the cluster key has sealed.
const caFile = "ca.pem"

const (
	certificateBlock = "CERTIFICATE"
	sealedKeyBlock   = "KIOSC SEALED KEY"
)

// SaveCA writes what a manager needs to issue certificates without asking anybody.
func SaveCA(dir string, certificate, sealedKey []byte) error {
	text := pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: certificate})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: sealedKeyBlock, Bytes: sealedKey})...)
	return writeFile(filepath.Join(dir, caFile), text)
}

// LoadCA reads what SaveCA wrote. The error is os.ErrNotExist where there is none.
func LoadCA(dir string) (certificate, sealedKey []byte, err error) {
	text, err := os.ReadFile(filepath.Join(dir, caFile))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the certificate authority: %w", err)
	}
	first, rest := pem.Decode(text)
	second, _ := pem.Decode(rest)
	if first == nil || second == nil || first.Type != certificateBlock || second.Type != sealedKeyBlock {
		return nil, nil, fmt.Errorf("the file %s in %s is damaged", caFile, dir)
	}
	return first.Bytes, second.Bytes, nil
}

// writeFile writes a private file so that after a crash it is there whole or not at all. It replaces what was there.
func writeFile(path string, data []byte) error { return putFile(path, data, os.Rename) }

// createFile is writeFile for a file that nobody else has made meanwhile. The error is os.ErrExist where it is there.
func createFile(path string, data []byte) error { return putFile(path, data, os.Link) }

// putFile writes beside path and lets place bring the file there.
func putFile(path string, data []byte, place func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("making %s: %w", filepath.Base(path), err)
	}
	defer os.Remove(f.Name()) // after a renaming there is nothing left to remove
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	if err := place(f.Name(), path); err != nil {
		return fmt.Errorf("putting %s in place: %w", filepath.Base(path), err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a change of the directory's names last.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("syncing %s: %w", path, err)
	}
	return nil
}
