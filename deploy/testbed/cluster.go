package testbed

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// clusterLimit is how long a cluster may take to come together or to agree on a leader.
	clusterLimit = 30 * time.Second
	cliLimit     = 30 * time.Second

	apiPort, clusterPort = "8080", "7443"
)

// Options say what a cluster consists of.
type Options struct {
	Managers, Agents int
	// Grace is how long a Docker host may be unseen before its containers start elsewhere; the program's default if zero.
	Grace time.Duration
	// Shared starts all nodes as processes of this machine, with the local Docker Engine as that of every agent. It needs
	// neither root nor time; Cluster.Machines is nil then.
	Shared bool
	// Labels are the agents' by their names, such as {"d1": {"gpu": "true"}}.
	Labels map[string]map[string]string
	// ManagerArgs and AgentArgs are added to the commands of all managers and of all agents.
	ManagerArgs, AgentArgs []string
	// ManagerEnv are settings of all managers, such as KIOSC_URL=….
	ManagerEnv []string
}

// Cluster is several managers and agents. What it does as a Client it does at the first manager that is ready, as behind
// a load balancer; each manager is a Client too.
//
// Managers are named p1, p2, … and agents d1, d2, …, after the machines on which they run unless these are shared.
type Cluster struct {
	Client
	Machines *Machines

	id       string
	options  Options
	binary   string
	dir      string
	managers []*Manager
	agents   []*Agent
}

// Node is one process of a cluster with its data directory, on which it may be started again.
type Node struct {
	Name, Dir string

	cluster *Cluster
	process process
	command func() *exec.Cmd
}

// Manager is a manager of a cluster.
type Manager struct {
	Client
	*Node
	clusterAddr string
}

// Agent is a Docker host's.
type Agent struct{ *Node }

// StartCluster starts a cluster and waits until all of it is ready. Everything is removed when the test ends.
func StartCluster(t testing.TB, o Options) *Cluster {
	t.Helper()
	require.Positive(t, o.Managers)
	binary, err := build()
	require.NoError(t, err)
	c := &Cluster{Client: Client{TB: t}, options: o, binary: binary, dir: t.TempDir()}
	c.Client.choose = func() string { return c.ready().Addr }
	if !o.Shared {
		c.Machines = Up(t, o.Agents, o.Managers)
	}
	t.Cleanup(c.clean) // runs before the machines go
	for i := range o.Managers {
		c.managers = append(c.managers, c.newManager(fmt.Sprint("p", i+1)))
	}
	first := c.managers[0]
	first.command = c.managerCommand(first, "--bootstrap")
	first.Start()
	first.WaitReady()
	c.Token = strings.TrimSpace(first.CLI("token", "create", "--user", "admin"))
	first.Token = c.Token
	if o.Managers > 1 {
		token := strings.TrimSpace(first.CLI("join-token", "manager"))
		for _, m := range c.managers[1:] {
			m.Token = c.Token
			m.command = c.managerCommand(m, "--join", first.clusterAddr, "--token", token)
			m.Start()
		}
	}
	if o.Agents > 0 {
		token := strings.TrimSpace(first.CLI("join-token", "agent"))
		for i := range o.Agents {
			a := &Agent{c.newNode(fmt.Sprint("d", i+1))}
			a.command = c.agentCommand(a, token)
			c.agents = append(c.agents, a)
			a.Start()
		}
	}
	c.WaitReady()
	return c
}

func (c *Cluster) newNode(name string) *Node {
	dir := filepath.Join(c.dir, name)
	return &Node{Name: name, Dir: dir, cluster: c, process: process{t: c.TB, name: name, out: dir + ".out"}}
}

func (c *Cluster) newManager(name string) *Manager {
	m := &Manager{Client: Client{TB: c.TB}, Node: c.newNode(name)}
	if c.options.Shared {
		m.Addr, m.clusterAddr = freeAddr(c.TB), freeAddr(c.TB)
	} else {
		ip := c.Machines.IP(name)
		m.Addr, m.clusterAddr = net.JoinHostPort(ip, apiPort), net.JoinHostPort(ip, clusterPort)
	}
	return m
}

func (c *Cluster) managerCommand(m *Manager, how ...string) func() *exec.Cmd {
	args := append([]string{"manager", "--name", m.Name, "--listen", m.Addr, "--cluster-listen", m.clusterAddr,
		"--data-dir", m.Dir, "--log-level", "debug"}, how...)
	env := append([]string{"KIOSC_ADMIN_PASSWORD=" + Password, "KIOSC_DOCKER_ACTION_MIN_DELAY=0"}, c.options.ManagerEnv...)
	if c.options.Grace > 0 {
		env = append(env, "KIOSC_NODE_GRACE="+c.options.Grace.String())
	}
	return c.on(m.Name, env, append(args, c.options.ManagerArgs...))
}

