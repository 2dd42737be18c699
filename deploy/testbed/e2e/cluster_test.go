//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"kiosc/deploy/testbed"
)

const (
	// grace is the grace period of hosts in these tests.
	grace = 10 * time.Second
	// settling is how long a cluster may take after a fault until everything is as it should be.
	settling = 90 * time.Second
	moment   = 30 * time.Second
)

// cluster is a cluster with containers whose wished states the test keeps.
type cluster struct {
	*testbed.Cluster
	wished map[string]string // container → running or exited
}

// start makes containers and starts them.
func (c *cluster) start(prefix string, n int, fields map[string]any) (ids []string) {
	c.Helper()
	for i := range n {
		id := c.Create(fmt.Sprint(prefix, " ", i), fields)
		c.Act("start", id)
		c.wished[id] = "running"
		ids = append(ids, id)
	}
	for _, id := range ids {
		c.WaitState(settling, id, "running")
	}
	return ids
}

// settled waits until every container is in its wished state, with one Docker container that runs if it shall run and
// none that runs if it shall not.
func (c *cluster) settled() {
	c.Helper()
	var last string
	deadline := time.Now().Add(settling)
	for {
		if last = c.unsettled(); last == "" {
			return
		}
		if time.Now().After(deadline) {
			require.FailNow(c, "not settled", last)
		}
		time.Sleep(250 * time.Millisecond)
	}
}

func (c *cluster) unsettled() string {
	for id, want := range c.wished {
		status, raw, err := c.Try(5*time.Second, http.MethodGet, "/containers/api/detail/"+id, nil)
		var got testbed.Container
		if err != nil || status != http.StatusOK || json.Unmarshal(raw, &got) != nil {
			return fmt.Sprint(status, err)
		}
		if got.State != want {
			return fmt.Sprintf("%s is %s, wished %s", got.Title, got.State, want)
		}
		found := c.Containers(id)
		var all []string
		for _, ids := range found {
			all = append(all, ids...)
		}
		if want == "running" && (len(all) != 1 || all[0] != got.ContainerID) {
			return fmt.Sprintf("%s has the Docker containers %v, known is %s", got.Title, found, got.ContainerID)
		}
	}
	return ""
}

// host is the name of the Docker host that a container is on.
func (c *cluster) host(id string) string {
	c.Helper()
	for name := range c.Containers(id) {
		return name
	}
	require.FailNow(c, "the container is on no host")
	return ""
}

// page is a page of the web UI as the admin sees it.
func (c *cluster) page(path string) string {
	c.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(c, err)
	browser := &http.Client{Jar: jar, Timeout: moment}
	base := "http://" + c.Manager(1).Addr
	in, err := browser.PostForm(base+"/login/", url.Values{"username": {"admin"}, "password": {testbed.Password}})
	require.NoError(c, err)
	in.Body.Close()
	got, err := browser.Get(base + path)
	require.NoError(c, err)
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	require.NoError(c, err)
	return string(text)
}

// answers tells whether an app answers through a manager.
func answers(m *testbed.Manager, id string) bool {
	status, _, err := m.Try(time.Second, http.MethodGet, "/containers/proxy/"+id+"/", nil)
	return err == nil && status == http.StatusOK
}

