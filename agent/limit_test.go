package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/wire"
)

// TestDockerTakesTooLong has Docker do what it is told and never say so, with one kind of call at a time.
func TestDockerTakesTooLong(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		name, held string
		running    bool // before the action
		action     string
		log        string
		left       string // state of what is left in Docker; empty for nothing
	}{
		{"pull", "POST /images/create", false, "start", "pulling " + appImage, ""},
		{"create", "POST /containers/create", false, "start", "creating the Docker container", ""},
		{"start", "/start", false, "start", "starting the Docker container", ""},
		{"restart", "/start", true, "restart", "starting the Docker container", ""},
		{"pause", "/pause", true, "pause", "pausing the Docker container", "paused"},
		{"stop", "/stop", true, "stop", "stopping the Docker container", "exited"},
		{"delete", "DELETE /containers/", true, "delete", "removing the Docker container", ""},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.newBoss("a")
			gate := w.newGateway()
			w.start(w.config(gate.host(), a.addr))
			leader := a.session().lead(1)
			leader.inventory()
			id, generation := randomHex(6), uint64(1)
			send := func(action, policy string, limit time.Duration) *wire.Report {
				leader.send(&wire.Order{Term: 1, Container: id, Generation: generation, Placement: 1, Action: action,
					Spec: wire.Spec{Project: "p-" + id, Image: appImage, Command: []string{"wait"}, Port: 8080, PullPolicy: policy, Timeout: limit}})
				r := leader.done(id, generation)
				generation++
				return r
			}
			if one.running {
				require.Equal(t, "running", send("start", "", time.Minute).State)
			}
			policy := ""
			if one.name == "pull" {
				policy = "always"
			}
			gate.hold(one.held)
			r := send(one.action, policy, 5*time.Second)
			gate.hold("")
			require.Equal(t, "failed", r.State)
			var lines []string
			for _, line := range r.Lines {
				lines = append(lines, line.Level+" "+line.Text)
			}
			require.Contains(t, lines, "error Action failed: "+one.action)
			require.Contains(t, strings.Join(lines, "\n"), "error "+one.log+": not done by Docker in time, which is ")
			require.Equal(t, one.left, r.Observed.State)
			leader.send(&wire.InventoryRequest{})
			if one.left == "" {
				leader.has()
			} else {
				leader.has(r.Observed.DockerID)
			}

			again := map[string]string{"start": "running", "restart": "running", "stop": "exited", "pause": "paused", "delete": "deleted"}
			require.Equal(t, again[one.action], send(one.action, "", time.Minute).State)
		})
	}
}
