package pki

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const testCluster = "6a3c1d52-0000-4000-8000-000000000001"

func testCA(t *testing.T) *CA {
	t.Helper()
	ca, err := NewCA(testCluster, time.Now())
	require.NoError(t, err)
	return ca
}

func TestIssueSaysWhoTheNodeIs(t *testing.T) {
	ca := testCA(t)
	for _, role := range []Role{RoleManager, RoleAgent} {
		_, csr, err := NewKey()
		require.NoError(t, err)
		der, err := ca.Issue(csr, role, "n1", testCluster, time.Now(), 0)
		require.NoError(t, err)
		c, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		require.Equal(t, "spiffe://"+testCluster+"/"+string(role)+"/n1", c.URIs[0].String())
		peer, err := PeerFromCertificate(c)
		require.NoError(t, err)
		require.Equal(t, Peer{Role: role, NodeID: "n1", ClusterID: testCluster}, peer)
		require.NoError(t, c.CheckSignatureFrom(ca.Certificate))
		require.False(t, c.IsCA)
		if role == RoleManager {
			require.Equal(t, []string{ManagerName}, c.DNSNames)
		} else {
			require.Empty(t, c.DNSNames)
			require.NotContains(t, c.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	ca := testCA(t)
	_, csr, err := NewKey()
	require.NoError(t, err)
	forged := bytes.Clone(csr)
	forged[len(forged)-1] ^= 1
	for name, f := range map[string]func() ([]byte, error){
		"a forged request":    func() ([]byte, error) { return ca.Issue(forged, RoleAgent, "n1", testCluster, time.Now(), 0) },
		"garbage":             func() ([]byte, error) { return ca.Issue([]byte{1}, RoleAgent, "n1", testCluster, time.Now(), 0) },
		"an unknown role":     func() ([]byte, error) { return ca.Issue(csr, "root", "n1", testCluster, time.Now(), 0) },
		"an id with a slash":  func() ([]byte, error) { return ca.Issue(csr, RoleAgent, "n/1", testCluster, time.Now(), 0) },
		"an empty id":         func() ([]byte, error) { return ca.Issue(csr, RoleAgent, "", testCluster, time.Now(), 0) },
		"a malformed cluster": func() ([]byte, error) { return ca.Issue(csr, RoleAgent, "n1", "a b", time.Now(), 0) },
	} {
		_, err := f()
		require.Error(t, err, name)
	}
}

func TestCAIsRestored(t *testing.T) {
	ca := testCA(t)
	key, err := ca.MarshalKey()
	require.NoError(t, err)
	again, err := ParseCA(ca.Certificate.Raw, key)
	require.NoError(t, err)
	_, err = NewIdentity(again, RoleAgent, "n1", testCluster, time.Now(), 0)
	require.NoError(t, err)
	_, err = ParseCA(testCA(t).Certificate.Raw, key)
	require.Error(t, err, "the key of another CA")
}

func TestIdentityIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "node")
	_, err := LoadIdentity(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
	id, err := NewIdentity(testCA(t), RoleManager, "n1", testCluster, time.Now(), 0)
	require.NoError(t, err)
	require.NoError(t, id.Save(dir))
	require.NoError(t, id.Save(dir), "saving again replaces")
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1, "no temporary file is left")
	info, err := files[0].Info()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	got, err := LoadIdentity(dir)
	require.NoError(t, err)
	require.Equal(t, id.NodeID, got.NodeID)
	require.Equal(t, id.ClusterID, got.ClusterID)
	require.Equal(t, id.Role, got.Role)
	require.Equal(t, id.Certificate.Certificate, got.Certificate.Certificate)
	require.True(t, id.CA.Equal(got.CA))

	require.NoError(t, os.WriteFile(filepath.Join(dir, files[0].Name()), []byte("x"), 0o600))
	_, err = LoadIdentity(dir)
	require.Error(t, err)
}

func TestSealBindsKeyAndContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.key")
	key, err := LoadOrCreateKey(path)
	require.NoError(t, err)
	again, err := LoadOrCreateKey(path)
	require.NoError(t, err)
	require.Equal(t, key, again)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	sealed, err := Seal(key, []byte("secret"), "place")
	require.NoError(t, err)
	require.NotContains(t, string(sealed), "secret")
	other, err := Seal(key, []byte("secret"), "place")
	require.NoError(t, err)
	require.NotEqual(t, sealed, other)
	plain, err := Open(key, sealed, "place")
	require.NoError(t, err)
	require.Equal(t, "secret", string(plain))
	_, err = Open(key, sealed, "elsewhere")
	require.Error(t, err)
	_, err = Open(bytes.Repeat([]byte{1}, len(key)), sealed, "place")
	require.Error(t, err)
	for n := range sealed {
		_, err = Open(key, sealed[:n], "place")
		require.Error(t, err)
		damaged := bytes.Clone(sealed)
		damaged[n] ^= 1
		_, err = Open(key, damaged, "place")
		require.Error(t, err)
	}

	require.NoError(t, os.WriteFile(path, []byte("short"), 0o600))
	_, err = LoadOrCreateKey(path)
	require.Error(t, err)
}

func TestJoinToken(t *testing.T) {
	ca := testCA(t)
	token := NewJoinToken(RoleAgent, ca.Certificate)
	got, err := ParseJoinToken(" " + token.String() + "\n")
	require.NoError(t, err)
	require.Equal(t, token, got)
	require.Equal(t, HashSecret(token.Secret), HashSecret(got.Secret))
	require.NotEqual(t, token.Secret, NewJoinToken(RoleAgent, ca.Certificate).Secret)
	text := token.String()
	for _, bad := range []string{"", "kioscjoin", text[:len(text)-1], text + "-x", strings.Replace(text, "-1-", "-2-", 1),
		strings.Replace(text, "agent", "root", 1), strings.Replace(text, text[18:20], "zz", 1)} {
		_, err := ParseJoinToken(bad)
		require.Error(t, err, bad)
		require.NotContains(t, err.Error(), token.Secret)
	}
}

func TestPeerNeedsANodesName(t *testing.T) {
	_, err := PeerFromCertificate(testCA(t).Certificate)
	require.Error(t, err)
}