func (c *Cluster) agentCommand(a *Agent, token string) func() *exec.Cmd {
	var join []string
	for _, m := range c.managers {
		join = append(join, m.clusterAddr)
	}
	args := []string{"agent", "--name", a.Name, "--join", strings.Join(join, ","), "--token", token,
		"--data-dir", a.Dir, "--log-level", "debug"}
	for key, value := range c.options.Labels[a.Name] {
		args = append(args, "--label", key+"="+value)
	}
	if !c.options.Shared {
		args = append(args, "--docker-host", "unix://"+c.Machines.Socket(a.Name))
	}
	return c.on(a.Name, nil, append(args, c.options.AgentArgs...))
}

// on makes the commands that run kiosc on a machine.
func (c *Cluster) on(machine string, env, args []string) func() *exec.Cmd {
	return func() *exec.Cmd {
		cmd := exec.Command(c.binary, args...)
		cmd.Env = os.Environ()
		if !c.options.Shared {
			cmd = c.Machines.Command(machine, append([]string{c.binary}, args...)...)
		}
		cmd.Env = append(cmd.Env, env...)
		return cmd
	}
}

// Manager is the i-th manager, from 1 on: Manager(1) is p1.
func (c *Cluster) Manager(i int) *Manager { return c.managers[i-1] }

// Agent is the i-th agent, from 1 on: Agent(1) is d1.
func (c *Cluster) Agent(i int) *Agent { return c.agents[i-1] }

// Start starts the program and doesn't wait until it is ready: a manager is not before there is a quorum.
func (n *Node) Start() {
	n.cluster.Helper()
	n.process.start(n.command())
}

// StartWith is Start with more flags, from here on.
func (n *Node) StartWith(args ...string) {
	n.cluster.Helper()
	command := n.command
	n.command = func() *exec.Cmd {
		cmd := command()
		cmd.Args = append(cmd.Args, args...)
		return cmd
	}
	n.Start()
}

// Stop ends it with SIGTERM and waits for its end.
func (n *Node) Stop() {
	n.cluster.Helper()
	n.process.stop(syscall.SIGTERM)
}

// Kill ends it with SIGKILL. It may have ended already, with its machine.
func (n *Node) Kill() { n.process.kill() }

// PID is the id of the process that began last.
func (n *Node) PID() int {
	r, _ := n.process.current()
	return r.cmd.Process.Pid
}

// Restart kills it if it runs, and starts it again on its data directory.
func (n *Node) Restart() {
	n.cluster.Helper()
	n.Kill()
	n.Start()
}

// Running tells whether its process is there.
func (n *Node) Running() bool { return n.process.running() }

// Output is all that it has written since its first start.
func (n *Node) Output() string { return n.process.output() }

// ClusterAddr is where other nodes reach the manager.
func (m *Manager) ClusterAddr() string { return m.clusterAddr }

// WaitReady waits until the manager can serve.
func (m *Manager) WaitReady() {
	m.Helper()
	m.process.waitFor(m.Ready)
}

// CLI runs a kiosc command against the manager's data directory and returns its standard output.
func (m *Manager) CLI(args ...string) string {
	m.Helper()
	out, err := m.cli(cliLimit, args...)
	require.NoError(m, err)
	return string(out)
}

func (m *Manager) cli(limit time.Duration, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, m.cluster.binary, append(args, "--data-dir", m.Dir)...)
	var messages strings.Builder
	cmd.Stderr = &messages
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("kiosc %v on %s: %w: %s", args, m.Name, err, messages.String())
	}
	return out, nil
}

// Status is the cluster as one manager sees it.
type Status struct {
	ClusterID string       `json:"cluster_id"`
	Leader    string       `json:"leader"` // a node's id; empty if none is known
	Term      uint64       `json:"term"`
	Quorum    bool         `json:"quorum"`
	Index     uint64       `json:"index"` // of the last command that the manager has applied
	Nodes     []NodeStatus `json:"nodes"`
}

// NodeStatus is one node as a manager sees it. The fields of the other kind of node are zero.
type NodeStatus struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Role         string            `json:"role"` // manager or agent
	Address      string            `json:"address"`
	Leader       bool              `json:"leader"`
	Voter        bool              `json:"voter"`
	Health       string            `json:"health"`
	Availability string            `json:"availability"`
	Containers   int               `json:"containers"` // placed here
	Active       int               `json:"active"`     // of those, running or about to
	Labels       map[string]string `json:"labels"`
}

// Node is the node of that name, or a zero one.
func (s Status) Node(name string) NodeStatus {
	for _, n := range s.Nodes {
		if n.Name == name {
			return n
		}
	}
	return NodeStatus{}
}

// name is the name of the node with an id.
func (s Status) name(id string) string {
	for _, n := range s.Nodes {
		if n.ID == id {
			return n.Name
		}
	}
	return ""
}

// Status asks the manager for its view. It answers also while it is cut off.
func (m *Manager) Status() (Status, error) {
	var s Status
	out, err := m.cli(pollLimit, "cluster", "status", "--json")
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	return s, err
}

