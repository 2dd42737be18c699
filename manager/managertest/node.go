// Package managertest gives tests a manager's parts as one node has them: the state, Raft, the service, its servers.
//
// It owns how these are opened for a test and closed at its end, and the people and the project that tests begin with. It
// knows no page and no route: what is served is its callers' concern. No program imports it.
//
// All parts are real but for what comes from Docker hosts, which tests report themselves.
package managertest

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/consensus"
	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// Patience is how long a condition may take to come true on a loaded machine.
const Patience = 60 * time.Second

// Password is that of all users whom User makes.
const Password = "correct horse"

// passwordHash is made once, as it takes long on purpose.
var passwordHash = sync.OnceValues(func() (string, error) { return auth.HashPassword(Password) })

// Node is a Raft cluster of one, which leads, with its state.
type Node struct {
	*consensus.Node
	T *testing.T
}

// NewNode opens a node until the end of the test.
func NewNode(t *testing.T) *Node {
	t.Helper()
	dir := t.TempDir()
	store, err := state.Open(filepath.Join(dir, "state.db"))
	require.NoError(t, err)
	layer, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	node, err := consensus.Open(consensus.Config{Dir: filepath.Join(dir, "raft"), NodeID: "m1", Store: store, Layer: loopback{layer},
		Logger: slog.New(slog.DiscardHandler), Bootstrap: true})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, node.Close())
		require.NoError(t, store.Close())
	})
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	require.NoError(t, node.WaitLeader(ctx))
	return &Node{Node: node, T: t}
}

// Do applies a command, which must be accepted, and returns its result.
func (n *Node) Do(c state.Command) any {
	n.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	result, err := n.Propose(ctx, c)
	require.NoError(n.T, err, "%T", c)
	return result
}

// View reads the state.
func (n *Node) View(f func(tx *state.Tx) error) {
	n.T.Helper()
	require.NoError(n.T, n.Store().View(f))
}

// User makes a user, who has Password.
func (n *Node) User(name string, superuser bool) state.User {
	n.T.Helper()
	hash, err := passwordHash()
	require.NoError(n.T, err)
	u := state.User{ID: uuid.NewString(), Name: name, PasswordHash: hash, Active: true, Superuser: superuser}
	n.Do(&state.UserCreated{User: u})
	return u
}

// Login opens a session of an hour for a user and returns its secret.
func (n *Node) Login(user string) (secret string) {
	n.T.Helper()
	secret, hash := auth.NewSecret("")
	now := time.Now().UTC()
	n.Do(&state.SessionOpened{Session: state.Session{Hash: hash, User: user, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}})
	return secret
}

// Token makes an API token of a user, for one project unless that is empty, and returns its secret.
func (n *Node) Token(user string, scope state.Scope, project string) (secret string) {
	n.T.Helper()
	secret, hash := auth.NewSecret(auth.TokenPrefix)
	n.Do(&state.TokenCreated{Token: state.Token{ID: uuid.NewString(), Hash: hash, User: user, Name: "test", CreatedAt: time.Now().UTC(),
		Scope: scope, Project: project}})
	return secret
}

// loopback is Raft's network for a node that talks to nobody but itself.
type loopback struct{ net.Listener }

func (loopback) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(to), timeout)
}
