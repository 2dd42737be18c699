package pki_test

import (
	"crypto/tls"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
)

var protocols = []string{"x"}

func TestACertificateIsReplacedWhileConnectionsAreMade(t *testing.T) {
	ca := newCA(t)
	manager := pki.NewCredentials(newIdentity(t, ca, pki.RoleManager, "m1"))
	agent := pki.NewCredentials(newIdentity(t, ca, pki.RoleAgent, "a1"))
	// The configurations are made once, as a listener does, and must not keep the first certificate.
	serverConfig, clientConfig := manager.ServerConfig(protocols), agent.ClientConfig("x")
	server, client, serverErr, clientErr := meet(t, serverConfig, clientConfig)
	require.NoError(t, serverErr)
	require.NoError(t, clientErr)
	require.EqualValues(t, tls.VersionTLS13, client.ConnectionState().Version)

	newAgent, newManager := renew(t, ca, agent.Identity()), renew(t, ca, manager.Identity())
	require.NoError(t, agent.Replace(newAgent))
	require.NoError(t, manager.Replace(newManager))
	server2, client2, serverErr, clientErr := meet(t, serverConfig, clientConfig)
	require.NoError(t, serverErr)
	require.NoError(t, clientErr)
	require.Equal(t, newAgent.Certificate.Leaf.SerialNumber, server2.ConnectionState().PeerCertificates[0].SerialNumber)
	require.Equal(t, newManager.Certificate.Leaf.SerialNumber, client2.ConnectionState().PeerCertificates[0].SerialNumber)

	carries(t, client, server, "still")
	carries(t, server, client, "there")
}

func TestReplaceRefusesAnotherNode(t *testing.T) {
	ca := newCA(t)
	id := newIdentity(t, ca, pki.RoleAgent, "a1")
	agent := pki.NewCredentials(id)
	for name, other := range map[string]pki.Identity{
		"another node": newIdentity(t, ca, pki.RoleAgent, "a2"),
		"another role": newIdentity(t, ca, pki.RoleManager, "a1"),
		"another CA":   newIdentity(t, newCA(t), pki.RoleAgent, "a1"),
		"none":         {},
	} {
		require.Error(t, agent.Replace(other), name)
		require.Equal(t, id, agent.Identity(), name)
	}
	require.Equal(t, id.Peer, agent.Peer())
}

func TestCredentialsAreUsedFromManyGoroutines(t *testing.T) {
	ca := newCA(t)
	manager := pki.NewCredentials(newIdentity(t, ca, pki.RoleManager, "m1"))
	agent := pki.NewCredentials(newIdentity(t, ca, pki.RoleAgent, "a1"))
	nextManager, nextAgent := renew(t, ca, manager.Identity()), renew(t, ca, agent.Identity())
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				assert.NoError(t, manager.Replace(nextManager))
				assert.NoError(t, agent.Replace(nextAgent))
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	for range 20 {
		_, _, serverErr, clientErr := meet(t, manager.ServerConfig(protocols), agent.ClientConfig("x"))
		require.NoError(t, serverErr)
		require.NoError(t, clientErr)
	}
}

func TestNoConnectionIsResumed(t *testing.T) {
	ca := newCA(t)
	serverConfig := pki.NewCredentials(newIdentity(t, ca, pki.RoleManager, "m1")).ServerConfig(protocols)
	clientConfig := pki.NewCredentials(newIdentity(t, ca, pki.RoleAgent, "a1")).ClientConfig("x")
	clientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for range 2 {
		server, client, serverErr, clientErr := meet(t, serverConfig, clientConfig)
		require.NoError(t, serverErr)
		require.NoError(t, clientErr)
		require.False(t, server.ConnectionState().DidResume)
		carries(t, server, client, "a ticket would come before this")
	}
}

func TestExpiredCertificatesAreRefused(t *testing.T) {
	ca := newCA(t)
	manager := pki.NewCredentials(newIdentity(t, ca, pki.RoleManager, "m1"))
	agent := pki.NewCredentials(newIdentity(t, ca, pki.RoleAgent, "a1"))
	oldManager := pki.NewCredentials(expiredIdentity(t, ca, pki.RoleManager, "m1"))
	oldAgent := pki.NewCredentials(expiredIdentity(t, ca, pki.RoleAgent, "a1"))

	_, _, _, clientErr := meet(t, oldManager.ServerConfig(protocols), agent.ClientConfig("x"))
	require.ErrorContains(t, clientErr, "expired")
	_, _, serverErr, _ := meet(t, manager.ServerConfig(protocols), oldAgent.ClientConfig("x"))
	require.ErrorContains(t, serverErr, "expired")
	joinConfig := pki.JoinConfig("x", pki.Fingerprint(ca.Certificate))
	_, _, _, clientErr = meet(t, oldManager.ServerConfig(protocols), joinConfig)
	require.ErrorContains(t, clientErr, "expired")

	require.NoError(t, oldAgent.Replace(renew(t, ca, oldAgent.Identity())))
	_, _, serverErr, clientErr = meet(t, manager.ServerConfig(protocols), oldAgent.ClientConfig("x"))
	require.NoError(t, serverErr)
	require.NoError(t, clientErr)
}
