//go:build e2e

package e2e_test

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

// TestAppsReachNoManager has an app, which is the program itself, give an admin command with a good token: the manager doesn't
// hear of it, though it does of the same command from the app's Docker host. Where the operators allow it, it does.
func TestAppsReachNoManager(t *testing.T) {
	c := &cluster{testbed.StartCluster(t, testbed.Options{Managers: 1, Agents: 2, Grace: grace}), map[string]string{}}
	ids := c.start("app", 2, nil)
	manager := c.Manager(1)
	says := func(id string, limit time.Duration) (text string, ok bool) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		host := c.host(id)
		out, err := exec.CommandContext(ctx, "docker", "-H", "unix://"+c.Machines.Socket(host), "exec", "-e", "KIOSC_ADDR="+manager.Addr,
			"-e", "KIOSC_TOKEN="+c.Token, c.Containers(id)[host][0], "/kiosc", "quota", "ls").CombinedOutput()
		return string(out), err == nil
	}
	for _, id := range ids {
		text, ok := says(id, 10*time.Second)
		require.False(t, ok, text)
		host := c.Machines.Command(c.host(id), "bash", "-c", "exec 3<>/dev/tcp/"+c.Machines.IP("p1")+"/8080")
		require.NoError(t, host.Run(), "the host itself reaches it")
	}
	// Another agent on the first host's data allows it, from its first look on.
	on := c.host(ids[0])
	agent := c.Agent(int(on[1] - '0'))
	agent.Stop()
	agent.StartWith("--app-access", c.Machines.IP("p1"))
	c.Wait(settling, "what is allowed", func() bool {
		_, ok := says(ids[0], 5*time.Second)
		return ok
	})
	text, ok := says(ids[1], 5*time.Second)
	require.False(t, ok, text)
}
