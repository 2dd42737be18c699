package pki_test

import (
	"bytes"
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
)

func TestIssueSaysWhoTheNodeIs(t *testing.T) {
	ca := newCA(t)
	for _, role := range []pki.Role{pki.RoleManager, pki.RoleAgent} {
		_, csr, err := pki.NewKey()
		require.NoError(t, err)
		der, err := ca.Issue(csr, role, "n1", testCluster, time.Now(), 0)
		require.NoError(t, err)
		c, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		require.Equal(t, "spiffe://"+testCluster+"/"+string(role)+"/n1", c.URIs[0].String())
		peer, err := pki.PeerFromCertificate(c)
		require.NoError(t, err)
		require.Equal(t, pki.Peer{Role: role, NodeID: "n1", ClusterID: testCluster}, peer)
		require.NoError(t, c.CheckSignatureFrom(ca.Certificate))
		require.False(t, c.IsCA)
		if role == pki.RoleManager {
			require.Equal(t, []string{pki.ManagerName}, c.DNSNames)
		} else {
			require.Empty(t, c.DNSNames)
			require.NotContains(t, c.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		}
	}
}

func TestPeerNeedsANodesName(t *testing.T) {
	_, err := pki.PeerFromCertificate(newCA(t).Certificate)
	require.Error(t, err)
}

func TestIssueRefuses(t *testing.T) {
	ca, now := newCA(t), time.Now()
	_, csr, err := pki.NewKey()
	require.NoError(t, err)
	forged := bytes.Clone(csr)
	forged[len(forged)-1] ^= 1
	for name, f := range map[string]func() ([]byte, error){
		"a forged request":    func() ([]byte, error) { return ca.Issue(forged, pki.RoleAgent, "n1", testCluster, now, 0) },
		"garbage":             func() ([]byte, error) { return ca.Issue([]byte{1}, pki.RoleAgent, "n1", testCluster, now, 0) },
		"an unknown role":     func() ([]byte, error) { return ca.Issue(csr, "root", "n1", testCluster, now, 0) },
		"an id with a slash":  func() ([]byte, error) { return ca.Issue(csr, pki.RoleAgent, "n/1", testCluster, now, 0) },
		"an empty id":         func() ([]byte, error) { return ca.Issue(csr, pki.RoleAgent, "", testCluster, now, 0) },
		"a malformed cluster": func() ([]byte, error) { return ca.Issue(csr, pki.RoleAgent, "n1", "a b", now, 0) },
		"a negative life":     func() ([]byte, error) { return ca.Issue(csr, pki.RoleAgent, "n1", testCluster, now, -1) },
		"a CA that expired": func() ([]byte, error) {
			return ca.Issue(csr, pki.RoleAgent, "n1", testCluster, ca.Certificate.NotAfter, 0)
		},
	} {
		_, err := f()
		require.Error(t, err, name)
	}
}

func TestIssueLimitsTheLife(t *testing.T) {
	ca := newCA(t)
	_, csr, err := pki.NewKey()
	require.NoError(t, err)
	now, caEnd := time.Now(), ca.Certificate.NotAfter
	for name, c := range map[string]struct {
		at   time.Time
		life time.Duration
		end  time.Time
	}{
		"as asked for":             {now, 3 * time.Hour, now.Add(3 * time.Hour)},
		"the default":              {now, 0, now.Add(pki.DefaultLife)},
		"no longer than the CA's":  {now, 100 * 365 * 24 * time.Hour, caEnd},
		"near the end of the CA's": {caEnd.Add(-time.Hour), 0, caEnd},
	} {
		der, err := ca.Issue(csr, pki.RoleAgent, "n1", testCluster, c.at, c.life)
		require.NoError(t, err, name)
		got, err := x509.ParseCertificate(der)
		require.NoError(t, err, name)
		require.WithinDuration(t, c.end, got.NotAfter, time.Second, name)
		require.False(t, got.NotAfter.After(caEnd), name)
	}
}

func TestCAIsRestored(t *testing.T) {
	ca := newCA(t)
	key, err := ca.MarshalKey()
	require.NoError(t, err)
	again, err := pki.ParseCA(ca.Certificate.Raw, key)
	require.NoError(t, err)
	newIdentity(t, again, pki.RoleAgent, "n1")
	_, err = pki.ParseCA(newCA(t).Certificate.Raw, key)
	require.Error(t, err, "the key of another CA")
}

func TestANodeJoinsAgainWithItsKey(t *testing.T) {
	ca, dir := newCA(t), t.TempDir()
	require.NoError(t, expiredIdentity(t, ca, pki.RoleAgent, "a1").Save(dir))
	old, err := pki.LoadIdentity(dir)
	require.NoError(t, err, "an expired certificate still says who the node was")
	require.True(t, old.Expired(time.Now()))
	certificate := old.Certificate.Certificate[0]
	csr, err := old.Request()
	require.NoError(t, err)
	peer, err := ca.Former(certificate, csr)
	require.NoError(t, err)
	require.Equal(t, old.Peer, peer)
	require.False(t, renew(t, ca, old).Expired(time.Now()))

	_, anotherKey, err := pki.NewKey()
	require.NoError(t, err)
	forged := bytes.Clone(csr)
	forged[len(forged)-1] ^= 1
	stranger := newIdentity(t, newCA(t), pki.RoleAgent, "a1")
	strangerCSR, err := stranger.Request()
	require.NoError(t, err)
	altered := bytes.Clone(certificate)
	altered[len(altered)-1] ^= 1
	for name, f := range map[string]func() (pki.Peer, error){
		"another key":          func() (pki.Peer, error) { return ca.Former(certificate, anotherKey) },
		"another CA":           func() (pki.Peer, error) { return newCA(t).Former(certificate, csr) },
		"a forged request":     func() (pki.Peer, error) { return ca.Former(certificate, forged) },
		"an altered signature": func() (pki.Peer, error) { return ca.Former(altered, csr) },
		"the CA's certificate": func() (pki.Peer, error) { return ca.Former(ca.Certificate.Raw, csr) },
		"no certificate":       func() (pki.Peer, error) { return ca.Former(nil, csr) },
		"no request":           func() (pki.Peer, error) { return ca.Former(certificate, nil) },
		"an identity of another CA": func() (pki.Peer, error) {
			return ca.Former(stranger.Certificate.Certificate[0], strangerCSR)
		},
	} {
		peer, err := f()
		require.Error(t, err, name)
		require.Zero(t, peer, name)
	}
}
