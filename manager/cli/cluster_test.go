package cli_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/manager/cli"
	"kiosc/manager/service"
)

// sample is a cluster of three managers, one of which is lost, and two Docker hosts.
func sample(now time.Time) service.ClusterStatus {
	before := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	return service.ClusterStatus{
		ClusterID: "c1c1c1c1-0000-4000-8000-000000000000", Answered: "bbbbbbbb-0000-4000-8000-000000000002",
		Leader: "aaaaaaaa-0000-4000-8000-000000000001", Term: 7, Quorum: true, Index: 1204,
		Nodes: []service.NodeStatus{
			{ID: "aaaaaaaa-0000-4000-8000-000000000001", Name: "m1", Role: "manager", Version: "1.2.0", Health: "ready", LastContact: before(2500 * time.Millisecond),
				Address: "10.0.0.1:7443", Leader: true, Voter: true, Index: 1206, Lag: 0},
			{ID: "bbbbbbbb-0000-4000-8000-000000000002", Name: "m2", Role: "manager", Version: "1.2.0", Health: "ready", LastContact: before(-time.Second),
				Address: "10.0.0.2:7443", Voter: true, Index: 1204, Lag: 2},
			{ID: "cccccccc-0000-4000-8000-000000000003", Name: "manager-three", Role: "manager", Health: "down", Lag: 1206},
			{ID: "dddddddd-0000-4000-8000-000000000004", Name: "host-1", Role: "agent", Version: "1.2.0", Health: "ready", LastContact: before(90 * time.Second),
				Availability: "active", DockerVersion: "28.5.2", CPUs: 16, ReservedCPUs: 2.5, ReservedBytes: 8 << 30, MemoryBytes: 63 << 30 / 2, Containers: 5, Active: 3, Labels: map[string]string{"rack": "7", "gpu": "true"}},
			{ID: "eeeeeeee-0000-4000-8000-000000000005", Name: "ho\x1b[2Jst\t2\n", Role: "agent", Health: "down", Availability: "drain"},
		},
	}
}

func TestShowCluster(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	s := sample(now)
	var out strings.Builder
	require.NoError(t, cli.ShowCluster(&out, s, now))
	require.Equal(t, `Cluster  c1c1c1c1-0000-4000-8000-000000000000
Seen by  m2
Leader   m1
Term     7
Quorum   yes
Index    1204

Managers
NAME           ID        ROLE       HEALTH  LAST CONTACT  INDEX  LAG  ADDRESS        VERSION
m1             aaaaaaaa  leader     ready   2s ago        1206   0    10.0.0.1:7443  1.2.0
m2             bbbbbbbb  voter      ready   0s ago        1204   2    10.0.0.2:7443  1.2.0
manager-three  cccccccc  non-voter  down    never         -      -    -              -

Docker hosts
NAME         ID        HEALTH  AVAILABILITY  LAST CONTACT  DOCKER  CPUS    MEMORY        CONTAINERS  LABELS           VERSION
host-1       dddddddd  ready   active        1m ago        28.5.2  2.5/16  8.0/31.5 GiB  3/5         gpu=true,rack=7  1.2.0
ho [2Jst 2   eeeeeeee  down    drain         never         -       -       -             0/0         -                -
`, out.String())

	s.Quorum, s.Leader, s.Nodes = false, "", s.Nodes[:3]
	out.Reset()
	require.NoError(t, cli.ShowCluster(&out, s, now))
	require.Contains(t, out.String(), "Leader   -\n")
	require.Contains(t, out.String(), "Quorum   no\n")
	require.Contains(t, out.String(), "\nWARNING: no quorum. ")
	require.Contains(t, out.String(), "None has joined yet.")
}

func TestAgo(t *testing.T) {
	now := time.Now()
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s ago", 0: "0s ago", 59*time.Second + 999*time.Millisecond: "59s ago", time.Minute: "1m ago", 59 * time.Minute: "59m ago",
		time.Hour: "1h ago", 47 * time.Hour: "47h ago", 50 * time.Hour: "2d ago",
	} {
		at := now.Add(-d)
		require.Equal(t, want, cli.Ago(&at, now), d)
	}
	require.Equal(t, "never", cli.Ago(nil, now))
}

func TestNodeList(t *testing.T) {
	f := newFake(t)
	s := sample(time.Now().Add(-3 * time.Hour))
	f.answer("cluster-status", s)
	stdout, stderr := f.ok("node", "ls")
	require.Empty(t, stderr)
	require.Equal(t, `NAME           ID        ROLE                 HEALTH  AVAILABILITY  LAST CONTACT  CONTAINERS  VERSION
m1             aaaaaaaa  manager (leader)     ready   -             3h ago        -           1.2.0
m2             bbbbbbbb  manager (voter)      ready   -             2h ago        -           1.2.0
manager-three  cccccccc  manager (non-voter)  down    -             never         -           -
host-1         dddddddd  agent                ready   active        3h ago        3/5         1.2.0
ho [2Jst 2     eeeeeeee  agent                down    drain         never         0/0         -
`, stdout)

	s.Quorum = false
	f.answer("cluster-status", s)
	again, stderr := f.ok("node", "ls")
	require.Equal(t, stdout, again, "a warning is not for machines")
	require.Contains(t, stderr, "WARNING: no quorum.")
}

func TestJSONAsItComes(t *testing.T) {
	const raw = `{"future":{"a":1.0,"b":[]}, "text":"<&> 1","big":12345678901234567890,"quorum":true,"nodes":[{"id":"x","later":null}]}`
	const node = `{
    "id": "x",
    "later": null
  }`
	const whole = `{
  "future": {
    "a": 1.0,
    "b": []
  },
  "text": "<&> 1",
  "big": 12345678901234567890,
  "quorum": true,
  "nodes": [
    {
      "id": "x",
      "later": null
    }
  ]
}
`
	f := newFake(t)
	for _, name := range []string{"cluster-status", "node-inspect", "node-activate"} {
		f.answer(name, raw)
	}
	for _, args := range [][]string{{"cluster", "status", "--json"}, {"node", "inspect", "x", "--json"}, {"node", "activate", "x", "--json"}} {
		stdout, _ := f.ok(args...)
		require.Equal(t, whole, stdout, args)
	}
	stdout, _ := f.ok("node", "ls", "--json")
	require.Equal(t, "[\n  "+node+"\n]\n", stdout)
}

func TestRecoverAndRestoreWantAnAddress(t *testing.T) {
	newFake(t)
	t.Setenv("KIOSC_ADVERTISE", "")
	t.Setenv("KIOSC_BACKUP_PASSPHRASE", "a long passphrase")
	for _, address := range []string{"", "m1", ":7443", "m1:", "0.0.0.0:7443", "[::]:7443"} {
		for _, args := range [][]string{{"cluster", "recover", "--i-know-the-others-are-lost"}, {"restore", "file"}} {
			_, stderr, code := run(append(args, "--data-dir", t.TempDir(), "--advertise", address)...)
			require.Equal(t, 1, code)
			require.Contains(t, stderr, "give the host:port at which other nodes reach", args, address)
		}
	}
}
