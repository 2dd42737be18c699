package pki

import (
	"crypto/rand"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// sealFormat is the first byte of everything sealed: XChaCha20-Poly1305 with the nonce in front.
const sealFormat = 1

// Key is a cluster key, which seals and opens secret values.
type Key []byte

// Seal is Seal with this key.
func (k Key) Seal(plain []byte, context string) ([]byte, error) { return Seal(k, plain, context) }

// Open is Open with this key.
func (k Key) Open(sealed []byte, context string) ([]byte, error) { return Open(k, sealed, context) }

// Seal encrypts plain so that only the same key and context open it.
func Seal(key, plain []byte, context string) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	sealed := make([]byte, 1+aead.NonceSize(), 1+aead.NonceSize()+len(plain)+aead.Overhead())
	sealed[0] = sealFormat
	rand.Read(sealed[1:])
	return aead.Seal(sealed, sealed[1:], plain, associated(context)), nil
}

// Open is the reverse of Seal.
func Open(key, sealed []byte, context string) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("opening a sealed value: %w", err)
	}
	if len(sealed) < 1+aead.NonceSize() || sealed[0] != sealFormat {
		return nil, errors.New("opening a sealed value: it has an unknown form")
	}
	plain, err := aead.Open(nil, sealed[1:1+aead.NonceSize()], sealed[1+aead.NonceSize():], associated(context))
	if err != nil {
		return nil, errors.New("opening a sealed value: it was sealed with another key or for another place")
	}
	return plain, nil
}

func associated(context string) []byte { return append([]byte{sealFormat}, context...) }
