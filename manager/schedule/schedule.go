// Package schedule decides on which Docker host a container runs.
//
// It owns the rules of placement and nothing else: it is given what is known and returns a decision. It keeps no state
// and talks to nobody.
package schedule

import (
	"cmp"
	"slices"
	"strings"

	"kiosc/cluster/state"
)

// Pick returns the least loaded of the nodes that are connected; among equals the one whose id sorts first, so that the
// decision can be repeated. Where there is none, reason tells people why.
func Pick(nodes []state.Node, connected func(id string) bool, load map[string]int) (id, reason string) {
	var away []string
	ready := slices.DeleteFunc(slices.Clone(nodes), func(n state.Node) bool {
		if connected(n.ID) {
			return false
		}
		away = append(away, n.Name)
		return true
	})
	if len(ready) == 0 {
		if len(away) == 0 {
			return "", "No Docker host has joined yet."
		}
		return "", "Waiting for a Docker host: " + strings.Join(away, ", ") + " is not connected."
	}
	best := slices.MinFunc(ready, func(a, b state.Node) int {
		return cmp.Or(cmp.Compare(load[a.ID], load[b.ID]), cmp.Compare(a.ID, b.ID))
	})
	return best.ID, ""
}
