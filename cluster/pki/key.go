package pki

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
)

// LoadOrCreateKey reads the cluster key from a file, or makes one there that only the owner can read. It never replaces
// a key: of several callers at once all get the same. The file system must have hard links.
func LoadOrCreateKey(path string) ([]byte, error) {
	key, err := LoadKey(path)
	if !errors.Is(err, os.ErrNotExist) {
		return key, err
	}
	key = make([]byte, chacha20poly1305.KeySize)
	rand.Read(key) // never fails: the runtime ends the process where there is no randomness
	err = createFile(path, key)
	if errors.Is(err, os.ErrExist) {
		return LoadKey(path)
	}
	if err != nil {
		return nil, err
	}
	return key, nil
}

// LoadKey reads the cluster key. The error is os.ErrNotExist where there is none.
func LoadKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the cluster key: %w", err)
	}
	if len(key) != chacha20poly1305.KeySize {
		return nil, fmt.Errorf("the cluster key in %s is damaged", path)
	}
	return key, nil
}

// SaveKey writes the cluster key into a file that only the owner can read, whole or not at all. It replaces a key that is
// there.
func SaveKey(path string, key []byte) error {
	if len(key) != chacha20poly1305.KeySize {
		return fmt.Errorf("a cluster key has %d bytes, this one has %d", chacha20poly1305.KeySize, len(key))
	}
	return writeFile(path, key)
}

// A wrapped key:
//
//	offset 0    1 byte    form, 1: argon2id, then XChaCha20-Poly1305
//	offset 1    4 bytes   argon2id's memory in KiB, big-endian
//	offset 5    1 byte    its passes
//	offset 6    1 byte    its lanes
//	offset 7    16 bytes  salt
//	offset 23             the key as Seal gives it
const (
	wrapForm   = 1
	wrapHead   = 23
	saltBytes  = 16
	wrapMemory = 64 << 10
	wrapPasses = 3
	wrapLanes  = 2
	// What a forged file may cost those who open it: 256 MiB and a few seconds.
	maxWrapMemory = 256 << 10
	maxWrapPasses = 16
	maxWrapLanes  = 16
)

const wrapContext = "wrapped-cluster-key"

// ErrPassphrase says that a passphrase doesn't open a wrapped key.
var ErrPassphrase = errors.New("the passphrase is wrong, or the wrapped key is damaged")

// WrapKey encrypts a key with a passphrase, which takes about a tenth of a second and 64 MiB.
func WrapKey(key []byte, passphrase string) ([]byte, error) {
	head := binary.BigEndian.AppendUint32([]byte{wrapForm}, wrapMemory)
	head = append(head, wrapPasses, wrapLanes)
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	head = append(head, salt...)
	sealed, err := Seal(stretch(passphrase, head), key, wrapContext)
	if err != nil {
		return nil, err
	}
	return append(head, sealed...), nil
}

// UnwrapKey is the reverse of WrapKey. The error is ErrPassphrase where the passphrase is another, which can't be told
// from most kinds of damage.
func UnwrapKey(wrapped []byte, passphrase string) ([]byte, error) {
	if len(wrapped) > 0 && wrapped[0] != wrapForm {
		return nil, fmt.Errorf("the wrapped key has the unknown form %d; use a newer kiosc", wrapped[0])
	}
	if len(wrapped) < wrapHead {
		return nil, errors.New("the wrapped key is cut off")
	}
	memory, passes, lanes := binary.BigEndian.Uint32(wrapped[1:]), wrapped[5], wrapped[6]
	if memory > maxWrapMemory || passes < 1 || passes > maxWrapPasses || lanes < 1 || lanes > maxWrapLanes {
		return nil, fmt.Errorf("the wrapped key is damaged: it asks for %d KiB, %d passes and %d lanes of argon2id", memory, passes, lanes)
	}
	key, err := Open(stretch(passphrase, wrapped[:wrapHead]), wrapped[wrapHead:], wrapContext)
	if err != nil {
		return nil, ErrPassphrase
	}
	return key, nil
}

func stretch(passphrase string, head []byte) []byte {
	return argon2.IDKey([]byte(passphrase), head[7:wrapHead], uint32(head[5]), binary.BigEndian.Uint32(head[1:]), head[6], chacha20poly1305.KeySize)
}