// ready is the first manager that can serve, as soon as there is one.
func (c *Cluster) ready() (m *Manager) {
	c.Helper()
	wait(c.TB, clusterLimit, func() string { return "a manager is ready" }, func() bool {
		for _, m = range c.managers {
			if m.Running() && m.Ready() {
				return true
			}
		}
		return false
	})
	return m
}

// CLI runs a kiosc command at a manager that is ready and returns its standard output.
func (c *Cluster) CLI(args ...string) string {
	c.Helper()
	return c.ready().CLI(args...)
}

// Status is the cluster as a manager sees it that is ready.
func (c *Cluster) Status() Status {
	c.Helper()
	s, err := c.ready().Status()
	require.NoError(c, err)
	return s
}

// Leader waits until a majority of all managers, among them the leader itself, agree on a leader.
func (c *Cluster) Leader() *Manager {
	c.Helper()
	return c.LeaderOtherThan(nil)
}

// LeaderOtherThan is Leader, after one that is about to lose its place.
func (c *Cluster) LeaderOtherThan(old *Manager) (leader *Manager) {
	c.Helper()
	var last string
	wait(c.TB, clusterLimit, func() string { return "the managers agree on a leader (last: " + last + ")" }, func() bool {
		leader, last = c.agreed()
		return leader != nil && leader != old
	})
	return leader
}

// agreed is the leader that a majority follows, or nil, and what each manager says. A leader that is cut off goes on
// believing in itself for some time, hence the majority.
func (c *Cluster) agreed() (*Manager, string) {
	type view struct {
		leader string
		term   uint64
	}
	views := map[view][]*Manager{}
	var said []string
	for _, m := range c.managers {
		if !m.Running() {
			said = append(said, m.Name+" is down")
			continue
		}
		s, err := m.Status()
		if err != nil {
			said = append(said, err.Error())
			continue
		}
		v := view{s.name(s.Leader), s.Term}
		said = append(said, fmt.Sprintf("%s says %+v", m.Name, v))
		views[v] = append(views[v], m)
	}
	for v, followers := range views {
		for _, m := range followers {
			if m.Name == v.leader && len(followers) > len(c.managers)/2 {
				return m, ""
			}
		}
	}
	return nil, strings.Join(said, "; ")
}

// WaitReady waits until all managers that run are ready and vote, one leads, and all agents that run are ready.
func (c *Cluster) WaitReady() {
	c.Helper()
	var last string
	wait(c.TB, clusterLimit, func() string { return "the cluster is ready (last: " + last + ")" }, func() bool {
		last = c.notReady()
		return last == ""
	})
}

// notReady is what WaitReady waits for still. A node that has ended although nobody asked for it shows in its output.
func (c *Cluster) notReady() string {
	leader, said := c.agreed()
	if leader == nil {
		return said
	}
	s, err := leader.Status()
	if err != nil {
		return err.Error()
	}
	c.id = s.ClusterID
	for _, m := range c.managers {
		if n := s.Node(m.Name); m.Running() && (!n.Voter || n.Health != "ready" || !m.Ready()) {
			return fmt.Sprintf("%s: %+v", m.Name, n)
		}
	}
	for _, a := range c.agents {
		if n := s.Node(a.Name); a.Running() && n.Health != "ready" {
			return fmt.Sprintf("%s: %+v", a.Name, n)
		}
	}
	return ""
}

// Containers are the Docker ids of a container, running or not, by the names of the agents that have any. Engines that
// Machines.Kill has ended are left out.
func (c *Cluster) Containers(id string) map[string][]string {
	c.Helper()
	found := map[string][]string{}
	list := []string{"ps", "-a", "--no-trunc", "--filter", "label=kiosc.container=" + id, "--format"}
	if !c.options.Shared {
		for _, a := range c.agents {
			if c.Machines.isOff(a.Name) {
				continue
			}
			if ids := strings.Fields(c.Machines.Docker(a.Name, append(list, "{{.ID}}")...)); len(ids) > 0 {
				found[a.Name] = ids
			}
		}
		return found
	}
	words := docker(c.TB, append(list, `{{.Label "kiosc.node"}} {{.ID}}`)...)
	for s := c.Status(); len(words) > 0; words = words[2:] {
		name := s.name(words[0])
		found[name] = append(found[name], words[1])
	}
	return found
}

func (c *Cluster) clean() {
	var nodes []*Node
	for _, a := range c.agents {
		nodes = append(nodes, a.Node)
	}
	for _, m := range c.managers {
		nodes = append(nodes, m.Node)
	}
	for _, n := range nodes {
		n.Kill()
		if c.Failed() {
			c.Logf("%s wrote:\n%s", n.Name, n.process.tail())
		}
	}
	if c.options.Shared && c.id != "" {
		ClearDocker(c.TB, "kiosc.cluster="+c.id)
	}
}
