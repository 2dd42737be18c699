package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
	"kiosc/cluster/wire"
)

func TestASessionWithEveryManager(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, c, d := w.newBoss("a"), w.newBoss("b"), w.newBoss("c"), w.newBoss("d")
	know(a, b, c)
	// The first manager by a name that isn't its own in the list.
	cfg := w.config("", "localhost:"+a.addr[strings.LastIndex(a.addr, ":")+1:])
	agent := w.start(cfg)
	withA, withB, withC := a.session(), b.session(), c.session()
	require.Equal(t, "host", withA.hello.Name)
	require.NotEmpty(t, withA.hello.Engine.Version)
	eventually(t, "three sessions", func() bool { return len(agent.links.all()) == 3 })

	// That the first has an address of its own is no reason to end the session by the other.
	eventually(t, "the first manager found at its own address, too", func() bool {
		agent.links.mu.Lock()
		defer agent.links.mu.Unlock()
		return agent.links.ids[a.addr] == "a"
	})
	for range 3 { // looks at what to dial, of which the first two are over then
		agent.links.changed <- struct{}{}
	}
	_, answer := withA.visit("unknown")
	require.NotEmpty(t, answer.Error)
	require.Empty(t, a.sessions)

	// Another one comes and the second goes. One manager's word is enough to come, but not to go.
	for _, one := range []*boss{a, b, c, d} {
		one.set(func() { one.managers = []*boss{a, c, d} })
	}
	withA.tell()
	d.session()
	require.Equal(t, 1, b.connected())
	withB.tell()
	require.Equal(t, 1, b.connected())
	withC.tell()
	receive(t, "the end of the session with the second", withB.done)
	eventually(t, "the list to be kept", func() bool { return len(loadManagers(cfg.Dir, w.logger())) == 3 })
	require.Equal(t, a.list(), loadManagers(cfg.Dir, w.logger()))
	info, err := os.Stat(filepath.Join(cfg.Dir, managersFile))
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	eventually(t, "three sessions", func() bool { return len(agent.links.all()) == 3 })

	// One that was away is connected with again.
	d.restart()
	d.session()
	require.Zero(t, b.connected())
	require.Equal(t, 1, a.connected())
}

// TestRememberedManagers starts an agent whose settings lead nowhere, and one whose memory does.
func TestRememberedManagers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, gone := w.newBoss("a"), w.newBoss("gone")
	gone.stop()
	remembers := w.config("", gone.addr)
	require.NoError(t, saveManagers(remembers.Dir, a.list()))
	w.start(remembers)
	a.session()

	forgot := w.config("", a.addr)
	require.NoError(t, saveManagers(forgot.Dir, gone.list()))
	w.start(forgot)
	a.session()
	eventually(t, "the list to be replaced", func() bool {
		list := loadManagers(forgot.Dir, w.logger())
		return len(list) == 1 && list[0].ID == "a"
	})
	damaged := w.config("", a.addr)
	require.NoError(t, os.WriteFile(filepath.Join(damaged.Dir, managersFile), []byte("{"), 0o600))
	w.start(damaged)
	a.session()
}

// TestAnotherManagerAtTheAddress meets a manager whose id isn't the listed one.
func TestAnotherManagerAtTheAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.newBoss("a"), w.newBoss("b")
	b.set(func() { b.managers = []*boss{a} })
	cfg := w.config("")
	require.NoError(t, saveManagers(cfg.Dir, []wire.ManagerAddress{{ID: "a", Address: a.addr}, {ID: "x", Address: b.addr}}))
	w.start(cfg)
	a.session()
	eventually(t, "only the listed one", func() bool { return a.connected() == 1 && b.connected() == 0 })
}

func TestARefusalIsLoggedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.newBoss("a")
	a.set(func() { a.refusal = "This node was removed from the cluster." })
	agent := w.start(w.config("", a.addr))
	eventually(t, "a word about it", func() bool { return w.logs.count("This node was removed from the cluster.") > 0 })
	a.set(func() { a.refusal = "" })
	a.session()
	require.Equal(t, 1, w.logs.count("This node was removed from the cluster."))
	eventually(t, "the session", func() bool { return len(agent.links.all()) == 1 })
}

func TestAnExpiredCertificateIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.newBoss("a")
	cfg := w.config("", a.addr)
	cfg.Credentials = pki.NewCredentials(w.identity(pki.RoleAgent, "old", time.Now().Add(-pki.DefaultLife-time.Hour)))
	w.start(cfg)
	eventually(t, "a word about it", func() bool {
		return w.logs.count("certificate has expired") > 0 && w.logs.count("kiosc join-token agent") > 0
	})
	require.Zero(t, a.connected())
}
