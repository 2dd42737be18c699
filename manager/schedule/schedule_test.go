package schedule_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/schedule"
)

func TestPick(t *testing.T) {
	nodes := []state.Node{{ID: "a", Name: "host-a"}, {ID: "b", Name: "host-b"}, {ID: "c", Name: "host-c"}}
	only := func(ids ...string) func(string) bool {
		return func(id string) bool {
			for _, one := range ids {
				if one == id {
					return true
				}
			}
			return false
		}
	}
	for name, c := range map[string]struct {
		nodes      []state.Node
		connected  func(string) bool
		load       map[string]int
		id, reason string
	}{
		"the least loaded":        {nodes, only("a", "b", "c"), map[string]int{"a": 2, "b": 1, "c": 3}, "b", ""},
		"the first among equals":  {nodes, only("c", "b"), nil, "b", ""},
		"only connected ones":     {nodes, only("c"), map[string]int{"c": 9}, "c", ""},
		"none connected":          {nodes[:2], only(), nil, "", "Waiting for a Docker host: host-a, host-b is not connected."},
		"none that has ever been": {nil, only(), nil, "", "No Docker host has joined yet."},
	} {
		id, reason := schedule.Pick(c.nodes, c.connected, c.load)
		require.Equal(t, c.id, id, name)
		require.Equal(t, c.reason, reason, name)
	}
}