// writers creates containers through all managers until stop, and returns the ids of those that were confirmed.
func (c *cluster) writers(managers int) (stop func() []string) {
	project := c.Project()
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var confirmed []string
	var all sync.WaitGroup
	for i := 1; i <= managers; i++ {
		m := c.Manager(i)
		all.Add(1)
		go func() {
			defer all.Done()
			for n := 0; ctx.Err() == nil; n++ {
				status, raw, err := m.Try(20*time.Second, http.MethodPost, "/containers/api/create/"+project,
					map[string]any{"title": fmt.Sprint("written ", m.Name, " ", n, " ", time.Now().UnixNano()), "repository": "kiosc/demo", "tag": "1", "container_port": 8080})
				var got testbed.Container
				if err == nil && status == http.StatusCreated && json.Unmarshal(raw, &got) == nil {
					mu.Lock()
					confirmed = append(confirmed, got.UUID)
					mu.Unlock()
				}
				select {
				case <-time.After(20 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		}()
	}
	return func() []string {
		cancel()
		all.Wait()
		return confirmed
	}
}

// kept requires that everything that was confirmed is there, on every manager that runs.
func (c *cluster) kept(confirmed []string, managers int) {
	c.Helper()
	require.Greater(c, len(confirmed), 10, "writes went on")
	for i := 1; i <= managers; i++ {
		m := c.Manager(i)
		for _, id := range confirmed {
			m.Wait(moment, "a confirmed write is on "+m.Name, func() bool {
				status, _, err := m.Try(5*time.Second, http.MethodGet, "/containers/api/detail/"+id, nil)
				return err == nil && status == http.StatusOK
			})
		}
	}
	c.Logf("%d confirmed writes are there", len(confirmed))
}

// actions asks for stops and starts of the containers through all managers, while faults happen, until each was accepted.
func (c *cluster) actions(ids []string) (done chan struct{}) {
	done = make(chan struct{})
	type wish struct{ id, action, state string }
	var wishes []wish
	for i, id := range ids {
		if i%2 == 0 {
			wishes = append(wishes, wish{id, "stop", "exited"})
			c.wished[id] = "exited"
		}
	}
	go func() {
		defer close(done)
		for i, w := range wishes {
			for deadline := time.Now().Add(settling); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
				m := c.Manager(1 + i%3)
				status, _, err := m.Try(20*time.Second, http.MethodPost, "/containers/api/"+w.action+"/"+w.id, nil)
				if err == nil && (status == http.StatusOK || status == http.StatusConflict) {
					break // accepted now, or by an earlier try whose answer was lost
				}
			}
		}
	}()
	return done
}

func TestACluster(t *testing.T) {
	c := &cluster{testbed.StartCluster(t, testbed.Options{Managers: 3, Agents: 3, Grace: grace,
		Labels: map[string]map[string]string{"d3": {"gpu": "true"}}}), map[string]string{}}
	ids := c.start("app", 6, nil)
	hosts := map[string]int{}
	for _, id := range ids {
		hosts[c.host(id)]++
	}
	require.Equal(t, map[string]int{"d1": 2, "d2": 2, "d3": 2}, hosts, "spread by load")
	for i := 1; i <= 3; i++ {
		for _, id := range ids {
			m := c.Manager(i)
			m.Wait(moment, "each app answers through each manager", func() bool { return answers(m, id) })
		}
	}
	run := func(name string, f func(*testing.T, *cluster, []string)) {
		if t.Failed() {
			return // what follows would only say so again
		}
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			f(t, c, ids)
			c.settled()
			t.Logf("settled after %s", time.Since(began).Round(time.Millisecond))
		})
	}
	run("constraints are kept", constraints)
	run("the leader is killed under load", leaderKilled)
	run("the leader is cut off", leaderCut)
	run("an agent that can't reach a manager is served through another", relayed)
	run("a host is cut off and comes back", hostCut)
	run("a dockerd is killed", dockerKilled)
	run("a host is drained", drained)
	run("managers restart one by one", rolling)
	run("all managers are away", allManagersAway)
	run("everything restarts at once", restarted)
}

