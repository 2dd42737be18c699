package consensus_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/consensus"
	"kiosc/cluster/state"
)

// layer is Raft's network over plain loopback connections.
type layer struct{ net.Listener }

func (layer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(address), timeout)
}

// open starts a node on dir with an empty state, as a manager does at each start.
func open(t *testing.T, dir string, bootstrap bool) (*consensus.Node, error) {
	t.Helper()
	store, err := state.Open(filepath.Join(t.TempDir(), "state.db"))
	require.NoError(t, err)
	t.Cleanup(func() { store.Close() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n, err := consensus.Open(consensus.Config{Dir: dir, NodeID: "one", Store: store, Layer: layer{l},
		Logger: slog.New(slog.DiscardHandler), Bootstrap: bootstrap})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { n.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	require.NoError(t, n.WaitLeader(ctx))
	return n, nil
}

func project(n *consensus.Node, id string) error {
	_, err := n.Propose(context.Background(), &state.ProjectCreated{Owner: "u1",
		Project: state.Project{ID: id, Title: "Project " + id, Type: state.TypeProject}})
	return err
}

func projects(t *testing.T, n *consensus.Node) (count int) {
	t.Helper()
	require.NoError(t, n.Store().View(func(tx *state.Tx) error {
		list, err := tx.Projects()
		count = len(list)
		return err
	}))
	return count
}

func TestWhatIsProposedSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	n, err := open(t, dir, true)
	require.NoError(t, err)
	_, err = n.Propose(context.Background(), &state.UserCreated{User: state.User{ID: "u1", Name: "ana"}})
	require.NoError(t, err)
	var all sync.WaitGroup
	for i := range 200 {
		all.Add(1)
		go func() {
			defer all.Done()
			if err := project(n, fmt.Sprint("p", i)); err != nil {
				t.Error(err)
			}
		}()
	}
	all.Wait()
	require.Equal(t, 200, projects(t, n), "a caller reads its own write")
	require.Equal(t, state.Conflict, state.CodeOf(project(n, "p1")), "a rule's refusal comes back")
	require.NoError(t, n.Snapshot())
	require.NoError(t, project(n, "after the snapshot"))
	last := n.Store().AppliedIndex()
	_, err = open(t, dir, true)
	require.ErrorIs(t, err, consensus.ErrLocked)
	require.NoError(t, n.Close())

	again, err := open(t, dir, false)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	require.NoError(t, again.Store().WaitIndex(ctx, last))
	require.Equal(t, 201, projects(t, again))
}

func TestWithoutBootstrapThereIsNoCluster(t *testing.T) {
	_, err := open(t, t.TempDir(), false)
	require.ErrorContains(t, err, "--bootstrap")
}

func TestLeadRunsAndIsWaitedFor(t *testing.T) {
	n, err := open(t, t.TempDir(), true)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	began, ended := make(chan struct{}, 10), make(chan struct{}, 10)
	left := make(chan struct{})
	go func() {
		defer close(left)
		n.Lead(ctx, func(ctx context.Context) {
			began <- struct{}{}
			<-ctx.Done()
			ended <- struct{}{}
		})
	}()
	<-began
	cancel()
	<-left
	require.GreaterOrEqual(t, len(ended), 1, "Lead waits for what it runs")
}

func TestAClosedNodeRefusesInOneSentence(t *testing.T) {
	n, err := open(t, t.TempDir(), true)
	require.NoError(t, err)
	require.NoError(t, n.Close())
	require.Equal(t, state.Unavailable, state.CodeOf(project(n, "p1")))
}
