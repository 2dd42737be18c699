package agent

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/agent/guard"
)

// aManager is an address at which no manager is, of those that are for documentation.
const aManager = "192.0.2.7"

// rules lists the packet filter's rules that name a node's chains.
func rules(t *testing.T, node string) (list []string) {
	t.Helper()
	out, err := exec.Command("iptables", "-w", "5", "-t", "mangle", "-S").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "KIOSC-"+node[:10]) {
			list = append(list, strings.TrimSpace(line))
		}
	}
	return list
}

// dropped counts the packets to an address that a node's rules have dropped since they were last written.
func dropped(t *testing.T, node, address string) int {
	t.Helper()
	out, err := exec.Command("iptables", "-w", "5", "-t", "mangle", "-vnxL", "KIOSC-"+node[:10]+"-FW2").CombinedOutput()
	require.NoError(t, err, "%s", out)
	found := regexp.MustCompile(`(?m)^ *(\d+) .*DROP .* ` + regexp.QuoteMeta(address)).FindSubmatch(out)
	require.NotNil(t, found, "%s", out)
	n, err := strconv.Atoi(string(found[1]))
	require.NoError(t, err)
	return n
}

// listen has something of the host's listen at an address of a Docker network's.
func listen(t *testing.T, address string) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	_, port, err = net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port
}

// docker0 is the host's address in Docker's own network.
func docker0(t *testing.T) string {
	t.Helper()
	bridge, err := net.InterfaceByName("docker0")
	require.NoError(t, err)
	addrs, err := bridge.Addrs()
	require.NoError(t, err)
	return addrs[0].(*net.IPNet).IP.String()
}

func TestContainersReachTheirProjectAndNotTheHost(t *testing.T) {
	t.Parallel()
	require.Zero(t, os.Geteuid(), "only root may change the packet filter: run the tests as root")
	w := newWorld(t)
	b := w.newBoss("m")
	cfg := w.config("", b.addr, net.JoinHostPort(aManager, "7443"))
	node := cfg.Credentials.Identity().NodeID
	// What is allowed proves that it is the rules that keep the container from the rest.
	bridge := docker0(t)
	open := listen(t, bridge)
	allowed, err := guard.ParsePlace(net.JoinHostPort(bridge, open))
	require.NoError(t, err)
	cfg.Guard, cfg.Allowed = guard.New(node), []guard.Place{allowed}
	a := New(cfg)
	stop := sync.OnceFunc(w.runUntil(a))
	t.Cleanup(stop)
	s := b.session()
	o := s.lead(1)
	o.inventory()
	o.lease(1, time.Hour)
	project, foreign := "p-"+randomHex(4), "p-"+randomHex(4)
	one, same, other := o.fetcher(s, project), o.fetcher(s, project), o.fetcher(s, foreign)
	ip := func(f fetcher) string {
		o, err := a.engine.Inspect(t.Context(), f.dockerID)
		require.NoError(t, err)
		return o.IP
	}
	reach := func(from fetcher, address string) bool { return from.ask("DIAL", address).Status == 200 }

	// Projects.
	require.True(t, reach(one, ip(same)+":8080"), "containers of one project reach each other")
	require.True(t, reach(one, "kiosc-"+same.id+"-1:8080"), "also by name")
	require.False(t, reach(one, ip(other)+":8080"))
	require.False(t, reach(one, "kiosc-"+other.id+"-1:8080"))
	require.False(t, reach(other, ip(one)+":8080"))

	// The host: at the gateway of the own network, of another project's, and at other addresses of its own.
	file := b.shelf.put([]byte("a,b"), one.id)
	require.Equal(t, 200, one.ask("GET", linkTo(file)).Status, "small files are served")
	require.True(t, reach(one, net.JoinHostPort(bridge, open)), "what is allowed is reached")
	for _, address := range []string{gatewayOf(t, project), gatewayOf(t, foreign), bridge} {
		port := listen(t, address)
		conn, err := net.Dial("tcp", net.JoinHostPort(address, port))
		require.NoError(t, err, "the host itself reaches it")
		conn.Close()
		require.False(t, reach(one, net.JoinHostPort(address, port)), address)
	}
	require.False(t, reach(one, gatewayOf(t, foreign)+":8080"), "nor another project's small files")

	// Managers elsewhere, and metadata services.
	for address, rule := range map[string]string{aManager + ":8080": aManager, "169.254.169.254:80": "169.254.0.0/16"} {
		eventually(t, "packets to "+address+" that are dropped", func() bool {
			require.False(t, reach(one, address))
			return dropped(t, node, rule) > 0
		})
	}

	// Somebody empties the packet filter.
	port := listen(t, gatewayOf(t, project))
	jump := "INPUT -i br-+ -j KIOSC-" + node[:10] + "-IN"
	require.Contains(t, rules(t, node), "-A "+jump)
	require.NoError(t, exec.Command("iptables", append([]string{"-w", "5", "-t", "mangle", "-D"}, strings.Fields(jump)...)...).Run())
	eventually(t, "the rules to be back", func() bool { return strings.Contains(strings.Join(rules(t, node), "\n"), "-A "+jump) })
	require.False(t, reach(one, net.JoinHostPort(gatewayOf(t, project), port)))

	// They last as long as the containers do, and not as the agent.
	stop()
	for _, f := range []fetcher{one, same, other} {
		require.NotEmpty(t, rules(t, node))
		require.NoError(t, cfg.Engine.Remove(t.Context(), f.dockerID))
	}
	w.run(New(cfg))
	eventually(t, "the rules to be gone", func() bool { return len(rules(t, node)) == 0 })
}

// TestTheRulesOutliveTheAgent sees that they stay for containers that go on, and that the next agent takes away those of a node
// that never came back.
func TestTheRulesOutliveTheAgent(t *testing.T) {
	t.Parallel()
	require.Zero(t, os.Geteuid(), "only root may change the packet filter: run the tests as root")
	w := newWorld(t)
	b := w.newBoss("m")
	cfg := w.config("", b.addr)
	node := cfg.Credentials.Identity().NodeID
	cfg.Guard = guard.New(node)
	stop := w.runUntil(New(cfg))
	s := b.session()
	o := s.lead(1)
	o.inventory()
	o.lease(1, time.Hour)
	one := o.fetcher(s, "p-"+randomHex(4))
	stop()
	require.NotEmpty(t, rules(t, node))

	require.NoError(t, cfg.Engine.Remove(t.Context(), one.dockerID))
	other := guard.New("other" + randomHex(4))
	require.NoError(t, other.Apply(t.Context(), guard.Rules{}))
	require.Empty(t, rules(t, node))
}

// TestWhoMayNotProtectSaysSo plays a host whose agent isn't root.
func TestWhoMayNotProtectSaysSo(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\necho 'iptables: Permission denied (you must be root)' >&2\nexit 4\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "iptables"), []byte(script), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	w := newWorld(t)
	b := w.newBoss("m")
	cfg := w.config("", b.addr)
	cfg.Guard = guard.New(cfg.Credentials.Identity().NodeID)
	w.start(cfg)
	s := b.session()
	require.Equal(t, "Apps can reach the ports of this host: the agent may not change the packet filter; it must run as root or have CAP_NET_ADMIN.",
		s.hello.Engine.Exposed)
	require.Equal(t, 1, w.logs.count("containers are not kept from this host's ports"))
	o := s.lead(1)
	o.inventory()
	o.lease(1, time.Hour)
	o.fetcher(s, "p-"+randomHex(4)) // starts all the same
}
