package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"
)

const (
	caLife = 10 * 365 * 24 * time.Hour
	// DefaultLife is how long a node's certificate is valid. It is short, because removed nodes are kept out by a list
	// that not everybody has; and long enough for a host that was off over a weekend.
	DefaultLife = 7 * 24 * time.Hour
	// backdate allows for clocks that aren't quite right.
	backdate = 5 * time.Minute
)

// CA signs the certificates of one cluster.
type CA struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewCA makes the authority of a new cluster.
func NewCA(clusterID string, now time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the CA's key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Kiosc cluster " + clusterID},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(caLife),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making the CA's certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading the CA's certificate: %w", err)
	}
	return &CA{Certificate: certificate, key: key}, nil
}

// ParseCA is the reverse of Certificate.Raw and MarshalKey.
func ParseCA(certificate, key []byte) (*CA, error) {
	c, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("reading the CA's certificate: %w", err)
	}
	k, err := x509.ParseECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("reading the CA's key: %w", err)
	}
	if !k.PublicKey.Equal(c.PublicKey) {
		return nil, errors.New("the CA's key doesn't belong to its certificate")
	}
	return &CA{Certificate: c, key: k}, nil
}

// MarshalKey gives the private key in DER. Whoever stores it must seal it.
func (ca *CA) MarshalKey() ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(ca.key)
	if err != nil {
		return nil, fmt.Errorf("encoding the CA's key: %w", err)
	}
	return der, nil
}

// Issue signs a node's certificate, valid for life from now, or for DefaultLife where that is 0, but not longer than the
// CA's own. Of the request only the public key counts, once its signature shows that the node has the private key.
func (ca *CA) Issue(csr []byte, role Role, nodeID, clusterID string, now time.Time, life time.Duration) ([]byte, error) {
	request, err := parseRequest(csr)
	if err != nil {
		return nil, err
	}
	if life < 0 {
		return nil, fmt.Errorf("a certificate can't be valid for %s", life)
	}
	if life == 0 {
		life = DefaultLife
	}
	if !now.Before(ca.Certificate.NotAfter) {
		return nil, fmt.Errorf("the CA's certificate expired at %s", ca.Certificate.NotAfter.UTC().Format(time.RFC3339))
	}
	end := now.Add(life)
	if end.After(ca.Certificate.NotAfter) {
		end = ca.Certificate.NotAfter
	}
	peer := Peer{Role: role, NodeID: nodeID, ClusterID: clusterID}
	if err := peer.validate(); err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: nodeID}, URIs: []*url.URL{peer.uri()},
		NotBefore: now.Add(-backdate), NotAfter: end, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	if role == RoleManager {
		template.DNSNames = []string{ManagerName}
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Certificate, request.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("signing a certificate: %w", err)
	}
	return der, nil
}

func parseRequest(csr []byte) (*x509.CertificateRequest, error) {
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate request: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("checking the certificate request: %w", err)
	}
	return request, nil
}

// Former tells whose certificate, perhaps expired, a node shows that wants a new one. The certificate must be of this CA
// and the request of the same key.
func (ca *CA) Former(certificate, csr []byte) (Peer, error) {
	leaf, err := x509.ParseCertificate(certificate)
	if err != nil {
		return Peer{}, fmt.Errorf("reading the former certificate: %w", err)
	}
	if err := leaf.CheckSignatureFrom(ca.Certificate); err != nil {
		return Peer{}, fmt.Errorf("checking the former certificate: %w", err)
	}
	request, err := parseRequest(csr)
	if err != nil {
		return Peer{}, err
	}
	if key, ok := request.PublicKey.(*ecdsa.PublicKey); !ok || !key.Equal(leaf.PublicKey) {
		return Peer{}, errors.New("the request is of another key than the former certificate")
	}
	return PeerFromCertificate(leaf)
}

// NewKey makes a node's private key and the request for its certificate.
func NewKey() (key crypto.Signer, csr []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a node's key: %w", err)
	}
	csr, err = newRequest(k)
	return k, csr, err
}

func newRequest(key crypto.Signer) ([]byte, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate request: %w", err)
	}
	return csr, nil
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	return serial, nil
}