func constraints(t *testing.T, c *cluster, _ []string) {
	id := c.start("gpu", 1, map[string]any{"constraints": []string{"node.labels.gpu == true"}, "memory_limit": 64 << 20, "cpu_limit": 0.5})[0]
	require.Equal(t, "d3", c.host(id))
	require.Contains(t, c.Machines.Docker("d3", "inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}", c.Containers(id)["d3"][0]), "67108864 500000000")
	nowhere := c.Create("nowhere", map[string]any{"constraints": []string{"node.labels.zone == moon"}})
	c.Act("start", nowhere)
	c.Wait(moment, "it says why, node by node", func() bool {
		page := c.page("/containers/detail/" + nowhere)
		for _, host := range []string{"d1", "d2", "d3"} {
			if !strings.Contains(page, host+": does not meet node.labels.zone == moon") {
				return false
			}
		}
		return true
	})
	c.CLI("node", "label", "d2", "zone=moon")
	c.WaitState(moment, nowhere, "running")
	require.Equal(t, "d2", c.host(nowhere))
	c.CLI("node", "label", "d2", "--remove", "zone")
	delete(c.wished, id)
	for _, gone := range []string{id, nowhere} {
		status, raw := c.Request(http.MethodDelete, "/containers/api/delete/"+gone, nil)
		require.Equal(t, http.StatusNoContent, status, string(raw))
		require.Empty(t, c.Containers(gone))
	}
}

func leaderKilled(t *testing.T, c *cluster, ids []string) {
	leader := c.Leader()
	stop := c.writers(3)
	time.Sleep(time.Second) // of load before the fault
	done := c.actions(ids)
	leader.Kill()
	began := time.Now()
	c.LeaderOtherThan(leader)
	t.Logf("another leader is agreed on after %s", time.Since(began).Round(time.Millisecond))
	time.Sleep(2 * time.Second) // of load after it
	leader.Start()
	c.WaitReady()
	<-done
	c.kept(stop(), 3)
	for i, id := range ids {
		if i%2 == 0 {
			c.WaitState(settling, id, "exited")
			c.Act("start", id)
			c.wished[id] = "running"
		}
	}
}

func leaderCut(t *testing.T, c *cluster, ids []string) {
	leader := c.Leader()
	stop := c.writers(3)
	time.Sleep(time.Second)
	c.Machines.Cut(leader.Name)
	next := c.LeaderOtherThan(leader)
	for _, id := range ids {
		next.Wait(moment, "apps answer on the side of the majority", func() bool { return answers(next, id) })
	}
	s, err := leader.Status()
	require.NoError(t, err)
	require.False(t, s.Quorum, "the one that is cut off says so")
	time.Sleep(2 * time.Second)
	c.Machines.Heal(leader.Name)
	c.WaitReady()
	c.kept(stop(), 3)
}

