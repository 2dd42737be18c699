package manager_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/manager"
	"kiosc/manager/service"
)

const (
	password   = "a-long-password"
	passphrase = "words of the operators"
	soon       = 30 * time.Second
)

// node is one manager in this process, with its real sockets and its real data directory.
type node struct {
	testing.TB
	cfg  manager.Config
	m    *manager.Manager
	stop context.CancelFunc
	done chan error
}

func freeAddr(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// config is for a manager that was never started. Its directory has a short name, because a socket's path may not be
// long.
func config(t testing.TB, name string) manager.Config {
	dir, err := os.MkdirTemp("", "kiosc")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return manager.Config{DataDir: dir, Name: name, Listen: "127.0.0.1:0", ClusterListen: freeAddr(t), AdminPassword: password,
		Version: "test", NodeGrace: 5 * time.Second, Logger: slog.New(slog.DiscardHandler)}
}

func start(t testing.TB, cfg manager.Config) *node {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	m, err := manager.New(ctx, cfg)
	if err != nil {
		cancel()
	}
	require.NoError(t, err)
	n := &node{TB: t, cfg: cfg, m: m, stop: cancel, done: make(chan error, 1)}
	go func() { n.done <- m.Run(ctx) }()
	t.Cleanup(func() { n.end() })
	return n
}

// end stops the manager and returns how it ended.
func (n *node) end() error {
	n.stop()
	err := <-n.done
	n.done <- err
	return err
}

// admin sends an admin command over the socket.
func (n *node) admin(name string, in, out any) error {
	raw, err := json.Marshal(in)
	require.NoError(n, err)
	client := http.Client{Timeout: soon, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(n.cfg.DataDir, "admin.sock"))
		}}}
	answer, err := client.Post("http://kiosc"+manager.AdminPrefix+name, "application/json", bytes.NewReader(raw))
	require.NoError(n, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(n, err)
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%d: %s", answer.StatusCode, body)
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = body
		return nil
	}
	return json.Unmarshal(body, out)
}

func (n *node) joinToken(role string, rotate bool) string {
	n.Helper()
	var out manager.Printed
	require.NoError(n, n.admin("join-token", manager.JoinTokenRequest{Role: role, Rotate: rotate}, &out))
	return out.Value
}

func (n *node) status() (s service.ClusterStatus) {
	n.Helper()
	require.NoError(n, n.admin("cluster-status", struct{}{}, &s))
	return s
}

func (n *node) wait(what string, ok func(service.ClusterStatus) bool) (s service.ClusterStatus) {
	n.Helper()
	require.Eventually(n, func() bool { s = n.status(); return ok(s) }, soon, 50*time.Millisecond, what)
	return s
}

func voters(s service.ClusterStatus) (count int) {
	for _, one := range s.Nodes {
		if one.Voter && one.Health == "ready" {
			count++
		}
	}
	return count
}

// three starts a cluster of three managers that vote, with settings besides the usual ones. Tests with such a cluster run
// one after the other: several at once keep small machines so busy that leaders lose their followers. Those with one
// manager run at the same time.
func three(t testing.TB, settings ...func(*manager.Config)) []*node {
	t.Helper()
	config := func(t testing.TB, name string) manager.Config {
		cfg := config(t, name)
		for _, set := range settings {
			set(&cfg)
		}
		return cfg
	}
	first := config(t, "m1")
	first.Bootstrap = true
	all := []*node{start(t, first)}
	token := all[0].joinToken("manager", false)
	for _, name := range []string{"m2", "m3"} {
		cfg := config(t, name)
		cfg.Join, cfg.Token = []string{all[0].cfg.ClusterListen}, token
		all = append(all, start(t, cfg))
	}
	for _, n := range all {
		n.wait("all three vote", func(s service.ClusterStatus) bool { return s.Quorum && voters(s) == 3 })
	}
	return all
}

func (n *node) id() string { return n.status().Answered }

// leader returns the manager that leads, and the others.
func leader(all []*node) (l *node, others []*node) {
	id := all[0].wait("a leader", func(s service.ClusterStatus) bool { return s.Leader != "" }).Leader
	for _, n := range all {
		if n.id() == id {
			l = n
		} else {
			others = append(others, n)
		}
	}
	return l, others
}

func TestThreeManagersFormAClusterByTokens(t *testing.T) {
	all := three(t)
	l, others := leader(all)

	// A write on any manager is read there at once, and soon everywhere.
	for i, n := range all {
		var out service.NodeStatus
		label := fmt.Sprint("from", i)
		require.NoError(t, n.admin("node-label", manager.NodeRequest{Node: "m1", Set: map[string]string{label: "yes"}}, &out))
		require.NoError(t, n.admin("node-inspect", manager.NodeRequest{Node: "m1"}, &out))
	}

	// The token is printed again as it is, until it is rotated.
	old := all[1].joinToken("agent", false)
	require.Equal(t, old, all[2].joinToken("agent", false))
	require.NotEqual(t, old, l.joinToken("agent", true))

	// The leader stops: another one leads at once, and writes go on.
	require.NoError(t, l.end())
	began := time.Now()
	others[0].joinToken("manager", true)
	require.Less(t, time.Since(began), soon/3)
	require.NotEqual(t, l.cfg.Name, others[0].wait("a new leader", func(s service.ClusterStatus) bool { return s.Leader != "" }).Leader)
}

