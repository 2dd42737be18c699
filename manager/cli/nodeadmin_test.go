package cli_test

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/manager/cli"
	"kiosc/manager/service"
)

func TestInspect(t *testing.T) {
	now := time.Now()
	seen := now.Add(-5 * time.Second)
	by := now.Add(time.Hour)
	n := host("host-2", 1,
		service.PlacedContainer{ID: "1a", Title: "Shiny", Project: "Demo", State: "running", Note: "No other host has the label gpu."},
		service.PlacedContainer{ID: "2b", Title: "Old", Project: "Demo", State: "exited"})
	n.Version, n.LastContact, n.DrainBy, n.JoinedAt = "1.2.0", &seen, &by, now
	n.CPUs, n.ReservedCPUs, n.MemoryBytes, n.ReservedBytes, n.Managers = 8, 2.5, 16<<30, 1<<30, []string{"m1", "m2"}
	var out strings.Builder
	require.NoError(t, cli.ShowDetails(&out, n, now))
	local := func(at time.Time) string { return at.Local().Format("2006-01-02 15:04:05 MST") }
	require.Equal(t, `FIELD           VALUE
Name            host-2
ID              5e0c7d7a-1111-4222-8333-444455556666
Role            agent
Health          ready
Version         1.2.0
Joined          `+local(now)+`
Last contact    5s ago
Availability    drain
Docker          -
CPUs            8 (2.5 reserved)
Memory          16.0 GiB (1.0 GiB reserved)
Network mode    -
Labels          -
Managers        m1, m2
Containers      1 active of 2 placed
Visitors until  `+local(by)+`

CONTAINER  PROJECT  TITLE  STATE    NOTE
1a         Demo     Shiny  running  No other host has the label gpu.
2b         Demo     Old    exited   -
`, out.String())
}

func TestLabel(t *testing.T) {
	f := newFake(t)
	f.answer("node-label", service.NodeStatus{Labels: map[string]string{"rack": "7", "gpu": "true"}})
	stdout, _ := f.ok("node", "label", "host-2", "gpu=true")
	require.Equal(t, "gpu=true,rack=7\n", stdout)
}

func TestDrainWaits(t *testing.T) {
	f := newFake(t)
	by := time.Now().Add(time.Hour)
	begun := host("host-2", 2)
	begun.DrainBy = &by
	two, one := begun, begun
	two.Placed = []service.PlacedContainer{
		{Title: "Shiny\x1b[2J", Project: "Demo", State: "running"},
		{Title: "Jupyter", Project: "Demo", State: "running", Note: "No other Docker host has the label gpu."},
		{Title: "Old", Project: "Demo", State: "exited", Note: "left over"},
	}
	one.Active, one.Placed = 1, two.Placed[1:]
	f.answer("node-drain", begun)
	f.answer("node-inspect", two, one, host("host-2", 0))
	stdout, stderr := f.ok("node", "drain", "host-2")
	require.Equal(t, "host-2\n", stdout)
	until := "; visitors may stay until " + by.Local().Format("2006-01-02 15:04:05 MST") + ":\n"
	const jupyter = "  Jupyter (Demo), running: No other Docker host has the label gpu.\n"
	require.Equal(t, "2 containers still run on host-2"+until+"  Shiny [2J (Demo), running: moves once nobody visits it\n"+jupyter+
		"1 container still runs on host-2"+until+jupyter, stderr)
	require.Equal(t, []string{"node-drain", "node-inspect", "node-inspect", "node-inspect"}, f.names())
	require.Contains(t, f.requests()[1].body, begun.ID, "a name could be given anew")
}

func TestDrainSaysNothingTwice(t *testing.T) {
	f := newFake(t)
	f.answer("node-drain", host("host-2", 1))
	busy := host("host-2", 1, service.PlacedContainer{Title: "Shiny", Project: "Demo", State: "moving"})
	f.answer("node-inspect", busy, busy, host("host-2", 0))
	_, stderr := f.ok("node", "drain", "host-2", "--now")
	require.Equal(t, "1 container still runs on host-2:\n  Shiny (Demo), moving\n", stderr)
}

func TestDrainDetached(t *testing.T) {
	f := newFake(t)
	f.answer("node-drain", host("host-2", 2))
	stdout, stderr := f.ok("node", "drain", "host-2", "--detach")
	require.Equal(t, "host-2\n", stdout)
	require.Empty(t, stderr)
	require.Equal(t, []string{"node-drain"}, f.names())
}

func TestDrainIsEndedByOthers(t *testing.T) {
	f := newFake(t)
	f.answer("node-drain", host("host-2", 2))
	active := host("host-2", 2)
	active.Availability = "active"
	f.answer("node-inspect", active)
	stdout, stderr, code := f.run("node", "drain", "host-2")
	require.Equal(t, 1, code)
	require.Empty(t, stdout)
	require.Equal(t, "kiosc: somebody else has ended the drain\n", stderr)

	f.serve("node-inspect", refuse(http.StatusNotFound, "There is no node host-2."))
	_, stderr, code = f.run("node", "drain", "host-2")
	require.Equal(t, 1, code)
	require.Equal(t, "kiosc: the drain has begun but can't be followed: There is no node host-2.\n", stderr)
}

// Ctrl-C comes once while the command sleeps, once while it waits for an answer.
func TestDrainInterrupted(t *testing.T) {
	for name, hang := range map[string]bool{"sleeping": false, "asking": true} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.answer("node-drain", host("host-2", 1))
			f.serve("node-inspect", func(w http.ResponseWriter, r *http.Request) {
				if hang {
					interrupt(t)
					<-r.Context().Done()
					return
				}
				time.AfterFunc(100*time.Millisecond, func() { interrupt(t) })
				w.Write([]byte(`{"name":"host-2","availability":"drain","active":1}`))
			})
			stdout, stderr, code := f.run("node", "drain", "host-2")
			require.Equal(t, 1, code)
			require.Empty(t, stdout)
			require.True(t, strings.HasSuffix(stderr, "kiosc: no longer waiting; the drain goes on\n"), stderr)
			require.Equal(t, []string{"node-drain", "node-inspect"}, f.names())
		})
	}
}

// interrupt is Ctrl-C for the command that this process runs; while none runs it would end the tests.
func interrupt(t *testing.T) {
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGINT); err != nil {
		t.Error(err)
	}
}

func TestANodeThatDoesNotProtect(t *testing.T) {
	f := newFake(t)
	f.answer("node-inspect", service.NodeStatus{Name: "host-2", Role: "agent", Exposed: "Apps can reach the ports of this host."})
	stdout, _ := f.ok("node", "inspect", "host-2")
	require.Contains(t, stdout, "Warning       Apps can reach the ports of this host.\n")
}
