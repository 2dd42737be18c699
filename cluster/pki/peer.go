package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Role is what a node does. It is part of the certificate, so a node can't take another.
type Role string

// The roles.
const (
	RoleManager Role = "manager"
	RoleAgent   Role = "agent"
)

const (
	uriScheme = "spiffe"
	// ManagerName is the DNS name in every manager's certificate. Clients ask for it instead of a host name, because
	// managers may be reached under any address.
	ManagerName = "kiosc-manager"
	// maxID is the longest cluster or node id, in bytes.
	maxID = 64
)

// Peer is who the other side of a connection is.
type Peer struct {
	Role      Role
	NodeID    string
	ClusterID string
}

// PeerFromCertificate reads who the holder of a certificate is. It does not verify the certificate: the TLS
// configurations of this package do.
func PeerFromCertificate(certificate *x509.Certificate) (Peer, error) {
	if len(certificate.URIs) != 1 {
		return Peer{}, fmt.Errorf("the certificate has %d URI names where a node's has one", len(certificate.URIs))
	}
	uri := certificate.URIs[0]
	role, node, ok := strings.Cut(strings.TrimPrefix(uri.Path, "/"), "/")
	peer := Peer{Role: Role(role), NodeID: node, ClusterID: uri.Host}
	if !ok || peer.validate() != nil || *uri != *peer.uri() {
		return Peer{}, fmt.Errorf("the certificate's name %q is not that of a node", uri)
	}
	return peer, nil
}

func (p Peer) uri() *url.URL {
	return &url.URL{Scheme: uriScheme, Host: p.ClusterID, Path: "/" + string(p.Role) + "/" + p.NodeID}
}

func (p Peer) validate() error {
	if err := p.Role.validate(); err != nil {
		return err
	}
	if err := checkID(p.NodeID); err != nil {
		return fmt.Errorf("node id: %w", err)
	}
	if err := checkID(p.ClusterID); err != nil {
		return fmt.Errorf("cluster id: %w", err)
	}
	return nil
}

func (r Role) validate() error {
	if r != RoleManager && r != RoleAgent {
		return fmt.Errorf("unknown role %q; it is manager or agent", string(r))
	}
	return nil
}

// checkID takes only what reads the same in a URI, a file name and a log.
func checkID(id string) error {
	if id == "" || len(id) > maxID {
		return fmt.Errorf("an id has 1 to %d characters, this one has %d", maxID, len(id))
	}
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return errors.New("an id has only small letters, digits and hyphens")
		}
	}
	return nil
}
