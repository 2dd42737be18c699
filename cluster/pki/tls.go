package pki

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// JoinConfig is for a node that has no certificate yet. It trusts the CA whose fingerprint is in the join token, and no
// other.
func JoinConfig(protocol string, fingerprint [sha256.Size]byte) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocol}, ServerName: ManagerName,
		// The usual verification can't be used before the CA is known; VerifyConnection does all of it instead.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			for _, c := range state.PeerCertificates[1:] {
				if Fingerprint(c) != fingerprint {
					continue
				}
				_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool(c), DNSName: ManagerName})
				if err != nil {
					return fmt.Errorf("checking the manager's certificate: %w", err)
				}
				return nil
			}
			return errors.New("the manager is not of the cluster that the join token is for")
		},
	}
}

// Fingerprint is the SHA-256 of a certificate.
func Fingerprint(c *x509.Certificate) [sha256.Size]byte { return sha256.Sum256(c.Raw) }

// Verified returns who is at the other end of a connection on which a certificate was shown and verified.
func Verified(state tls.ConnectionState, clusterID string) (Peer, error) {
	if len(state.VerifiedChains) == 0 {
		return Peer{}, errors.New("the other side showed no certificate")
	}
	peer, err := PeerFromCertificate(state.PeerCertificates[0])
	if err == nil && peer.ClusterID != clusterID {
		err = fmt.Errorf("the other side belongs to cluster %s", peer.ClusterID)
	}
	return peer, err
}

func pool(c *x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c)
	return p
}
