package pki_test

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
)

const testCluster = "6a3c1d52-0000-4000-8000-000000000001"

func newCA(t *testing.T) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA(testCluster, time.Now())
	require.NoError(t, err)
	return ca
}

func newIdentity(t *testing.T, ca *pki.CA, role pki.Role, node string) pki.Identity {
	t.Helper()
	id, err := pki.NewIdentity(ca, role, node, testCluster, time.Now(), 0)
	require.NoError(t, err)
	return id
}

// expiredIdentity was valid for a minute, an hour ago.
func expiredIdentity(t *testing.T, ca *pki.CA, role pki.Role, node string) pki.Identity {
	t.Helper()
	id, err := pki.NewIdentity(ca, role, node, testCluster, time.Now().Add(-time.Hour), time.Minute)
	require.NoError(t, err)
	return id
}

// renew does what a node and a manager do for the next certificate.
func renew(t *testing.T, ca *pki.CA, id pki.Identity) pki.Identity {
	t.Helper()
	csr, err := id.Request()
	require.NoError(t, err)
	der, err := ca.Issue(csr, id.Role, id.NodeID, id.ClusterID, time.Now(), 0)
	require.NoError(t, err)
	next, err := id.Renewed(der)
	require.NoError(t, err)
	return next
}

// meet makes a connection over loopback and returns both ends with the errors of their handshakes.
func meet(t *testing.T, serverConfig, clientConfig *tls.Config) (server, client *tls.Conn, serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	there, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	here, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { here.Close(); there.Close() })

	server, client = tls.Server(here, serverConfig), tls.Client(there, clientConfig)
	require.NoError(t, here.SetDeadline(time.Now().Add(30*time.Second)))
	require.NoError(t, there.SetDeadline(time.Now().Add(30*time.Second)))
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	clientErr = client.Handshake()
	if clientErr != nil {
		there.Close()
	}
	return server, client, <-done, clientErr
}

// carries sends text from one end to the other.
func carries(t *testing.T, from, to *tls.Conn, text string) {
	t.Helper()
	_, err := from.Write([]byte(text))
	require.NoError(t, err)
	got := make([]byte, len(text))
	_, err = to.Read(got)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}
