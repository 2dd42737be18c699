package state_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

func count(n int64) *int64 { return &n }

// used reads what a project, or the site ("") uses.
func (f *fixture) used(project string) (used state.Used) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) (err error) {
		if project == "" {
			_, used, err = tx.SiteQuota()
		} else {
			_, used, err = tx.QuotaOf(project)
		}
		return err
	}))
	return used
}

func (f *fixture) made(id string, change func(*state.Container)) {
	f.Helper()
	c := container(id)
	if change != nil {
		change(&c)
	}
	f.must(&state.ContainerCreated{Container: c, User: "ana"})
}

func (f *fixture) act(id string, a state.Action) state.Result {
	f.Helper()
	return f.apply(&state.ActionRequested{Container: id, Action: a, User: "ana", Time: t0})
}

// done reports the end of the pending action.
func (f *fixture) done(id string, s state.State) {
	f.Helper()
	c, _ := f.container(id)
	if c.Node == "" {
		f.must(&state.ContainerPlaced{Container: id, Generation: c.Generation, Node: "n1"})
	}
	f.must(&state.ContainerReported{Container: id, Node: "n1", Generation: c.Generation, Seq: c.ReportSeq + 1, Done: true,
		State: s, DockerID: "d-" + id, StartedAt: t0, Time: t0.Add(time.Hour)})
}

func TestAQuotaCountsFromTheWishToStartUntilAContainerIsStopped(t *testing.T) {
	f := newFixture(t)
	f.must(&state.QuotaSet{Project: "p1", Quota: state.Quota{Running: count(2)}})
	for i := range 4 {
		f.made(fmt.Sprint("c", i), nil)
	}
	require.NoError(t, f.act("c0", state.Start).Err)
	require.NoError(t, f.act("c1", state.Start).Err) // both wait for a host
	refused := f.act("c2", state.Start).Err
	require.Equal(t, state.Conflict, state.CodeOf(refused))
	require.ErrorContains(t, refused, "2 of 2 containers run or start")
	c, _ := f.container("c2")
	require.False(t, c.Pending())
	require.Len(t, f.log("c2"), 1, "the refused wish has left nothing")

	f.done("c0", state.Running)
	require.NoError(t, f.act("c0", state.Restart).Err, "it counts already")
	f.done("c0", state.Running)
	require.NoError(t, f.act("c0", state.Pause).Err)
	f.done("c0", state.Paused)
	require.Error(t, f.act("c2", state.Start).Err, "a paused one has its memory still")
	require.NoError(t, f.act("c0", state.Stop).Err)
	require.Error(t, f.act("c2", state.Start).Err, "it isn't stopped yet")
	f.done("c0", state.Exited)
	require.NoError(t, f.act("c2", state.Start).Err)
	require.Error(t, f.act("c0", state.Restart).Err, "a stopped one counts anew")

	require.NoError(t, f.act("c1", state.Stop).Err, "it waited for a host")
	require.NoError(t, f.act("c3", state.Start).Err)
	f.done("c3", state.Failed)
	require.Equal(t, state.Used{Running: 1}, f.used("p1"))
	require.NoError(t, f.act("c2", state.Delete).Err)
	require.Equal(t, state.Used{}, f.used("p1"))
	require.Equal(t, state.Used{}, f.used(""))
}

func TestAQuotaOfCPUsAndMemory(t *testing.T) {
	f := newFixture(t)
	f.must(&state.QuotaSet{Project: "p1", Quota: state.Quota{MilliCPUs: count(2000), MemoryBytes: count(3 << 30)}})
	f.made("none", nil)
	require.ErrorContains(t, f.act("none", state.Start).Err, "Give the container a CPU limit or reservation")
	f.made("cpu", func(c *state.Container) { c.LimitMilliCPUs = 500 })
	require.ErrorContains(t, f.act("cpu", state.Start).Err, "Give the container a memory limit or reservation")
	f.made("limited", func(c *state.Container) {
		c.ReservedMilliCPUs, c.LimitMilliCPUs, c.ReservedMemory, c.LimitMemory = 100, 1500, 1<<20, 1<<30
	})
	f.made("reserved", func(c *state.Container) { c.ReservedMilliCPUs, c.ReservedMemory = 500, 1<<30 })
	require.NoError(t, f.act("limited", state.Start).Err)
	require.NoError(t, f.act("reserved", state.Start).Err)
	require.Equal(t, state.Used{Running: 2, MilliCPUs: 2000, MemoryBytes: 2 << 30}, f.used("p1"))
	f.made("more", func(c *state.Container) { c.LimitMilliCPUs, c.LimitMemory = 10, 1536<<20 })
	require.ErrorContains(t, f.act("more", state.Start).Err, "no room for 0.01 CPUs: 2 of 2 are used")
	f.must(&state.QuotaSet{Project: "p1", Quota: state.Quota{MemoryBytes: count(3 << 30)}})
	require.ErrorContains(t, f.act("more", state.Start).Err, "no room for 1.5 GiB of memory: 2 GiB of 3 GiB are used")
	f.must(&state.QuotaSet{Project: "p1"})
	require.NoError(t, f.act("more", state.Start).Err)
}

