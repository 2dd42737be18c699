package consensus_test

import (
	"context"
	"errors"
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

const (
	patience = 20 * time.Second
	// clientPatience is how long a client of a history waits for an answer.
	clientPatience = 3 * time.Second
)

// network is the loopback network between the nodes of a test, with faults.
type network struct {
	mu    sync.Mutex
	names map[string]string  // address → node
	cut   map[[2]string]bool // from, to
	conns map[*link]struct{} // that a node has dialled
	nodes map[string]*member // that run
}

var errCut = errors.New("the network is cut")

// link is a connection of one node to another.
type link struct {
	net.Conn
	from, to string
	on       *network
}

func (l *link) Close() error {
	l.on.mu.Lock()
	delete(l.on.conns, l)
	l.on.mu.Unlock()
	return l.Conn.Close()
}

// isolate cuts a node off from all others, or with heal lets it back.
func (n *network) isolate(node string, heal bool) {
	n.mu.Lock()
	var broken []*link
	for _, other := range n.names {
		if other != node {
			n.cut[[2]string{node, other}], n.cut[[2]string{other, node}] = !heal, !heal
		}
	}
	for l := range n.conns {
		if n.cut[[2]string{l.from, l.to}] {
			broken = append(broken, l)
		}
	}
	n.mu.Unlock()
	for _, l := range broken {
		l.Close()
	}
}

func (n *network) isCut(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut[[2]string{from, to}]
}

// member is one node of the cluster with what it is started from.
type member struct {
	*consensus.Node
	name, dir, addr string
	on              *network
	store           *state.Store
	stop            func()

	use sync.RWMutex // held by clients, and exclusively by a restart
}

// Propose, sync and view are for clients, which find a node gone while it is restarted.
func (m *member) Propose(ctx context.Context, c state.Command) (any, error) {
	m.use.RLock()
	n := m.Node
	m.use.RUnlock()
	return n.Propose(ctx, c)
}

func (m *member) sync() error {
	m.use.RLock()
	n := m.Node
	m.use.RUnlock()
	ctx, cancel := context.WithTimeout(context.Background(), clientPatience)
	defer cancel()
	return n.Sync(ctx)
}

func (m *member) view(f func(*state.Tx) error) error {
	m.use.RLock()
	defer m.use.RUnlock()
	return m.store.View(f)
}

// restart ends the node as a crash does, as far as others see, and starts it on its directory with an empty state. It
// is back when it has applied what it had before: only then its clients may read.
func (m *member) restart(t *testing.T) {
	t.Helper()
	m.use.Lock()
	defer m.use.Unlock()
	m.end()
	m.start(t, false)
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return m.Node.Sync(ctx) == nil
	}, patience, 10*time.Millisecond)
}

// layer is Raft's network of one node.
type faultyLayer struct {
	net.Listener
	from string
	on   *network
}

func (l *faultyLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	l.on.mu.Lock()
	to := l.on.names[string(address)]
	cut := l.on.cut[[2]string{l.from, to}]
	l.on.mu.Unlock()
	if cut {
		return nil, errCut
	}
	conn, err := net.DialTimeout("tcp", string(address), timeout)
	if err != nil {
		return nil, err
	}
	made := &link{conn, l.from, to, l.on}
	l.on.mu.Lock()
	l.on.conns[made] = struct{}{}
	l.on.mu.Unlock()
	return made, nil
}

// Forward hands a command to the leader unless the network is cut. What is lost on the way is lost in silence.
func (m *member) Forward(ctx context.Context, leader string, origin, command []byte, refused func(error)) {
	m.on.mu.Lock()
	to := m.on.nodes[leader]
	m.on.mu.Unlock()
	if to == nil {
		refused(consensus.ErrNotTaken)
		return
	}
	go func() {
		if m.on.isCut(m.name, leader) {
			return
		}
		to.use.RLock()
		leader := to.Node
		to.use.RUnlock()
		err := leader.Take(origin, command)()
		if err != nil && !m.on.isCut(to.name, m.name) {
			refused(err)
		}
	}()
}

