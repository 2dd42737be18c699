package schedule_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/schedule"
)

const gib = 1 << 30

func host(id string, change func(*schedule.Host)) schedule.Host {
	h := schedule.Host{Node: state.Node{ID: id, Name: "host-" + id, Role: state.AgentNode, CPUs: 4, MemoryBytes: 8 * gib,
		Health: state.Ready, Availability: state.Active}}
	if change != nil {
		change(&h)
	}
	return h
}

func active(n int) func(*schedule.Host) { return func(h *schedule.Host) { h.Usage.Active = n } }

func TestPick(t *testing.T) {
	away := func(h *schedule.Host) { h.Away = "is not connected" }
	drained := func(h *schedule.Host) { h.Node.Availability = state.Draining }
	down := func(h *schedule.Host) { h.Node.Health = state.Down }
	gpu := func(h *schedule.Host) { h.Node.SetLabels = map[string]string{"gpu": "true"}; h.Usage.Active = 9 }
	busy := func(h *schedule.Host) { h.Usage.MilliCPUs, h.Usage.MemoryBytes = 3500, 6*gib }
	large := func(h *schedule.Host) { h.Node.CPUs, h.Usage.Active = 64, 8 }
	for name, c := range map[string]struct {
		want  state.Container
		homes []string
		hosts []schedule.Host
		id    string
		// parts of the reason
		reasons []string
	}{
		"the least crowded":      {hosts: []schedule.Host{host("a", active(2)), host("b", active(1)), host("c", active(3))}, id: "b"},
		"by CPU, not by number":  {hosts: []schedule.Host{host("a", active(2)), host("b", large)}, id: "b"},
		"the first among equals": {hosts: []schedule.Host{host("b", nil), host("a", nil)}, id: "a"},
		"the least reserved":     {hosts: []schedule.Host{host("a", busy), host("b", active(5))}, id: "b"},
		"only connected ones":    {hosts: []schedule.Host{host("a", away), host("b", active(9))}, id: "b"},
		"a label":                {want: state.Container{Spec: state.Spec{Constraints: []string{"node.labels.gpu == true"}}}, hosts: []schedule.Host{host("a", nil), host("b", gpu)}, id: "b"},
		"not a label":            {want: state.Container{Spec: state.Spec{Constraints: []string{"node.labels.gpu != true"}}}, hosts: []schedule.Host{host("a", gpu), host("b", active(20))}, id: "b"},
		"room for CPUs":          {want: state.Container{Spec: state.Spec{ReservedMilliCPUs: 1000}}, hosts: []schedule.Host{host("a", busy), host("b", nil)}, id: "b"},
		"its volumes":            {homes: []string{"b"}, hosts: []schedule.Host{host("a", nil), host("b", busy)}, id: "b"},
		"volumes on two hosts": {homes: []string{"a", "b"}, hosts: []schedule.Host{host("a", nil), host("b", nil)},
			reasons: []string{"host-a: doesn't have the container's volumes", "host-b: doesn't have the container's volumes"}},
		"none that has ever been": {reasons: []string{"No Docker host has joined yet."}},
		"none, host by host": {want: state.Container{Spec: state.Spec{Constraints: []string{"node.labels.gpu == true"}}},
			hosts:   []schedule.Host{host("a", away), host("b", drained), host("c", down), host("d", nil)},
			reasons: []string{"host-a: is not connected", "host-b: is being drained", "host-c: is down", "host-d: does not meet node.labels.gpu == true"}},
		"no room": {want: state.Container{Spec: state.Spec{ReservedMilliCPUs: 1500, ReservedMemory: 3 * gib}},
			hosts:   []schedule.Host{host("a", busy), host("b", func(h *schedule.Host) { h.Usage.MemoryBytes = 6 * gib })},
			reasons: []string{"host-a: has 0.5 of 4 CPUs left, 1.5 wanted", "host-b: has 2.0 GiB of 8.0 GiB memory left, 3.0 GiB wanted"}},
	} {
		t.Run(name, func(t *testing.T) {
			id, reason := schedule.Pick(schedule.Want{Container: &c.want, Homes: c.homes}, c.hosts)
			require.Equal(t, c.id, id)
			require.Equal(t, len(c.reasons) == 0, reason == "")
			for _, part := range c.reasons {
				require.Contains(t, reason, part)
			}
		})
	}
}

func TestALongListOfReasonsIsCut(t *testing.T) {
	var hosts []schedule.Host
	for range 100 {
		hosts = append(hosts, host("x", func(h *schedule.Host) { h.Node.Health = state.Down }))
	}
	_, reason := schedule.Pick(schedule.Want{Container: &state.Container{}}, hosts)
	require.Equal(t, 10, strings.Count(reason, "is down"))
	require.Contains(t, reason, "and 90 more")
}

func TestAContainerMayStayWhereItsOwnShareFillsTheHost(t *testing.T) {
	c := schedule.Want{Container: &state.Container{Spec: state.Spec{ReservedMilliCPUs: 4000}, Node: "a"}}
	full := host("a", func(h *schedule.Host) { h.Usage.MilliCPUs, h.Usage.Active = 4000, 1 })
	require.NotEmpty(t, schedule.Against(c, full))
	require.Empty(t, schedule.Against(c, schedule.Without(c, full)))
}
