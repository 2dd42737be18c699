package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
)

// greet tells the client that it was let in.
func greet(_ context.Context, conn *tls.Conn, peer pki.Peer) {
	defer conn.Close()
	conn.Write([]byte("hello " + peer.NodeID))
}

func ask(t *testing.T, l *Listener, config *tls.Config) (string, error) {
	t.Helper()
	dialer := &tls.Dialer{Config: config}
	conn, err := dialer.DialContext(limited(t), "tcp", l.Addr().String())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	text, err := io.ReadAll(conn)
	if err == nil && len(text) == 0 {
		err = io.EOF
	}
	return string(text), err
}

func TestWhoIsLetIn(t *testing.T) {
	noLeaks(t)
	ca, other := newCA(t), newCA(t)
	l := serve(t, identity(t, ca, pki.RoleManager, "m1"), map[string]Handler{ALPNAgent: greet, ALPNRaft: greet, ALPNJoin: greet})
	agent, manager := identity(t, ca, pki.RoleAgent, "a1"), identity(t, ca, pki.RoleManager, "m2")
	stranger := identity(t, other, pki.RoleAgent, "a1")
	trusting := stranger.Identity()
	trusting.CA = ca.Certificate
	strangerTrusting := pki.NewCredentials(trusting)
	nameless := func(alpn string) *tls.Config {
		c := agent.ClientConfig(alpn)
		c.GetClientCertificate = nil
		return c
	}
	old := agent.ClientConfig(ALPNAgent)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	for name, c := range map[string]struct {
		config *tls.Config
		want   string // empty for refused
	}{
		"agent on the agent protocol":        {agent.ClientConfig(ALPNAgent), "hello a1"},
		"manager on Raft's protocol":         {manager.ClientConfig(ALPNRaft), "hello m2"},
		"agent on Raft's protocol":           {agent.ClientConfig(ALPNRaft), ""},
		"manager on the agent protocol":      {manager.ClientConfig(ALPNAgent), ""},
		"nobody on the agent protocol":       {nameless(ALPNAgent), ""},
		"nobody on Raft's protocol":          {nameless(ALPNRaft), ""},
		"nobody on the join protocol":        {nameless(ALPNJoin), "hello "},
		"another CA's agent":                 {strangerTrusting.ClientConfig(ALPNAgent), ""},
		"a client that trusts another CA":    {stranger.ClientConfig(ALPNAgent), ""},
		"a protocol that doesn't exist":      {agent.ClientConfig("h2"), ""},
		"TLS 1.2":                            {old, ""},
		"joining with the right fingerprint": {pki.JoinConfig(ALPNJoin, pki.Fingerprint(ca.Certificate)), "hello "},
		"joining with a wrong fingerprint":   {pki.JoinConfig(ALPNJoin, pki.Fingerprint(other.Certificate)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ask(t, l, c.config)
			if c.want == "" {
				require.Error(t, err)
				require.Empty(t, got)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestAnAgentCanNotPassAsManager(t *testing.T) {
	noLeaks(t)
	ca := newCA(t)
	l := serve(t, identity(t, ca, pki.RoleAgent, "a1"), map[string]Handler{ALPNAgent: greet})
	_, err := ask(t, l, identity(t, ca, pki.RoleAgent, "a2").ClientConfig(ALPNAgent))
	require.Error(t, err)
}

func TestARefusedNodeIsKeptOut(t *testing.T) {
	noLeaks(t)
	ca := newCA(t)
	l := serve(t, identity(t, ca, pki.RoleManager, "m1"), map[string]Handler{ALPNAgent: greet})
	l.Refuse(func(p pki.Peer) error {
		if p.NodeID == "removed" {
			return errors.New("removed")
		}
		return nil
	})
	_, err := ask(t, l, identity(t, ca, pki.RoleAgent, "a1").ClientConfig(ALPNAgent))
	require.NoError(t, err)
	_, err = ask(t, l, identity(t, ca, pki.RoleAgent, "removed").ClientConfig(ALPNAgent))
	require.Error(t, err)
}

func TestRaftLayer(t *testing.T) {
	noLeaks(t)
	ca := newCA(t)
	one := identity(t, ca, pki.RoleManager, "m1")
	l := serve(t, one, nil)
	layer := NewRaftLayer(l, one, "m1.example.org:7443")
	require.Equal(t, "m1.example.org:7443", layer.Addr().String(), "what the others dial")
	other := &RaftLayer{credentials: identity(t, ca, pki.RoleManager, "m2")}
	out, err := other.Dial(raft.ServerAddress(l.Addr().String()), patience)
	require.NoError(t, err)
	defer out.Close()
	in, err := layer.Accept()
	require.NoError(t, err)
	defer in.Close()
	_, err = out.Write([]byte("vote"))
	require.NoError(t, err)
	got := make([]byte, 4)
	_, err = io.ReadFull(in, got)
	require.NoError(t, err)
	require.Equal(t, "vote", string(got))

	require.NoError(t, layer.Close())
	require.NoError(t, layer.Close())
	_, err = layer.Accept()
	require.Error(t, err)
}