func TestJoiningIsRefusedInASentence(t *testing.T) {
	t.Parallel()
	cfg := config(t, "m1")
	cfg.Bootstrap = true
	m := start(t, cfg)
	token := m.joinToken("manager", false)
	other := config(t, "other")
	other.Bootstrap = true
	foreign := start(t, other).joinToken("manager", false)
	rotated := m.joinToken("manager", true)
	for name, c := range map[string]struct{ token, name, text string }{
		"a token that was rotated":   {token, "m2", "join token is not valid"},
		"a token of another cluster": {foreign, "m2", "no manager of the cluster that the join token is for"},
		"a token for agents":         {m.joinToken("agent", false), "m2", "not for managers"},
		"no token":                   {"", "m2", "no join token"},
		"a name that is taken":       {rotated, "m1", "a node of the name m1 already"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t, c.name)
			cfg.Join, cfg.Token = []string{m.cfg.ClusterListen}, c.token
			_, err := manager.New(context.Background(), cfg)
			require.ErrorContains(t, err, c.text)
		})
	}
	require.Len(t, m.status().Nodes, 1, "nobody was let in")
}

func TestRemovingAManager(t *testing.T) {
	all := three(t)
	l, others := leader(all)

	// What one has seen last is told before it stops.
	token := l.token()
	require.Eventually(t, func() bool { return others[1].try(token, http.MethodGet, "/project/api/list") == http.StatusOK }, soon, 10*time.Millisecond)
	require.NoError(t, others[1].end())
	var tokens []service.TokenView
	require.NoError(t, l.admin("token-ls", manager.TokenRequest{User: "admin"}, &tokens))
	require.Len(t, tokens, 1)
	require.NotNil(t, tokens[0].UsedAt)

	// One is dead: no other may go.
	others[0].wait("one is down", func(s service.ClusterStatus) bool { return voters(s) == 2 })
	var out service.NodeStatus
	err := l.admin("node-rm", manager.NodeRequest{Node: others[0].cfg.Name}, &out)
	require.ErrorContains(t, err, "1 of 2 voting managers")
	err = others[0].admin("manager-demote", manager.NodeRequest{Node: l.cfg.Name}, &out)
	require.ErrorContains(t, err, "1 of 2 voting managers")

	// The dead one can be cleaned up.
	require.NoError(t, others[0].admin("node-rm", manager.NodeRequest{Node: others[1].cfg.Name}, &out))
	others[0].wait("two are left", func(s service.ClusterStatus) bool { return len(s.Nodes) == 2 && voters(s) == 2 })

	// It doesn't come back.
	back := others[1].cfg
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	m, err := manager.New(ctx, back)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	require.Never(t, func() bool { return len(l.status().Nodes) != 2 }, 2*time.Second, 100*time.Millisecond)
	cancel()
	<-ended

	// A running one ends by itself when it is removed, and says so at its next start.
	third := config(t, "m9")
	third.Join, third.Token = []string{others[0].cfg.ClusterListen}, l.joinToken("manager", false)
	n := start(t, third)
	n.wait("it votes", func(s service.ClusterStatus) bool { return voters(s) == 3 })
	require.NoError(t, l.admin("node-rm", manager.NodeRequest{Node: "m9"}, &out))
	select {
	case err := <-n.done:
		n.done <- err
		require.ErrorContains(t, err, "removed from the cluster")
	case <-time.After(soon):
		t.Fatal("the removed manager goes on")
	}
	_, err = manager.New(context.Background(), third)
	require.ErrorContains(t, err, "removed from the cluster")
}

func TestVotesAreTakenAndGiven(t *testing.T) {
	all := three(t)
	l, others := leader(all)
	var out service.NodeStatus
	require.Eventually(t, func() bool { // refused where the others are behind, as on a busy machine
		return others[0].admin("manager-demote", manager.NodeRequest{Node: l.cfg.Name}, &out) == nil
	}, soon, 50*time.Millisecond)
	others[0].wait("the former leader has no vote", func(s service.ClusterStatus) bool { return voters(s) == 2 && s.Leader != l.id() && s.Leader != "" })
	require.Never(t, func() bool { return voters(others[0].status()) == 3 }, 5*time.Second, 200*time.Millisecond, "it isn't given back by itself")
	require.NoError(t, l.admin("manager-promote", manager.NodeRequest{Node: l.cfg.Name}, &out))
	others[0].wait("it votes again", func(s service.ClusterStatus) bool { return voters(s) == 3 })
}

func TestWithoutQuorumReadsGoOnAndWritesAreRefused(t *testing.T) {
	all := three(t)
	_, others := leader(all)
	survivor := others[0]
	token := survivor.joinToken("agent", false) // which it has applied itself when it answers
	for _, n := range all {
		if n != survivor {
			require.NoError(t, n.end())
		}
	}
	survivor.wait("it has no leader", func(s service.ClusterStatus) bool { return !s.Quorum })
	require.Equal(t, token, survivor.joinToken("agent", false), "what is known can be read")
	err := survivor.admin("join-token", manager.JoinTokenRequest{Role: "agent", Rotate: true}, &manager.Printed{})
	require.ErrorContains(t, err, "503")
	require.ErrorContains(t, err, "nothing was changed")
}

