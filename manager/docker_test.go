package manager_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/wire"
	"kiosc/deploy/testbed/simhost"
	"kiosc/manager"
	"kiosc/manager/service"
)

// simulatedDocker has two images and two volumes that nobody uses, and is lost when one named lost is to be removed.
type simulatedDocker struct {
	mu    sync.Mutex
	stock wire.Stock
	asked []string
	lost  string
}

func (d *simulatedDocker) list(bool) *wire.Stock {
	d.mu.Lock()
	defer d.mu.Unlock()
	stock := d.stock
	return &stock
}

func (d *simulatedDocker) remove(id string) (wire.StockRemoved, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, id)
	if id == "busy" {
		return wire.StockRemoved{ID: id, Refused: "A Docker container uses it."}, true
	}
	return wire.StockRemoved{ID: id, Gone: id == "gone"}, id != d.lost
}

func (d *simulatedDocker) took() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	asked := d.asked
	d.asked = nil
	return asked
}

func TestUnusedThingsOfADockerHostAreRemoved(t *testing.T) {
	t.Parallel()
	n := bootstrapped(t)
	token := n.token()
	size := int64(3 << 20)
	d := &simulatedDocker{stock: wire.Stock{
		Images:  []wire.StockImage{{ID: "i1", Tags: []string{"old:1"}, Size: 5 << 20}, {ID: "i2", Tags: []string{"simulated:1"}, Size: 1}},
		Volumes: []wire.StockVolume{{Name: "v1", Anonymous: true, Size: &size}, {Name: "busy", Anonymous: true}, {Name: "notes"}},
	}}
	n.host(&simhost.Host{Name: "d1", Ordered: func(*wire.Order) {}, Stock: d.list, Removed: d.remove})
	n.host(&simhost.Host{Name: "m1", Ordered: func(*wire.Order) {}}) // of an older version, and called as the manager
	n.started(token)

	var hosts []service.DockerHost
	n.api(token, http.MethodGet, "/containers/api/docker", nil, &hosts)
	require.Len(t, hosts, 2)
	require.Equal(t, "The Docker host does not answer.", hosts[1].Error)
	require.Equal(t, &size, hosts[0].Volumes[0].Size)
	require.True(t, hosts[0].Images[0].Sweep)
	require.Contains(t, hosts[0].Images[1].Note, "which needs it to start")

	prune := func(remove bool) (out service.DockerRemoval) {
		require.NoError(t, n.admin("docker-prune", manager.DockerRequest{Node: "d1", Remove: remove}, &out))
		return out
	}
	plan := prune(false)
	require.Equal(t, hosts[0].ID, plan.Node)
	require.Len(t, plan.Results, 3)
	require.Empty(t, d.took(), "it was only asked what would be")
	results := make(map[string]service.DockerRemoved)
	for _, one := range prune(true).Results {
		results[one.ID] = one
	}
	require.Equal(t, []string{"i1", "busy", "v1"}, d.took(), "what a container or somebody needs is left")
	require.True(t, results["i1"].Removed)
	require.True(t, results["v1"].Removed)
	require.Equal(t, "A Docker container uses it.", results["busy"].Detail)

	var told struct {
		Results []struct {
			Name   string              `json:"event_name"`
			Status []map[string]string `json:"status_changes"`
		} `json:"results"`
	}
	n.api(token, http.MethodGet, "/timeline/api/list/site", nil, &told)
	var lines []string
	for _, e := range told.Results {
		lines = append(lines, e.Name+" "+e.Status[0]["status_type"])
	}
	require.Subset(t, lines, []string{"docker_remove SUBMIT", "docker_remove_image OK", "docker_remove_volume OK", "docker_remove_volume FAILED"})

	// A host that is lost in the middle: what it has told counts, the rest isn't known.
	d.mu.Lock()
	d.lost = "v1"
	d.mu.Unlock()
	var out service.DockerRemoval
	n.api(token, http.MethodPost, "/containers/api/docker/"+hosts[0].ID+"/remove", map[string]any{"images": []string{"i1"}, "volumes": []string{"v1", "never"}}, &out)
	require.Len(t, out.Results, 3)
	require.True(t, out.Results[0].Removed)
	require.Equal(t, "never", out.Results[1].ID)
	require.True(t, out.Results[1].Removed, "what isn't there is as good as removed")
	require.False(t, out.Results[2].Removed)
	require.Contains(t, out.Results[2].Detail, "has not told what became of it")

	require.ErrorContains(t, n.admin("docker-prune", manager.DockerRequest{Node: "m1", Remove: true}, &out), "Nothing can be removed from m1.")
	require.ErrorContains(t, n.admin("docker-prune", manager.DockerRequest{Node: "m2"}, &out), "There is no node m2.")
	var one []service.DockerHost
	require.NoError(t, n.admin("docker-ls", manager.DockerRequest{Node: "d1"}, &one))
	require.Equal(t, hosts[:1], one)
	require.Equal(t, http.StatusBadRequest, n.try(token, http.MethodPost, "/containers/api/docker/"+hosts[0].ID+"/remove"))
}
