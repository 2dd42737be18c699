package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Identity is who this node is, with the means to prove it.
type Identity struct {
	Peer
	Certificate tls.Certificate
	CA          *x509.Certificate
}

// NewIdentity makes a node's key and certificate where the CA is at hand; see Issue.
func NewIdentity(ca *CA, role Role, nodeID, clusterID string, now time.Time, life time.Duration) (Identity, error) {
	key, csr, err := NewKey()
	if err != nil {
		return Identity{}, err
	}
	certificate, err := ca.Issue(csr, role, nodeID, clusterID, now, life)
	if err != nil {
		return Identity{}, err
	}
	return JoinIdentity(key, certificate, ca.Certificate.Raw)
}

// JoinIdentity puts together what a node has and what the cluster gave it.
func JoinIdentity(key crypto.Signer, certificate, ca []byte) (Identity, error) {
	leaf, err := x509.ParseCertificate(certificate)
	if err != nil {
		return Identity{}, fmt.Errorf("reading the node's certificate: %w", err)
	}
	root, err := x509.ParseCertificate(ca)
	if err != nil {
		return Identity{}, fmt.Errorf("reading the CA's certificate: %w", err)
	}
	if err := leaf.CheckSignatureFrom(root); err != nil {
		return Identity{}, fmt.Errorf("checking the node's certificate: %w", err)
	}
	if public, ok := key.Public().(*ecdsa.PublicKey); !ok || !public.Equal(leaf.PublicKey) {
		return Identity{}, errors.New("the node's certificate is for another key")
	}
	peer, err := PeerFromCertificate(leaf)
	if err != nil {
		return Identity{}, err
	}
	return Identity{Peer: peer, CA: root, Certificate: tls.Certificate{
		Certificate: [][]byte{leaf.Raw, root.Raw}, PrivateKey: key, Leaf: leaf,
	}}, nil
}

// RenewAt is when half of the certificate's life is over: time enough for a renewal that must be tried many times.
func (id Identity) RenewAt() time.Time {
	leaf := id.Certificate.Leaf
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
}

// Expired tells whether the certificate is no longer valid.
func (id Identity) Expired(now time.Time) bool { return now.After(id.Certificate.Leaf.NotAfter) }

// Request asks for another certificate for the same key.
func (id Identity) Request() ([]byte, error) {
	key, ok := id.Certificate.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errNoSigner
	}
	return newRequest(key)
}

// Renewed is the identity with a new certificate for the same key and node.
func (id Identity) Renewed(certificate []byte) (Identity, error) {
	key, ok := id.Certificate.PrivateKey.(crypto.Signer)
	if !ok {
		return Identity{}, errNoSigner
	}
	renewed, err := JoinIdentity(key, certificate, id.CA.Raw)
	if err != nil {
		return Identity{}, err
	}
	if renewed.Peer != id.Peer {
		return Identity{}, errors.New("the new certificate is another node's")
	}
	return renewed, nil
}

var errNoSigner = errors.New("the node's key can't sign")

// identityFile has the private key, the node's certificate and the CA's, in PEM.
const identityFile = "node.pem"

// Save writes the identity into dir, readable by the owner alone, whole or not at all.
func (id Identity) Save(dir string) error {
	key, err := x509.MarshalPKCS8PrivateKey(id.Certificate.PrivateKey)
	if err != nil {
		return fmt.Errorf("encoding the node's key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	for _, der := range id.Certificate.Certificate {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the directory of the node's certificate: %w", err)
	}
	return writeFile(filepath.Join(dir, identityFile), text)
}

// LoadIdentity reads what Save wrote. The error is os.ErrNotExist where there is none.
func LoadIdentity(dir string) (Identity, error) {
	text, err := os.ReadFile(filepath.Join(dir, identityFile))
	if err != nil {
		return Identity{}, fmt.Errorf("reading the node's certificate: %w", err)
	}
	var blocks [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		blocks = append(blocks, block.Bytes)
	}
	if len(blocks) != 3 {
		return Identity{}, fmt.Errorf("the file %s in %s is damaged", identityFile, dir)
	}
	key, err := x509.ParsePKCS8PrivateKey(blocks[0])
	if err != nil {
		return Identity{}, fmt.Errorf("reading the node's key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return Identity{}, errNoSigner
	}
	return JoinIdentity(signer, blocks[1], blocks[2])
}