func relayed(t *testing.T, c *cluster, ids []string) {
	leader := c.Leader()
	id := ids[0]
	host := c.host(id)
	before := c.Containers(id)
	c.Machines.Block(host, leader.Name)
	// Longer than the grace period: the leader must not take its own lost connection for the host's death.
	until := time.Now().Add(2 * grace)
	fails := 0
	for time.Now().Before(until) {
		if !answers(leader, id) {
			fails++
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Logf("%d requests through the blocked manager failed", fails)
	leader.Wait(moment, "it answers through the blocked manager", func() bool { return answers(leader, id) })
	require.Equal(t, before, c.Containers(id), "nothing was moved or restarted")
	c.Act("stop", id)
	c.WaitState(moment, id, "exited")
	c.Act("start", id)
	c.WaitState(moment, id, "running")
	c.Machines.Unblock(host, leader.Name)
}

func hostCut(t *testing.T, c *cluster, ids []string) {
	host := c.host(ids[0])
	began := time.Now()
	c.Machines.Cut(host)
	m := c.Manager(1)
	m.Wait(settling, "the app answers from another host", func() bool { return answers(m, ids[0]) })
	t.Logf("the app answered from another host after %s", time.Since(began).Round(time.Millisecond))
	c.Wait(settling, "the host is down", func() bool { return c.Status().Node(host).Health == "down" })
	c.Machines.Heal(host)
	c.WaitReady()
}

func dockerKilled(_ *testing.T, c *cluster, ids []string) {
	host := c.host(ids[1])
	c.Machines.Kill(host, testbed.DockerdOnly)
	time.Sleep(3 * time.Second)
	c.Machines.Restart(host)
	c.WaitReady()
}

func drained(t *testing.T, c *cluster, ids []string) {
	id := ids[2]
	host := c.host(id)
	m := c.Manager(2)
	visitor := dial(t, m, id)
	echo(t, visitor, "before")
	c.CLI("node", "drain", host, "--deadline", "15s", "--detach")
	began := time.Now()
	for time.Since(began) < 5*time.Second {
		echo(t, visitor, "during")
		time.Sleep(200 * time.Millisecond)
	}
	require.Equal(t, host, c.host(id), "a visited app stays for the time being")
	c.Wait(settling, "nothing runs on the drained host", func() bool {
		var n struct{ Active int }
		require.NoError(t, json.Unmarshal([]byte(c.CLI("node", "inspect", host, "--json")), &n))
		return n.Active == 0
	})
	require.GreaterOrEqual(t, time.Since(began), 14*time.Second)
	c.settled()
	require.NotEqual(t, host, c.host(id))
	c.CLI("node", "activate", host)
	visitor.CloseNow()
}

func rolling(t *testing.T, c *cluster, ids []string) {
	id := ids[3]
	docker := c.Containers(id)
	for i := 1; i <= 3; i++ {
		through := c.Manager(1 + i%3)
		visitor := dial(t, through, id)
		restarting := c.Manager(i)
		restarting.Stop()
		echo(t, visitor, "while a manager is away")
		restarting.Start()
		until := time.Now().Add(moment)
		for ready := false; !ready && time.Now().Before(until); ready = restarting.Ready() {
			echo(t, visitor, "while it comes back")
			time.Sleep(50 * time.Millisecond)
		}
		c.WaitReady()
		echo(t, visitor, "after")
		visitor.CloseNow()
	}
	require.Equal(t, docker, c.Containers(id))
}

func allManagersAway(t *testing.T, c *cluster, ids []string) {
	before := map[string]map[string][]string{}
	for _, id := range ids {
		before[id] = c.Containers(id)
	}
	for i := 1; i <= 3; i++ {
		c.Manager(i).Kill()
	}
	time.Sleep(2 * grace)
	for i := 1; i <= 3; i++ {
		c.Manager(i).Start()
	}
	c.WaitReady()
	c.settled()
	for _, id := range ids {
		require.Equal(t, before[id], c.Containers(id), "the same Docker container, neither stopped nor started")
		m := c.Manager(1)
		m.Wait(moment, "it answers", func() bool { return answers(m, id) })
	}
}

func restarted(_ *testing.T, c *cluster, _ []string) {
	for i := 1; i <= 3; i++ {
		c.Manager(i).Kill()
		c.Agent(i).Kill()
	}
	for _, host := range []string{"d1", "d2", "d3"} {
		c.Machines.Kill(host, testbed.KillAll)
	}
	for _, host := range []string{"d1", "d2", "d3"} {
		c.Machines.Restart(host)
	}
	for i := 1; i <= 3; i++ {
		c.Manager(i).Start()
		c.Agent(i).Start()
	}
	c.WaitReady()
}

// dial opens a WebSocket to the demo app through a manager.
func dial(t *testing.T, m *testbed.Manager, id string) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), moment)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+m.Addr+"/containers/proxy/"+id+"/ws",
		&websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"token " + m.Token}}})
	require.NoError(t, err)
	t.Cleanup(func() { conn.CloseNow() })
	return conn
}

func echo(t *testing.T, conn *websocket.Conn, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), moment)
	defer cancel()
	require.NoError(t, conn.Write(ctx, websocket.MessageText, []byte(text)), text)
	_, got, err := conn.Read(ctx)
	require.NoError(t, err, text)
	require.Contains(t, string(got), text)
}