// cluster starts three nodes that vote.
func cluster(t *testing.T) (*network, []*member) {
	t.Helper()
	on := &network{names: map[string]string{}, cut: map[[2]string]bool{}, conns: map[*link]struct{}{}, nodes: map[string]*member{}}
	var all []*member
	for i := range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, l.Close())
		m := &member{name: fmt.Sprint("m", i+1), dir: t.TempDir(), addr: l.Addr().String(), on: on}
		on.names[m.addr] = m.name
		all = append(all, m)
	}
	for i, m := range all {
		m.start(t, i == 0)
		t.Cleanup(func() { m.end() })
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, all[0].WaitLeader(ctx))
	for _, m := range all[1:] {
		require.NoError(t, all[0].AddMember(m.name, m.addr))
		require.NoError(t, all[0].SetVoter(m.name, m.addr))
	}
	for _, m := range all {
		require.NoError(t, m.Sync(ctx))
	}
	return on, all
}

func (m *member) start(t *testing.T, bootstrap bool) {
	t.Helper()
	l, err := net.Listen("tcp", m.addr)
	require.NoError(t, err)
	m.store, err = state.Open(filepath.Join(t.TempDir(), "state.db"))
	require.NoError(t, err)
	m.Node, err = consensus.Open(consensus.Config{Dir: m.dir, NodeID: m.name, Store: m.store, Layer: &faultyLayer{l, m.name, m.on},
		Logger: slog.New(slog.DiscardHandler), Bootstrap: bootstrap, Join: !bootstrap, Forward: m})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	node := m.Node
	go func() {
		defer close(done)
		node.Lead(ctx, func(ctx context.Context) { <-ctx.Done() })
	}()
	m.stop = func() {
		cancel()
		<-done
	}
	m.on.mu.Lock()
	m.on.nodes[m.name] = m
	m.on.mu.Unlock()
}

// end stops the node. It may be started again on its directory.
func (m *member) end() {
	m.on.mu.Lock()
	running := m.on.nodes[m.name] == m
	delete(m.on.nodes, m.name)
	m.on.mu.Unlock()
	if running {
		m.stop()
		m.Close()
		m.store.Close()
	}
}

// leading returns the node that leads and that a majority can reach.
func leading(t *testing.T, all []*member) (leader *member) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, m := range all {
			m.on.mu.Lock()
			running := m.on.nodes[m.name] == m
			m.on.mu.Unlock()
			if running && m.Leading() && m.VerifyLeader() == nil {
				leader = m
				return true
			}
		}
		return false
	}, patience, 10*time.Millisecond)
	return leader
}

func node(id, name string) *state.NodeRegistered {
	return &state.NodeRegistered{Node: state.Node{ID: id, Name: name, Role: state.AgentNode}}
}

func TestAnyNodeTakesWritesAndReadsThem(t *testing.T) {
	_, all := cluster(t)
	for i, m := range all {
		id := fmt.Sprint("n", i)
		_, err := m.Propose(context.Background(), node(id, id))
		require.NoError(t, err)
		require.NoError(t, m.store.View(func(tx *state.Tx) error {
			_, there, err := tx.Node(id)
			require.True(t, there, "read here at once")
			return err
		}))
	}
	// A rule of the state is told to the caller, wherever it asks.
	for _, m := range all {
		_, err := m.Propose(context.Background(), node("other", "n1"))
		require.Equal(t, state.Conflict, state.CodeOf(err))
	}
}

func TestWithoutAMajorityReadsGoOnAndWritesAreRefused(t *testing.T) {
	on, all := cluster(t)
	alone := leading(t, all)
	_, err := alone.Propose(context.Background(), node("n1", "n1"))
	require.NoError(t, err)
	on.isolate(alone.name, false)
	require.Eventually(t, func() bool { return alone.LeaderlessFor() > 0 }, patience, 10*time.Millisecond)
	began := time.Now()
	_, err = alone.Propose(context.Background(), node("n2", "n2"))
	require.Equal(t, state.Unavailable, state.CodeOf(err))
	require.ErrorContains(t, err, "nothing was changed")
	require.Less(t, time.Since(began), 7*time.Second)
	require.NoError(t, alone.store.View(func(tx *state.Tx) error {
		_, there, err := tx.Node("n1")
		require.True(t, there)
		return err
	}))
	// The others go on, and it catches up.
	var others []*member
	for _, m := range all {
		if m != alone {
			others = append(others, m)
		}
	}
	_, err = leading(t, others).Propose(context.Background(), node("n3", "n3"))
	require.NoError(t, err)
	on.isolate(alone.name, true)
	require.Eventually(t, func() bool { return alone.Sync(context.Background()) == nil }, patience, 10*time.Millisecond)
	require.NoError(t, alone.store.View(func(tx *state.Tx) error {
		_, refused, err := tx.Node("n2")
		require.False(t, refused, "what was refused is not there")
		_, there, err2 := tx.Node("n3")
		require.True(t, there)
		return errors.Join(err, err2)
	}))
}

