// Package guard keeps the containers of projects away from their Docker host, from the managers, and from link-local addresses
// such as a cloud's metadata service, by rules of the host's packet filter.
//
// It owns four chains of the kernel's mangle table that are named after the node, and the two jumps that lead there. It never
// changes another rule, and looks at no packet but those that come out of bridges of Docker's.
//
// What must always hold:
//   - Packets of networks that it wasn't given pass. So do answers to whoever has connected to a container.
//   - It only ever forbids: what it lets through, other firewalls may still drop. The mangle table comes before theirs and
//     Docker's, so that neither their order nor their reloads matter.
//   - Rules are replaced in one step. There is no moment without them.
package guard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// callTimeout bounds one call of iptables, lockWait how long it waits for others that change rules, in seconds.
const (
	callTimeout = 20 * time.Second
	lockWait    = "5"
)

// Network is a project's network on this host.
type Network struct {
	Bridge  string         // the interface that Docker has made for it
	Gateway netip.AddrPort // where its containers may fetch small files
}

// Rules say what is kept from whom.
type Rules struct {
	Networks []Network
	// Managers are addresses that containers can't reach at all.
	Managers []netip.Addr
	// Allowed are reached although they are the host's, a manager's or link-local.
	Allowed []Place
}

// Place is one or several addresses, at a port or at all of them.
type Place struct {
	Prefix netip.Prefix
	Port   uint16 // 0 for all
}

// ParsePlace reads an IPv4 address or prefix, with a port or without: 192.0.2.7, 192.0.2.0/24 or 192.0.2.7:53.
func ParsePlace(text string) (p Place, err error) {
	address, port, found := strings.Cut(text, ":")
	if found {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return p, fmt.Errorf("%q has no port from 1 to 65535", text)
		}
		p.Port = uint16(n)
	}
	if !strings.Contains(address, "/") {
		address += "/32"
	}
	if p.Prefix, err = netip.ParsePrefix(address); err != nil || !p.Prefix.Addr().Is4() {
		return p, fmt.Errorf("%q is not an IPv4 address or prefix, with or without a port", text)
	}
	p.Prefix = p.Prefix.Masked()
	return p, nil
}

// Guard has the rules of one node. Its methods are for one caller at a time.
type Guard struct {
	prefix string // of the chains' names
	swept  bool   // whether what other nodes have left was looked for
}

// common begins the names of all nodes' chains, idLength is how much of a node's id follows; names have 28 characters at most.
const (
	common   = "KIOSC-"
	idLength = 10
)

// New makes the guard of a node. Nothing is changed until Apply.
func New(node string) *Guard {
	keep := func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}
	node = strings.Map(keep, node)
	return &Guard{prefix: common + node[:min(idLength, len(node))]}
}

// The chains, by what follows the prefix: those that packets to the host and through it come to, and what is asked of those that
// came from a network of ours.
const (
	toHost, toHostRules   = "-IN", "-IN2"
	through, throughRules = "-FW", "-FW2"
)

// ErrNotAllowed says that this process may not change the packet filter, ErrMissing that the host has no iptables.
var (
	ErrNotAllowed = errors.New("the agent may not change the packet filter; it must run as root or have CAP_NET_ADMIN")
	ErrMissing    = errors.New("iptables is not installed")
)

// Apply makes the rules what they should be, also where somebody has removed them in between. Without networks it removes
// them. The first time it also removes chains that other nodes have left, whose networks are gone.
func (g *Guard) Apply(ctx context.Context, r Rules) error {
	now, err := list(ctx)
	if err != nil {
		return err
	}
	if !g.swept {
		sweep(ctx, now, g.prefix)
		g.swept = true
	}
	var change strings.Builder
	if len(r.Networks) == 0 {
		remove(&change, now, g.prefix)
	} else {
		g.write(&change, now, r)
	}
	return commit(ctx, &change)
}

func sweep(ctx context.Context, now []string, mine string) {
	for _, prefix := range abandoned(now) {
		if prefix != mine {
			var change strings.Builder
			remove(&change, now, prefix)
			_ = commit(ctx, &change) // another node may just have done it
		}
	}
}

// commit makes all changes at once, or none.
func commit(ctx context.Context, change *strings.Builder) error {
	if change.Len() == 0 {
		return nil
	}
	_, err := run(ctx, "*mangle\n"+change.String()+"COMMIT\n", "iptables-restore", "-w", lockWait, "--noflush")
	return err
}

// linkLocal has the metadata services of clouds.
const linkLocal = "169.254.0.0/16"

