package state_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

func TestPatternsForImages(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0123456789abcdef", 4)
	for _, one := range []struct{ pattern, fits, others string }{
		{"nginx", "nginx nginx:1 docker.io/nginx docker.io/library/nginx:latest index.docker.io/library/nginx nginx" + digest, "nginx2 group/nginx ghcr.io/nginx"},
		{"nginx:1.*", "nginx:1.27 docker.io/library/nginx:1.", "nginx nginx:2 nginx:1 nginx:1.27" + digest},
		{"nginx:latest", "nginx nginx:latest", "nginx:1"},
		{"nginx*", "nginx nginx-slim:1", "nginx/app nginx.example.org/app"},
		{"*", "nginx rstudio:4", "group/nginx registry.example.org/nginx"},
		{"docker.io/*", "nginx", "group/nginx"},
		{"docker.io/**", "nginx group/nginx", "registry.example.org/nginx docker.io.example.org/nginx"},
		{"**", "nginx a/b/c registry.example.org:5000/a/b:1 nginx" + digest, ""},
		{"**/nginx", "nginx registry.example.org/nginx:2 group/nginx", "nginx2 nginx/app"},
		{"group/*", "group/app:1", "group/app/part app"},
		{"registry.example.org/**", "registry.example.org/a registry.example.org/a/b/c:9", "registry.example.org:5000/a registry.example.orgg/a x/registry.example.org/a"},
		{"registry.example.org/*/app", "registry.example.org/x/app", "registry.example.org/app registry.example.org/x/y/app"},
		{"*.example.org/app", "a.example.org/app", "example.org/app a.example.org/b/app"},
		{"localhost:*/app", "localhost:5000/app", "localhost/app"},
		{"app" + digest, "app" + digest + " app:1" + digest, "app app:1"},
	} {
		require.NoError(t, newFixture(t).apply(&state.ImageAllowListSet{Patterns: []string{one.pattern}}).Err, one.pattern)
		for _, image := range strings.Fields(one.fits) {
			require.True(t, state.MatchImage(one.pattern, image), "%s fits %s", image, one.pattern)
		}
		for _, image := range strings.Fields(one.others) {
			require.False(t, state.MatchImage(one.pattern, image), "%s doesn't fit %s", image, one.pattern)
		}
	}
}

// FuzzMatchImage compares patterns with regular expressions, and names with themselves.
func FuzzMatchImage(f *testing.F) {
	for _, seed := range [][2]string{{"nginx", "nginx:1"}, {"**/a*b", "x.org/aXb"}, {"a.org/**x*:1*", "a.org/b/xx:12"}, {"***", "a"}, {"a.org/*a*a*a*b", "a.org/aaaaaaaa"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, image string) {
		named, err := reference.ParseNormalizedNamed(image)
		got := state.MatchImage(pattern, image)
		if err != nil {
			require.False(t, got)
			return
		}
		require.True(t, state.MatchImage("**", image))
		require.True(t, state.MatchImage(image, image), "a name fits itself")
		require.True(t, state.MatchImage(named.Name(), image), "a name without its tag lets all tags through")
		if _, digested := named.(reference.Digested); digested || strings.ContainsAny(pattern, "@\n") || !strings.HasPrefix(pattern, "**/") {
			return
		}
		text := strings.NewReplacer(`\*\*`, ".*", `\*`, "[^/]*").Replace(regexp.QuoteMeta(pattern))
		full := reference.TagNameOnly(named).String()
		if i := strings.LastIndexByte(pattern, ':'); i < 0 || strings.Contains(pattern[i:], "/") {
			full = named.Name()
		}
		if strings.Count(pattern, ":") > 1 { // the expression doesn't know where the tag begins
			return
		}
		require.Equal(t, regexp.MustCompile("^"+text+"$").MatchString(full), got, "%s with %s", pattern, full)
	})
}

func TestAPatternTakesNoLongTime(t *testing.T) {
	long := strings.Repeat("*a", 120)
	require.NoError(t, newFixture(t).apply(&state.ImageAllowListSet{Patterns: []string{long}}).Err)
	require.False(t, state.MatchImage(long, strings.Repeat("a", 200)+"b"))
}

func TestImageAllowListsThatCantBe(t *testing.T) {
	f := newFixture(t)
	many := make([]string, state.MaxImagePatterns+1)
	for i := range many {
		many[i] = fmt.Sprint("app", i)
	}
	f.refused(state.Invalid, &state.ImageAllowListSet{Patterns: many})
	f.must(&state.ImageAllowListSet{Patterns: many[1:]})
	for _, bad := range []string{"", " ", "a b", "Nginx", "/nginx", "nginx:", "a//b", "https://a.org/b", "a?", "app@sha256:*", "-a", "ü", "a\x00", strings.Repeat("a", 256)} {
		err := f.apply(&state.ImageAllowListSet{Patterns: []string{bad}}).Err
		require.Equal(t, state.Invalid, state.CodeOf(err), "%q", bad)
	}
	f.refused(state.Invalid, &state.ImageAllowListSet{Patterns: []string{"a", "a"}})
	require.Equal(t, many[1:], f.allowList(), "a refused list leaves the one before")
	f.must(&state.ImageAllowListSet{})
	require.Empty(t, f.allowList())
}