// A manager that comes up alone has the state of its last snapshot at best, which is not to be acted on.
func TestAManagerAloneAfterItsStartKnowsThatItIsBehind(t *testing.T) {
	all := three(t)
	l, others := leader(all)
	b := newBrowser(t, l)
	logIn := func() (*http.Response, string) {
		return b.send("POST", "http://kiosc.test/login/", url.Values{"username": {"admin"}, "password": {password}})
	}
	answer, body := logIn()
	require.Equal(t, 302, answer.StatusCode, body)
	for _, n := range all {
		require.NoError(t, n.end())
	}
	b.via = start(t, others[0].cfg)
	answer, body = b.send("GET", "http://kiosc.test/", nil)
	require.Equal(t, 503, answer.StatusCode, "whether the session is still good isn't known")
	require.Contains(t, body, "has just been started")
	answer, body = logIn()
	require.Equal(t, 503, answer.StatusCode)
	require.NotContains(t, body, "is wrong")
	answer, _ = b.send("GET", "http://kiosc.test/readyz", nil)
	require.Equal(t, 503, answer.StatusCode)

	start(t, others[1].cfg)
	require.Eventually(t, func() bool {
		answer, _ := b.send("GET", "http://kiosc.test/", nil)
		return answer.StatusCode == 200
	}, soon, 50*time.Millisecond, "the login holds")
}

func TestBackupAndRestore(t *testing.T) {
	all := three(t)
	_, others := leader(all)
	var out service.NodeStatus
	require.NoError(t, others[0].admin("node-label", manager.NodeRequest{Node: "m1", Set: map[string]string{"a": "b"}}, &out))
	var raw []byte
	require.ErrorContains(t, others[1].admin("backup", manager.BackupRequest{Passphrase: "short"}, &raw), "passphrase")
	require.NoError(t, others[1].admin("backup", manager.BackupRequest{Passphrase: passphrase}, &raw))
	file := filepath.Join(t.TempDir(), "backup")
	require.NoError(t, os.WriteFile(file, raw, 0o600))
	require.NoError(t, manager.VerifyBackup(file))
	key, err := os.ReadFile(filepath.Join(all[0].cfg.DataDir, "cluster.key"))
	require.NoError(t, err)
	require.NotContains(t, string(raw), string(key))

	// A damaged one is refused.
	for name, damage := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)-100] },
		"altered": func(b []byte) []byte { c := bytes.Clone(b); c[len(c)/2] ^= 1; return c },
		"other":   func([]byte) []byte { return []byte(strings.Repeat("x", 1000)) },
		"empty":   func([]byte) []byte { return nil },
	} {
		bad := filepath.Join(t.TempDir(), "bad")
		require.NoError(t, os.WriteFile(bad, damage(raw), 0o600))
		require.Error(t, manager.VerifyBackup(bad), name)
	}

	for _, n := range all {
		require.NoError(t, n.end())
	}
	cfg := config(t, "phoenix")
	options := manager.RestoreOptions{File: file, DataDir: cfg.DataDir, Passphrase: "another passphrase", Name: "phoenix", ClusterAddress: cfg.ClusterListen}
	_, err = manager.Restore(context.Background(), options)
	require.Error(t, err, "the wrong passphrase")
	options.Passphrase = passphrase
	_, err = manager.Restore(context.Background(), options)
	require.NoError(t, err)
	n := start(t, cfg)
	s := n.wait("it leads alone", func(s service.ClusterStatus) bool { return s.Quorum && voters(s) == 1 })
	require.Len(t, s.Nodes, 1)
	require.Equal(t, "phoenix", s.Nodes[0].Name)
	// It has the CA, can write, and takes in others.
	next := config(t, "next")
	next.Join, next.Token = []string{n.cfg.ClusterListen}, n.joinToken("manager", false)
	start(t, next)
	n.wait("the next one votes", func(s service.ClusterStatus) bool { return voters(s) == 2 })
	_, err = manager.Restore(context.Background(), options)
	require.ErrorContains(t, err, "not empty")
}

func TestRecoveryWhenTheMajorityIsLost(t *testing.T) {
	all := three(t)
	token := all[0].joinToken("agent", false)
	for _, n := range all {
		require.NoError(t, n.end())
	}
	survivor := all[1].cfg
	require.NoError(t, manager.Recover(survivor.DataDir, survivor.ClusterListen, survivor.Logger))
	n := start(t, survivor)
	n.wait("it leads alone", func(s service.ClusterStatus) bool { return s.Quorum })
	require.Equal(t, token, n.joinToken("agent", false))
	var out service.NodeStatus
	for _, gone := range []string{"m1", "m3"} {
		require.NoError(t, n.admin("node-rm", manager.NodeRequest{Node: gone}, &out))
	}
	require.Len(t, n.status().Nodes, 1)
}
