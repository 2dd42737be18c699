package pki_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
)

func TestIdentityIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "node")
	_, err := pki.LoadIdentity(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
	ca := newCA(t)
	id := newIdentity(t, ca, pki.RoleManager, "n1")
	require.NoError(t, id.Save(dir))
	id = renew(t, ca, id)
	require.NoError(t, id.Save(dir), "saving again replaces")
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1, "no temporary file is left")
	info, err := files[0].Info()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	got, err := pki.LoadIdentity(dir)
	require.NoError(t, err)
	require.Equal(t, id.Peer, got.Peer)
	require.Equal(t, id.Certificate.Certificate, got.Certificate.Certificate)
	require.True(t, id.CA.Equal(got.CA))

	require.NoError(t, os.WriteFile(filepath.Join(dir, files[0].Name()), []byte("x"), 0o600))
	_, err = pki.LoadIdentity(dir)
	require.Error(t, err)
}

func TestRenewAtIsTheMiddleOfTheLife(t *testing.T) {
	now := time.Now()
	id, err := pki.NewIdentity(newCA(t), pki.RoleAgent, "a1", testCluster, now, 10*time.Hour)
	require.NoError(t, err)
	require.WithinDuration(t, now.Add(5*time.Hour), id.RenewAt(), 5*time.Minute)
	require.False(t, id.Expired(now.Add(10*time.Hour-time.Minute)))
	require.True(t, id.Expired(now.Add(10*time.Hour+time.Minute)))
}

func TestRenewedKeepsKeyAndName(t *testing.T) {
	ca := newCA(t)
	id := newIdentity(t, ca, pki.RoleAgent, "a1")
	next := renew(t, ca, id)
	require.Equal(t, id.Peer, next.Peer)
	require.Equal(t, id.Certificate.PrivateKey, next.Certificate.PrivateKey)
	require.NotEqual(t, id.Certificate.Leaf.SerialNumber, next.Certificate.Leaf.SerialNumber)

	csr, err := id.Request()
	require.NoError(t, err)
	issue := func(by *pki.CA, role pki.Role, node, cluster string) []byte {
		der, err := by.Issue(csr, role, node, cluster, time.Now(), 0)
		require.NoError(t, err)
		return der
	}
	for name, der := range map[string][]byte{
		"another node":    issue(ca, pki.RoleAgent, "a2", testCluster),
		"another role":    issue(ca, pki.RoleManager, "a1", testCluster),
		"another cluster": issue(ca, pki.RoleAgent, "a1", "other"),
		"another CA":      issue(newCA(t), pki.RoleAgent, "a1", testCluster),
		"another key":     newIdentity(t, ca, pki.RoleAgent, "a1").Certificate.Certificate[0],
		"garbage":         {1},
	} {
		_, err := id.Renewed(der)
		require.Error(t, err, name)
	}
}