func (f *fixture) allowList() (patterns []string) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) (err error) {
		patterns, err = tx.ImageAllowList()
		return err
	}))
	return patterns
}

func TestOnlyAllowedImagesAreTakenAndStarted(t *testing.T) {
	f := newFixture(t)
	f.made("runs", nil)
	f.start("runs", "d1")
	f.made("idle", nil)
	update := func(id, repository, title string) state.Result {
		c, _ := f.container(id)
		c.Repository, c.Title = repository, title
		return f.apply(&state.ContainerUpdated{Container: id, Spec: c.Spec, Seen: c.ModifiedAt, Time: t0})
	}
	f.must(&state.ImageAllowListSet{Patterns: []string{"registry.example.org/**", "rstudio"}})

	err := f.apply(&state.ContainerCreated{Container: container("new"), User: "ana"}).Err
	require.Equal(t, state.Invalid, state.CodeOf(err))
	require.ErrorContains(t, err, "The image docker.io/library/nginx:1 is not allowed on this site.")
	var refusal *state.Error
	require.ErrorAs(t, err, &refusal)
	require.Contains(t, refusal.Fields, "repository")
	_, there := f.container("new")
	require.False(t, there)
	f.made("good", func(c *state.Container) { c.Repository = "registry.example.org/group/app" })
	require.NoError(t, f.act("good", state.Start).Err)

	err = f.act("idle", state.Start).Err
	require.Equal(t, state.Conflict, state.CodeOf(err))
	require.ErrorContains(t, err, "not allowed on this site any more")
	idle, _ := f.container("idle")
	require.False(t, idle.Pending())
	require.Error(t, update("good", "nginx", "Good").Err, "no other image that isn't allowed")
	require.NoError(t, update("idle", "nginx", "Other title").Err, "what doesn't start may be renamed")
	require.NoError(t, update("idle", "rstudio", "Other title").Err)
	require.NoError(t, f.act("idle", state.Start).Err)

	// What runs goes on, and can be paused and stopped, but not begin anew, by nobody's wish.
	require.Error(t, f.act("runs", state.Restart).Err)
	require.Error(t, update("runs", "nginx", "Runs").Err, "it would be restarted")
	require.NoError(t, f.act("runs", state.Pause).Err)
	f.done("runs", state.Paused)
	require.NoError(t, f.act("runs", state.Unpause).Err)
	f.done("runs", state.Running)
	f.must(&state.ContainerReported{Container: "runs", Node: "n1", State: state.Exited, DockerID: "d-runs", Time: t0.Add(2 * 3600e9), StartedAt: t0})
	runs, _ := f.container("runs")
	require.Equal(t, state.Exited, runs.State)
	wanted := &state.ActionWanted{Container: "runs", Generation: runs.Generation, Seen: state.Exited, Action: state.Start, Retry: true, At: t0}
	f.refused(state.Conflict, wanted)
	f.must(&state.ImageAllowListSet{})
	require.Equal(t, true, f.must(wanted), "an empty list lets everything through")
}

// TestTheAllowListIsPartOfTheState sees that a snapshot has it, and that a state from before there was one allows everything.
func TestTheAllowListIsPartOfTheState(t *testing.T) {
	f, other := newFixture(t), newFixture(t)
	f.made("c1", nil)
	require.Empty(t, f.allowList())
	f.must(&state.ImageAllowListSet{Patterns: []string{"rstudio", "group/**"}})
	snap, err := f.store.Snapshot()
	require.NoError(t, err)
	var copied bytes.Buffer
	_, err = snap.WriteTo(&copied)
	require.NoError(t, err)
	require.NoError(t, snap.Close())
	require.NoError(t, other.store.Restore(&copied))
	other.index = other.store.AppliedIndex()
	require.Equal(t, []string{"rstudio", "group/**"}, other.allowList())
	require.ErrorContains(t, f.act("c1", state.Start).Err, "not allowed")
	require.EqualError(t, other.act("c1", state.Start).Err, f.act("c1", state.Start).Err.Error(), "every node comes to the same")

	path := filepath.Join(t.TempDir(), "state.db")
	store, err := state.Open(path)
	require.NoError(t, err)
	require.NoError(t, store.Close())
	rewrite(t, path, 2, "used", "quotas")
	old := &fixture{T: t}
	old.store, err = state.Open(path)
	require.NoError(t, err)
	require.Empty(t, old.allowList())
	require.NoError(t, old.store.Close())
}
