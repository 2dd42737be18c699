package cli_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager"
	"kiosc/manager/service"
)

func TestSyncingWithTheUpstreamSite(t *testing.T) {
	f := newFake(t)
	f.answer("sync-run", service.TaskStatus{Name: "upstream-sync", Last: &service.TaskRun{Duration: time.Second, Summary: "users: 1 created"}})
	stdout, _ := f.ok("sync", "run")
	require.Equal(t, "users: 1 created (1s)\n", stdout)
	f.answer("sync-run", service.TaskStatus{Last: &service.TaskRun{Error: "The upstream site does not answer."}})
	_, stderr, code := f.run("sync", "run")
	require.Equal(t, 1, code)
	require.Equal(t, "kiosc: The upstream site does not answer.\n", stderr)

	f.answer("sync-status", service.UpstreamView{Target: true, Enabled: true, Interval: 5 * time.Minute, Name: "SODAR", URL: "https://sodar.example.org",
		Projects: 2, Result: &state.UpstreamResult{Skipped: 3, Skips: []state.UpstreamSkip{{Kind: "user", Name: "ana\x1b[1m", Reason: "No."}}}})
	stdout, _ = f.ok("sync", "status")
	require.Equal(t, "Site mode      TARGET\nUpstream site  SODAR https://sodar.example.org\nSyncs          every 5m0s\n"+
		"Taken over     projects: 2, categories: 0, users: 0\nSkipped        user ana [1m: No.\n               and 2 more\n", stdout)

	f.answer("sync-release", state.UpstreamTally{Projects: state.UpstreamCounts{Changed: 2}})
	stdout, _ = f.ok("sync", "release", "Lab / Mice", "Lab / Rats")
	require.Equal(t, "released projects and categories: 2, users: 0\n", stdout)
	for _, args := range [][]string{{"sync", "release"}, {"sync", "release", "--all", "Lab"}} {
		_, stderr, code := f.run(args...)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "name projects, or give --all")
	}
}

func TestTargetSites(t *testing.T) {
	f := newFake(t)
	f.answer("remote-site-add", service.RemoteSiteView{Name: "clinic", Secret: "the-secret"})
	stdout, _ := f.ok("remote-site", "add", "clinic", "https://clinic.example.org", "--all")
	require.Equal(t, "the-secret\n", stdout)
	require.JSONEq(t, `{"name":"clinic","url":"https://clinic.example.org","all":true}`, f.requests()[0].body)
	f.answer("remote-site-ls", []service.RemoteSiteView{{Name: "clinic", ID: "0123456789", URL: "u", Given: 3, Revoked: 1}})
	stdout, _ = f.ok("remote-site", "ls")
	require.Contains(t, stdout, "clinic  01234567  u    no   3         1")
	f.answer("remote-site-inspect", manager.RemoteSiteAnswer{Projects: []service.RemoteProjectView{{ID: "i", FullTitle: "Lab / Mice", Level: state.LevelReadRoles}}})
	stdout, _ = f.ok("remote-site", "projects", "clinic")
	require.Contains(t, stdout, "Lab / Mice  i   READ_ROLES")
	f.answer("remote-site-give", service.RemoteSiteView{Name: "clinic", Given: 1})
	f.ok("remote-site", "give", "clinic", "Lab / Mice", "--level", "revoked")
	asked := f.requests()
	require.JSONEq(t, `{"site":"clinic","projects":["Lab / Mice"],"level":"REVOKED"}`, asked[len(asked)-1].body)
	f.ok("remote-site", "give", "clinic", "--all=false")
	asked = f.requests()
	require.JSONEq(t, `{"site":"clinic","projects":[],"level":"READ_ROLES","all":false}`, asked[len(asked)-1].body)
	for want, args := range map[string][]string{"give read-roles, revoked or none": {"clinic", "p", "--level", "king"}, "name projects": {"clinic"}} {
		_, stderr, code := f.run(append([]string{"remote-site", "give"}, args...)...)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, want)
	}
	f.answer("remote-site-rm", struct{}{})
	f.ok("remote-site", "rm", "clinic")
}
