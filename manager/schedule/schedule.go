// Package schedule decides on which Docker host a container runs.
//
// It owns the rules of placement and nothing else: it is given what is known and returns a decision. It keeps no state
// and talks to nobody.
package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"kiosc/cluster/state"
)

// Host is a Docker host as it stands now.
type Host struct {
	Node  state.Node
	Usage state.Usage
	// Away says in a few words why the host can't be given orders now; empty where it can.
	Away string
}

// Want is a container that is to be placed.
type Want struct {
	*state.Container
	// Homes are the nodes that its volumes are on: it can run on no other.
	Homes []string
}

// maxReasons is how many hosts are named one by one; a longer list is of no use to people.
const maxReasons = 10

// Pick returns the least loaded of the hosts that c may run on: that with the smallest share of CPU or memory reserved,
// whichever is greater, then with the fewest active containers per CPU, then the one whose id sorts first, so that the
// decision can be repeated. Where there is none, reason tells people why, host by host.
func Pick(c Want, hosts []Host) (id, reason string) {
	if len(hosts) == 0 {
		return "", "No Docker host has joined yet."
	}
	var fitting []Host
	var against []string
	for _, h := range hosts {
		if why := Against(c, h); why != "" {
			against = append(against, h.Node.Name+": "+why)
			continue
		}
		fitting = append(fitting, h)
	}
	if len(fitting) == 0 {
		if n := len(against) - maxReasons; n > 0 {
			against = append(against[:maxReasons], fmt.Sprintf("and %d more", n))
		}
		return "", "No Docker host can take the container now. " + strings.Join(against, "; ") + "."
	}
	best := slices.MinFunc(fitting, func(a, b Host) int {
		return cmp.Or(cmp.Compare(reserved(a), reserved(b)), cmp.Compare(crowd(a), crowd(b)), cmp.Compare(a.Node.ID, b.Node.ID))
	})
	return best.Node.ID, ""
}

// Against says in a few words why c may not run on the host; empty where it may.
func Against(c Want, h Host) string {
	n := h.Node
	elsewhere := func(home string) bool { return home != n.ID }
	switch {
	case slices.ContainsFunc(c.Homes, elsewhere):
		return "doesn't have the container's volumes"
	case n.Health == state.Down:
		return "is down"
	case h.Away != "":
		return h.Away
	case n.Availability == state.Draining:
		return "is being drained"
	}
	for _, text := range c.Constraints {
		constraint, err := state.ParseConstraint(text)
		if err != nil || !constraint.Met(&n) {
			return "does not meet " + text
		}
	}
	if total := int64(n.CPUs) * 1000; c.ReservedMilliCPUs > 0 && h.Usage.MilliCPUs+c.ReservedMilliCPUs > total {
		return fmt.Sprintf("has %s of %d CPUs left, %s wanted", cpus(max(0, total-h.Usage.MilliCPUs)), n.CPUs, cpus(c.ReservedMilliCPUs))
	}
	if c.ReservedMemory > 0 && h.Usage.MemoryBytes+c.ReservedMemory > n.MemoryBytes {
		return fmt.Sprintf("has %s of %s memory left, %s wanted", gib(max(0, n.MemoryBytes-h.Usage.MemoryBytes)), gib(n.MemoryBytes), gib(c.ReservedMemory))
	}
	return ""
}

// Without takes c's own share out of the usage of the host that it is on, to decide whether it may stay there.
func Without(c Want, h Host) Host {
	if h.Node.ID == c.Node {
		h.Usage.Active--
		h.Usage.MilliCPUs -= c.ReservedMilliCPUs
		h.Usage.MemoryBytes -= c.ReservedMemory
	}
	return h
}

// reserved is the greater of the shares of CPU and memory that are reserved.
func reserved(h Host) float64 {
	return max(share(h.Usage.MilliCPUs, int64(h.Node.CPUs)*1000), share(h.Usage.MemoryBytes, h.Node.MemoryBytes))
}

// crowd is the number of active containers per CPU.
func crowd(h Host) float64 { return share(int64(h.Usage.Active), int64(h.Node.CPUs)) }

func share(part, whole int64) float64 { return float64(part) / float64(max(1, whole)) }

func cpus(milli int64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", float64(milli)/1000), "0"), ".")
}

func gib(bytes int64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }
