package pki

import (
	"bytes"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func testIdentity(t *testing.T, ca *CA, role Role, node string, at time.Time, life time.Duration) Identity {
	t.Helper()
	id, err := NewIdentity(ca, role, node, testCluster, at, life)
	require.NoError(t, err)
	return id
}

func renewed(t *testing.T, ca *CA, id Identity) Identity {
	t.Helper()
	csr, err := id.Request()
	require.NoError(t, err)
	der, err := ca.Issue(csr, id.Role, id.NodeID, id.ClusterID, time.Now(), 0)
	require.NoError(t, err)
	again, err := id.Renewed(der)
	require.NoError(t, err)
	return again
}

// meet makes a connection and returns both ends with the errors of their handshakes.
func meet(t *testing.T, server, client *Credentials) (s, c *tls.Conn, serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	accepted := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			accepted <- err
			return
		}
		s = tls.Server(conn, server.ServerConfig([]string{"x"}))
		s.SetDeadline(time.Now().Add(10 * time.Second))
		accepted <- s.Handshake()
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	c = tls.Client(conn, client.ClientConfig("x"))
	c.SetDeadline(time.Now().Add(10 * time.Second))
	clientErr = c.Handshake()
	if clientErr != nil {
		conn.Close()
	}
	serverErr = <-accepted
	t.Cleanup(func() { conn.Close(); s.Close() })
	return s, c, serverErr, clientErr
}

func TestACertificateIsReplacedWhileConnectionsAreMade(t *testing.T) {
	ca := testCA(t)
	manager := NewCredentials(testIdentity(t, ca, RoleManager, "m1", time.Now(), time.Hour))
	agent := NewCredentials(testIdentity(t, ca, RoleAgent, "a1", time.Now(), time.Hour))
	s, c, serverErr, clientErr := meet(t, manager, agent)
	require.NoError(t, serverErr)
	require.NoError(t, clientErr)

	newAgent, newManager := renewed(t, ca, agent.Identity()), renewed(t, ca, manager.Identity())
	require.NoError(t, agent.Replace(newAgent))
	require.NoError(t, manager.Replace(newManager))
	s2, c2, serverErr, clientErr := meet(t, manager, agent)
	require.NoError(t, serverErr)
	require.NoError(t, clientErr)
	require.Equal(t, newAgent.Certificate.Leaf.SerialNumber, s2.ConnectionState().PeerCertificates[0].SerialNumber)
	require.Equal(t, newManager.Certificate.Leaf.SerialNumber, c2.ConnectionState().PeerCertificates[0].SerialNumber)

	_, err := c.Write([]byte("still"))
	require.NoError(t, err)
	got := make([]byte, 5)
	_, err = s.Read(got)
	require.NoError(t, err)
	require.Equal(t, "still", string(got), "what was connected stays so")

	require.Error(t, agent.Replace(testIdentity(t, ca, RoleAgent, "a2", time.Now(), 0)))
	require.Error(t, agent.Replace(testIdentity(t, testCA(t), RoleAgent, "a1", time.Now(), 0)))
}

func TestExpiredCertificatesAreRefused(t *testing.T) {
	ca := testCA(t)
	past := time.Now().Add(-time.Hour)
	good, goodAgent := NewCredentials(testIdentity(t, ca, RoleManager, "m1", time.Now(), 0)), NewCredentials(testIdentity(t, ca, RoleAgent, "a1", time.Now(), 0))
	old, oldAgent := NewCredentials(testIdentity(t, ca, RoleManager, "m1", past, time.Minute)), NewCredentials(testIdentity(t, ca, RoleAgent, "a1", past, time.Minute))
	require.True(t, old.Identity().Expired(time.Now()))
	require.False(t, good.Identity().Expired(time.Now()))
	_, _, _, clientErr := meet(t, old, goodAgent)
	require.Error(t, clientErr)
	_, _, serverErr, _ := meet(t, good, oldAgent)
	require.Error(t, serverErr)
}

func TestRenewAtIsTheMiddleOfTheLife(t *testing.T) {
	now := time.Now()
	id := testIdentity(t, testCA(t), RoleAgent, "a1", now, 10*time.Hour)
	require.WithinDuration(t, now.Add(5*time.Hour), id.RenewAt(), backdate)
}

func TestANodeJoinsAgainWithItsKey(t *testing.T) {
	ca := testCA(t)
	old := testIdentity(t, ca, RoleAgent, "a1", time.Now().Add(-time.Hour), time.Minute)
	csr, err := old.Request()
	require.NoError(t, err)
	peer, err := ca.Former(old.Certificate.Certificate[0], csr)
	require.NoError(t, err)
	require.Equal(t, old.Peer, peer)

	_, other, err := NewKey()
	require.NoError(t, err)
	_, err = ca.Former(old.Certificate.Certificate[0], other)
	require.Error(t, err, "another key")
	_, err = testCA(t).Former(old.Certificate.Certificate[0], csr)
	require.Error(t, err, "another CA")
	_, err = ca.Former([]byte{1}, csr)
	require.Error(t, err)
	_, err = ca.Former(ca.Certificate.Raw, csr)
	require.Error(t, err, "not a node's")
}

func TestWrapKey(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	wrapped, err := WrapKey(key, "a passphrase")
	require.NoError(t, err)
	require.NotContains(t, string(wrapped), string(key))
	got, err := UnwrapKey(wrapped, "a passphrase")
	require.NoError(t, err)
	require.Equal(t, key, got)
	again, err := WrapKey(key, "a passphrase")
	require.NoError(t, err)
	require.NotEqual(t, wrapped, again, "with a salt of its own")

	_, err = UnwrapKey(wrapped, "another")
	require.ErrorIs(t, err, ErrPassphrase)
	for _, i := range []int{0, 1, 5, 6, 7, wrapHead, len(wrapped) - 1} {
		altered := bytes.Clone(wrapped)
		altered[i] ^= 0xff
		_, err := UnwrapKey(altered, "a passphrase")
		require.Error(t, err, i)
	}
	for _, n := range []int{0, 1, wrapHead - 1, wrapHead, len(wrapped) - 1} {
		_, err := UnwrapKey(wrapped[:n], "a passphrase")
		require.Error(t, err, n)
	}
}

func TestFilesOfAManager(t *testing.T) {
	dir := t.TempDir()
	_, _, err := LoadCA(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, SaveCA(dir, []byte{1, 2}, []byte{3}))
	certificate, sealed, err := LoadCA(dir)
	require.NoError(t, err)
	require.Equal(t, []byte{1, 2}, certificate)
	require.Equal(t, []byte{3}, sealed)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("x"), 0o600))
	_, _, err = LoadCA(dir)
	require.ErrorContains(t, err, "damaged")

	path := filepath.Join(dir, "key")
	_, err = LoadKey(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Error(t, SaveKey(path, []byte{1}))
	key := bytes.Repeat([]byte{7}, 32)
	require.NoError(t, SaveKey(path, key))
	got, err := LoadOrCreateKey(path)
	require.NoError(t, err)
	require.Equal(t, key, got)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
}