func TestTheSiteHasAQuotaToo(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ProjectCreated{Project: state.Project{ID: "p2", Title: "Rats", Type: state.TypeProject}, Owner: "u1"})
	f.must(&state.QuotaSet{Quota: state.Quota{Running: count(1)}})
	f.made("c1", nil)
	f.made("c2", func(c *state.Container) { c.Project = "p2" })
	require.NoError(t, f.act("c1", state.Start).Err)
	require.ErrorContains(t, f.act("c2", state.Start).Err, "The quota of this site is used up")
	// Less than what runs ends nothing and hinders no action but more of it.
	f.must(&state.QuotaSet{Quota: state.Quota{Running: count(0)}})
	f.done("c1", state.Running)
	require.NoError(t, f.act("c1", state.Pause).Err)
	f.done("c1", state.Paused)
	require.NoError(t, f.act("c1", state.Unpause).Err)
}

func TestQuotasThatCantBe(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ProjectCreated{Project: state.Project{ID: "k1", Title: "All", Type: state.TypeCategory}, Owner: "u1"})
	f.refused(state.Invalid, &state.QuotaSet{Project: "p1", Quota: state.Quota{Running: count(-1)}})
	f.refused(state.Invalid, &state.QuotaSet{Project: "p1", Quota: state.Quota{FileBytes: count(state.MaxQuota + 1)}})
	f.refused(state.Invalid, &state.QuotaSet{Project: "k1"})
	f.refused(state.NotFound, &state.QuotaSet{Project: "p9"})
}

func TestAQuotaOfSmallFiles(t *testing.T) {
	f := newFixture(t)
	upload := func(id, project string, size int) state.Result {
		return f.apply(&state.ChunkUploaded{Upload: id, Project: project, Data: make([]byte, size), At: t0,
			Limits: state.FileLimits{File: 1 << 20, Site: 1 << 30}})
	}
	f.must(&state.ProjectCreated{Project: state.Project{ID: "p2", Title: "Rats", Type: state.TypeProject}, Owner: "u1"})
	f.must(&state.QuotaSet{Project: "p1", Quota: state.Quota{FileBytes: count(1000)}})
	require.NoError(t, upload("a", "p1", 600).Err)
	require.ErrorContains(t, upload("b", "p1", 401).Err, "the small files of this project may have 1000 bytes together")
	require.NoError(t, upload("b", "p1", 400).Err)
	require.NoError(t, upload("c", "p2", 400).Err, "another project has none")
	f.must(&state.QuotaSet{Quota: state.Quota{FileBytes: count(1500)}})
	require.ErrorContains(t, upload("d", "p2", 101).Err, "the small files of this site")
}

// TestAnOlderStateIsCountedOnce opens a state from before there were quotas.
func TestAnOlderStateIsCountedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	for _, format := range []uint64{1, 2} {
		store, err := state.Open(path)
		require.NoError(t, err)
		f := &fixture{T: t, store: store}
		f.index = store.AppliedIndex()
		if format == 1 {
			f.must(&state.UserCreated{User: state.User{ID: "u1", Name: "ana", Active: true}})
			f.must(&state.ProjectCreated{Project: state.Project{ID: "p1", Title: "Mice", Type: state.TypeProject}, Owner: "u1"})
			f.must(&state.NodeRegistered{Node: state.Node{ID: "n1", Name: "host1"}})
			f.made("c1", nil)
			require.NoError(t, f.act("c1", state.Start).Err)
			f.made("c2", nil)
		}
		require.NoError(t, store.Close())
		without := []string{"used", "quotas"}
		if format == 1 {
			without = append(without, "placed", "usage", "node_names", "sessions_of", "tokens_of")
		}
		rewrite(t, path, format, without...)
		f.store, err = state.Open(path)
		require.NoError(t, err)
		require.Equal(t, state.Used{Running: 1}, f.used("p1"))
		require.NoError(t, f.store.Close())
	}
}
