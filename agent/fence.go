package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"kiosc/agent/engine"
	"kiosc/agent/guard"
)

const (
	// lookAtRules is how often the packet filter is looked at without being asked to: somebody may have emptied it.
	lookAtRules    = 10 * time.Second
	resolveTimeout = 3 * time.Second
	// firstLook is how long a session waits at most to know whether there is protection.
	firstLook  = 5 * time.Second
	resolvConf = "/etc/resolv.conf"
	dnsPort    = 53
)

// fence keeps the guard's rules in step with the projects' networks of this host and the addresses of the managers. Where it
// can't, containers run all the same, and the log and the node's page say why they are not kept away.
type fence struct {
	agent *Agent

	mu       sync.Mutex // one look at a time
	managers []netip.Addr
	resolved map[string][]netip.Addr // host name → as it was last found
	why      string                  // why there is no protection, for people; empty where there is, or nothing is known
	first    chan struct{}           // closed after the first look
	once     sync.Once
}

func newFence(a *Agent) *fence {
	return &fence{agent: a, resolved: make(map[string][]netip.Addr), first: make(chan struct{})}
}

func (f *fence) run(ctx context.Context) {
	if f.agent.cfg.Guard == nil {
		return
	}
	tick := time.NewTicker(lookAtRules)
	defer tick.Stop()
	for {
		f.resolve(ctx)
		f.look(ctx)
		f.once.Do(func() { close(f.first) })
		select {
		case <-tick.C:
		case <-ctx.Done():
			return // the rules stay, as the containers do
		}
	}
}

// exposed tells why containers are not kept away from the host's ports; empty where they are.
func (f *fence) exposed(ctx context.Context) string {
	if f.agent.cfg.Guard == nil {
		return ""
	}
	wait := time.NewTimer(firstLook)
	defer wait.Stop()
	select {
	case <-f.first:
	case <-wait.C:
		return "" // Docker is slow; a later session tells
	case <-ctx.Done():
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.why
}

// look brings the rules up to date. It is also called before each start of a container, whose network may be new.
func (f *fence) look(ctx context.Context) {
	if f.agent.cfg.Guard == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.apply(ctx)
	if ctx.Err() != nil || errors.Is(err, engine.ErrUnavailable) {
		return
	}
	why := ""
	if err != nil {
		why = "Apps can reach the ports of this host: " + err.Error() + "."
	}
	if why != f.why && why != "" {
		f.agent.logger.Warn("containers are not kept from this host's ports", "reason", err)
	}
	f.why = why
}

var errElsewhere = errors.New("the agent is not in the network namespace of this Docker Engine, as with rootless Docker")

func (f *fence) apply(ctx context.Context) error {
	local, err := f.agent.engine.Local(ctx)
	if err != nil {
		return err
	}
	if !local {
		return errElsewhere
	}
	networks, err := f.agent.engine.ProjectNetworks(ctx)
	if err != nil {
		return err
	}
	rules := guard.Rules{Managers: f.managers, Allowed: slices.Concat(f.agent.cfg.Allowed, nameservers())}
	for _, n := range networks {
		rules.Networks = append(rules.Networks, guard.Network{Bridge: n.Bridge, Gateway: netip.AddrPortFrom(n.Gateway, filePort)})
	}
	return f.agent.cfg.Guard.Apply(ctx, rules)
}

// nameservers are the DNS servers that this host asks, and that Docker gives to containers: one may be the host itself, or
// link-local.
func nameservers() (places []guard.Place) {
	text, err := os.ReadFile(resolvConf)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(words[1]); err == nil && addr.Is4() && !addr.IsLoopback() {
			places = append(places, guard.Place{Prefix: netip.PrefixFrom(addr, addr.BitLen()), Port: dnsPort})
		}
	}
	return places
}

// resolve finds the managers' addresses. What can't be found now stays as it was.
func (f *fence) resolve(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	var all []netip.Addr
	for _, address := range f.agent.links.addresses() {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			continue
		}
		if found, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host); err == nil {
			f.resolved[host] = found
		}
		for _, addr := range f.resolved[host] {
			if addr = addr.Unmap(); !addr.IsLoopback() && !addr.IsUnspecified() {
				all = append(all, addr)
			}
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.managers = slices.Compact(all)
}
