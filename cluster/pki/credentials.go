package pki

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
)

// Credentials is what a running node proves itself with. The identity can be replaced while connections are made: each
// handshake takes the one of its time. Its methods may be called from any goroutine.
type Credentials struct {
	identity atomic.Pointer[Identity]
}

// NewCredentials begins with an identity.
func NewCredentials(id Identity) *Credentials {
	c := new(Credentials)
	c.identity.Store(&id)
	return c
}

// Identity is the present one.
func (c *Credentials) Identity() Identity { return *c.identity.Load() }

// Peer is who this node is, which never changes.
func (c *Credentials) Peer() Peer { return c.identity.Load().Peer }

// Replace takes a renewed identity of the same node and CA.
func (c *Credentials) Replace(id Identity) error {
	old := c.Identity()
	if id.Peer != old.Peer || !id.CA.Equal(old.CA) {
		return errors.New("the new identity is another node's or of another CA")
	}
	c.identity.Store(&id)
	return nil
}

// ServerConfig is a manager's TLS. A client certificate is verified when it is shown, and may be missing: whether one is
// needed depends on the protocol that the client asks for. There are no session tickets, so that each connection shows a
// certificate that is valid now.
func (c *Credentials) ServerConfig(protocols []string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: protocols,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &c.identity.Load().Certificate, nil },
		ClientAuth:     tls.VerifyClientCertIfGiven, ClientCAs: pool(c.Identity().CA),
		SessionTicketsDisabled: true, DynamicRecordSizingDisabled: true,
	}
}

// ClientConfig is for a node that connects to a manager of its own cluster.
func (c *Credentials) ClientConfig(protocol string) *tls.Config {
	id := c.Identity()
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocol}, RootCAs: pool(id.CA), ServerName: ManagerName,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &c.identity.Load().Certificate, nil
		},
		DynamicRecordSizingDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			peer, err := PeerFromCertificate(state.PeerCertificates[0])
			if err != nil {
				return err
			}
			if peer.Role != RoleManager || peer.ClusterID != id.ClusterID {
				return fmt.Errorf("the other side is a %s of cluster %s, not a manager of this cluster", peer.Role, peer.ClusterID)
			}
			return nil
		},
	}
}