func (g *Guard) write(w *strings.Builder, now []string, r Rules) {
	for _, suffix := range []string{toHost, toHostRules, through, throughRules} {
		fmt.Fprintf(w, ":%s%s - [0:0]\n", g.prefix, suffix) // made, or emptied
	}
	for _, jump := range jumps(g.prefix) {
		if !slices.Contains(now, "-A "+jump) {
			fmt.Fprintf(w, "-I %s\n", jump)
		}
	}
	for _, suffix := range []string{toHost, through} {
		fmt.Fprintf(w, "-A %s%s -m conntrack --ctstate ESTABLISHED,RELATED --ctdir REPLY -j RETURN\n", g.prefix, suffix)
	}
	for _, n := range r.Networks {
		fmt.Fprintf(w, "-A %s%s -i %s -d %s -p tcp --dport %d -j RETURN\n", g.prefix, toHost, n.Bridge, n.Gateway.Addr(), n.Gateway.Port())
		for _, chain := range [][2]string{{toHost, toHostRules}, {through, throughRules}} {
			fmt.Fprintf(w, "-A %s%s -i %s -j %s%s\n", g.prefix, chain[0], n.Bridge, g.prefix, chain[1])
		}
	}
	for _, suffix := range []string{toHostRules, throughRules} {
		for _, p := range r.Allowed {
			if p.Port == 0 {
				fmt.Fprintf(w, "-A %s%s -d %s -j RETURN\n", g.prefix, suffix, p.Prefix)
				continue
			}
			for _, protocol := range []string{"tcp", "udp"} {
				fmt.Fprintf(w, "-A %s%s -d %s -p %s --dport %d -j RETURN\n", g.prefix, suffix, p.Prefix, protocol, p.Port)
			}
		}
	}
	fmt.Fprintf(w, "-A %s%s -j DROP\n-A %s%s -d %s -j DROP\n", g.prefix, toHostRules, g.prefix, throughRules, linkLocal)
	for _, m := range r.Managers {
		fmt.Fprintf(w, "-A %s%s -d %s -j DROP\n", g.prefix, throughRules, m)
	}
}

// jumps are the rules, as iptables lists them, by which packets come to a node's chains: those of bridges that Docker has named.
func jumps(prefix string) []string {
	return []string{"INPUT -i br-+ -j " + prefix + toHost, "FORWARD -i br-+ -j " + prefix + through}
}

// remove takes the chains of a prefix away.
func remove(w *strings.Builder, now []string, prefix string) {
	chains := 0
	for _, suffix := range []string{toHost, through, toHostRules, throughRules} {
		if slices.Contains(now, "-N "+prefix+suffix) {
			chains++
		}
	}
	if chains == 0 {
		return
	}
	for _, jump := range jumps(prefix) {
		if slices.Contains(now, "-A "+jump) {
			fmt.Fprintf(w, "-D %s\n", jump)
		}
	}
	for _, do := range []string{"F", "X"} {
		for _, suffix := range []string{toHost, through, toHostRules, throughRules} {
			if slices.Contains(now, "-N "+prefix+suffix) {
				fmt.Fprintf(w, "-%s %s%s\n", do, prefix, suffix)
			}
		}
	}
}

// abandoned lists the prefixes of chains all of whose bridges are gone.
func abandoned(now []string) (prefixes []string) {
	alive := make(map[string]bool)
	for _, line := range now {
		words := strings.Fields(line)
		if len(words) == 2 && words[0] == "-N" && strings.HasPrefix(words[1], common) && strings.HasSuffix(words[1], toHost) {
			prefixes = append(prefixes, strings.TrimSuffix(words[1], toHost))
		}
		if i := slices.Index(words, "-i"); len(words) > 2 && words[0] == "-A" && i >= 0 && i+1 < len(words) {
			if _, err := net.InterfaceByName(words[i+1]); err == nil {
				alive[strings.TrimSuffix(words[1], toHost)] = true
			}
		}
	}
	return slices.DeleteFunc(prefixes, func(p string) bool { return alive[p] })
}

// list returns the mangle table, a rule or chain a line.
func list(ctx context.Context) ([]string, error) {
	out, err := run(ctx, "", "iptables", "-w", lockWait, "-t", "mangle", "-S")
	return strings.Split(out, "\n"), err
}

// places are where iptables may be that isn't on the path of ordinary users.
var places = []string{"", "/usr/sbin/", "/sbin/"}

func run(ctx context.Context, stdin, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var out, problem bytes.Buffer
	path, err := "", error(ErrMissing)
	for _, place := range places {
		if path, err = exec.LookPath(place + name); err == nil {
			break
		}
	}
	if err != nil {
		return "", ErrMissing
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &problem
	if err := cmd.Run(); err != nil {
		text := problem.String()
		if strings.Contains(text, "Permission denied") || strings.Contains(text, "Operation not permitted") {
			return "", ErrNotAllowed
		}
		line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
		return "", fmt.Errorf("%s fails: %w (%s)", name, err, line)
	}
	return out.String(), nil
}