// TestEachCommandCountsOnce has many writers while leaders are lost. Each command makes a node of its own name; one that
// counted twice would be refused the second time, or be there although its caller was told that nothing was changed.
func TestEachCommandCountsOnce(t *testing.T) {
	on, all := cluster(t)
	_, err := all[0].Propose(context.Background(), &state.UserCreated{User: state.User{ID: "u1", Name: "ana"}})
	require.NoError(t, err)
	type write struct {
		id  string
		err error
	}
	var mu sync.Mutex
	var writes []write
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for w := range 12 {
		m := all[w%3]
		running.Add(1)
		go func() {
			defer running.Done()
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("w%d-%d", w, i)
				// The project's title is its own, so that applying it twice fails the second time.
				_, err := m.Propose(context.Background(), &state.ProjectCreated{Owner: "u1",
					Project: state.Project{ID: id, Title: id, Type: state.TypeProject}})
				mu.Lock()
				writes = append(writes, write{id, err})
				mu.Unlock()
			}
		}()
	}
	more := func() func() bool {
		mu.Lock()
		defer mu.Unlock()
		before := len(writes)
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(writes) > before+100
		}
	}
	for range 3 {
		require.Eventually(t, more(), patience, 10*time.Millisecond, "writes go on")
		l := leading(t, all)
		on.isolate(l.name, false)
		var others []*member
		for _, m := range all {
			if m != l {
				others = append(others, m)
			}
		}
		leading(t, others)
		on.isolate(l.name, true)
	}
	cancel()
	running.Wait()
	require.NoError(t, all[0].Sync(context.Background()))
	confirmed, unsure := 0, 0
	for _, w := range writes {
		var there bool
		require.NoError(t, all[0].store.View(func(tx *state.Tx) (err error) {
			_, there, err = tx.Project(w.id)
			return err
		}))
		switch code := state.CodeOf(w.err); {
		case w.err == nil:
			require.True(t, there, "confirmed: "+w.id)
			confirmed++
		case code == state.Unavailable && w.err.Error() == unsure503:
			unsure++
		case code == state.Unavailable:
			require.False(t, there, "refused: "+w.id)
		default:
			require.False(t, there, "%s: %v", w.id, w.err)
			require.NotContains(t, w.err.Error(), "exists", "applied twice: "+w.id)
		}
	}
	t.Logf("%d confirmed, %d without an answer", confirmed, unsure)
	require.Greater(t, confirmed, 100)
}

// unsure503 is the one answer after which a change may have been made or not.
const unsure503 = "The change was not confirmed in time. Look whether it was made before you try again."

func TestLeadershipIsHandedOver(t *testing.T) {
	_, all := cluster(t)
	old := leading(t, all)
	require.NoError(t, old.HandOver(context.Background()))
	require.Eventually(t, func() bool { l := leading(t, all); return l != old }, patience, 10*time.Millisecond)
	_, err := old.Propose(context.Background(), node("n1", "n1"))
	require.NoError(t, err)
}

func TestMembersComeAndGo(t *testing.T) {
	_, all := cluster(t)
	l := leading(t, all)
	var other *member
	for _, m := range all {
		if m != l {
			other = m
		}
	}
	require.NoError(t, l.Demote(other.name))
	members, err := l.Members()
	require.NoError(t, err)
	for _, m := range members {
		require.Equal(t, m.ID != other.name, m.Voter, m.ID)
	}
	require.NoError(t, l.SetVoter(other.name, other.addr))
	require.NoError(t, l.RemoveMember(other.name))
	members, err = l.Members()
	require.NoError(t, err)
	require.Len(t, members, 2)
	_, err = l.Propose(context.Background(), node("n1", "n1"))
	require.NoError(t, err)
	require.Error(t, other.Demote(l.name), "only the leader can")
}
