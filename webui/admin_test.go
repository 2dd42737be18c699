package webui_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
	"kiosc/manager/service"
)

// fakeTasks are two tasks, one of which has failed.
type fakeTasks struct{ ran []string }

func (f *fakeTasks) Tasks(context.Context) ([]service.TaskStatus, error) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return []service.TaskStatus{
		{Name: "check", About: "Compares <all>.", Schedule: "30s", Next: &at,
			Last: &service.TaskRun{At: at, Duration: 15 * time.Millisecond, Summary: "3 of 3 Docker hosts", Manager: "m2"}},
		{Name: "sync", Schedule: "off", Last: &service.TaskRun{At: at, Error: "The other site does not answer.", User: "ana"}},
	}, nil
}

func (f *fakeTasks) RunNow(_ context.Context, name, user string) (service.TaskStatus, error) {
	f.ran = append(f.ran, name+" for "+user)
	return service.TaskStatus{Name: name, Last: &service.TaskRun{Summary: "4 of 4 Docker hosts"}}, nil
}

func TestAdministratorsSeeAndRunTasks(t *testing.T) {
	s := newSite(t)
	got := s.get("root", "/kioscadmin/overview/tasks")
	require.Equal(t, http.StatusOK, got.status)
	for _, text := range []string{"3 of 3 Docker hosts", "Compares &lt;all&gt;.", "2026-01-02 03:04:05", "15ms", "on m2", "The other site does not answer.", ", for ana"} {
		require.Contains(t, got.body, text)
	}
	require.Contains(t, s.get("root", "/").body, "/kioscadmin/overview")

	require.Equal(t, http.StatusForbidden, s.send("root", http.MethodPost, "/kioscadmin/task/check", nil).status, "no token")
	got = s.post("root", "/kioscadmin/task/check")
	require.Equal(t, http.StatusFound, got.status)
	require.Equal(t, []string{"check for root"}, s.tasks.ran)
}

func TestTheAdminPageIsForAdministratorsOnly(t *testing.T) {
	s := newSite(t)
	for _, user := range []string{"owner", "guest", "outsider"} {
		require.NotContains(t, s.get(user, "/").body, "/kioscadmin")
		require.Equal(t, http.StatusForbidden, s.get(user, "/kioscadmin/overview/tasks").status)
		require.Equal(t, http.StatusForbidden, s.post(user, "/kioscadmin/task/check").status)
	}
	require.Equal(t, http.StatusFound, s.get("", "/kioscadmin/overview/tasks").status)
	require.Empty(t, s.tasks.ran)
}

func TestAdministratorsSetQuotas(t *testing.T) {
	s := newSite(t)
	address := "/kioscadmin/quota/" + s.Project
	require.Equal(t, http.StatusForbidden, s.get("owner", address).status)
	require.Equal(t, http.StatusForbidden, s.post("owner", address, "running", "9").status)
	require.Contains(t, s.get("root", address).body, "Quota of Mice")
	got := s.post("root", address, "running", "many", "memory", "8 GiB")
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.body, "Enter a whole number, or none.")
	require.Contains(t, got.body, `value="8 GiB"`)
	require.Equal(t, http.StatusFound, s.post("root", address, "running", "2", "memory", "8 GiB").status)

	page := s.get("guest", "/containers/"+s.Project).body
	require.Contains(t, page, "0 of 2")
	require.Contains(t, page, "0B of 8GiB")
	require.NotContains(t, page, "<dt>Small files", "only what has a quota is shown")
	require.Contains(t, s.get("root", "/kioscadmin/overview/quotas").body, "0 of 2")
	require.Equal(t, http.StatusFound, s.post("root", address, "memory", "8 GiB").status, "an empty field ends a quota")
	require.NotContains(t, s.get("guest", "/containers/"+s.Project).body, "0 of 2")

	require.Equal(t, http.StatusFound, s.post("root", "/kioscadmin/quota/site", "running", "0").status)
	c := s.Container("App")
	require.Equal(t, http.StatusFound, s.post("owner", "/containers/start/"+c).status)
	stored, _ := s.Read(c)
	require.False(t, stored.Pending())
	require.Equal(t, http.StatusNotFound, s.get("root", "/kioscadmin/quota/nonsense").status)
}

func TestTheListOfAllContainers(t *testing.T) {
	s := newSite(t)
	b, a := s.Container("beta"), s.Container("Alpha")
	s.Report(b, state.Running)
	page := s.get("guest", "/containerlist/").body
	require.Contains(t, page, "beta")
	require.NotContains(t, page, `name="container"`, "a guest has nothing to select for")
	require.Contains(t, s.get("outsider", "/containerlist/").body, "No containers to show.")
	before := func(body, first, second string) bool {
		return strings.Index(body, ">"+first+"<") < strings.Index(body, ">"+second+"<")
	}
	require.True(t, before(page, "Alpha", "beta"), "the newest first")
	require.True(t, before(s.get("guest", "/containerlist/?sort=title").body, "Alpha", "beta"))
	got := s.get("guest", "/containerlist/?sort=-title").body
	require.True(t, before(got, "beta", "Alpha"))
	require.Contains(t, got, `aria-sort="descending"`)
	require.True(t, before(s.get("guest", "/containerlist/?sort=-state").body, "beta", "Alpha"))
	require.Equal(t, http.StatusOK, s.get("guest", "/containerlist/?sort=%3Cscript%3E").status)

	page = s.get("root", "/kioscadmin/overview/containers").body
	require.Contains(t, page, `action="/containers/start/`+a+`"`, "with controls")
	require.Equal(t, http.StatusForbidden, s.get("owner", "/kioscadmin/overview/containers").status)
}

func TestAdministratorsSeeAndDrainNodes(t *testing.T) {
	s := newSite(t)
	page := s.get("root", "/kioscadmin/overview/nodes")
	require.Equal(t, http.StatusOK, page.status)
	for _, text := range []string{"m1", "leader", "docker-1", "1.5 of 4 reserved", "2 of 3 active", "gpu=true", "Apps can reach the ports of this host.", "/kioscadmin/node/drain/" + hostID} {
		require.Contains(t, page.body, text)
	}
	require.Contains(t, page.body, `data-figures="/containers/ajax/figures/node/`+hostID+`"`)
	for _, query := range []string{hostID, "unheard-of", "%3Cscript%3E"} {
		require.Contains(t, s.get("root", "/kioscadmin/overview/nodes?node="+query).body, "In use on docker-1")
	}
	require.Equal(t, http.StatusForbidden, s.get("owner", "/kioscadmin/overview/nodes").status)
	require.Equal(t, http.StatusForbidden, s.post("owner", "/kioscadmin/node/drain/"+hostID).status)
	require.Equal(t, http.StatusFound, s.post("root", "/kioscadmin/node/drain/"+hostID).status)
	require.Equal(t, http.StatusFound, s.post("root", "/kioscadmin/node/activate/"+hostID).status)
	require.Equal(t, []string{"drain 1h0m0s", "activate"}, s.cluster.done)
}

const hostID = "0b4cb5d2-6f0e-4d4f-9d6e-0f0a3c1b7a55"

// fakeCluster is a manager and a Docker host.
type fakeCluster struct {
	done      []string
	id, known string // of the cluster, and of a container
	stock     *wire.Stock
	removed   map[string]wire.StockRemoved // what becomes of what isn't simply removed
	lost      bool                         // before anything is removed
}

func (f *fakeCluster) Cluster() (service.ClusterStatus, error) {
	return service.ClusterStatus{Quorum: true, Nodes: []service.NodeStatus{
		{ID: "1", Name: "m1", Role: "manager", Health: "ready", Leader: true, Voter: true},
		{ID: hostID, Name: "docker-1", Role: "agent", Health: "ready", Availability: "active", Exposed: "Apps can reach the ports of this host.", CPUs: 4, ReservedCPUs: 1.5, Active: 2, Containers: 3,
			Labels: map[string]string{"gpu": "true"}}}}, nil
}

func (f *fakeCluster) Drain(_ context.Context, _ string, deadline time.Duration, _ bool) (service.NodeStatus, error) {
	f.done = append(f.done, "drain "+deadline.String())
	return service.NodeStatus{}, nil
}

func (f *fakeCluster) Activate(context.Context, string) (service.NodeStatus, error) {
	f.done = append(f.done, "activate")
	return service.NodeStatus{}, nil
}

// Stock is of one host that answers; there is another that doesn't.
func (f *fakeCluster) Stock(_ context.Context, node string, _ bool) (*wire.Stock, error) {
	switch {
	case node == "n2":
		return nil, errors.New("away")
	case f.stock != nil:
		return f.stock, nil
	}
	return &wire.Stock{
		Containers: []wire.StockContainer{
			{DockerID: "0123456789abcdef", Name: "postgres", Image: "postgres:17", State: "running"},
			{DockerID: "1", Name: "kiosc-known", Image: "nginx", Cluster: f.id, Container: f.known},
			{DockerID: "2", Name: "kiosc-orphan", Image: "nginx", Cluster: f.id, Container: "gone"},
			{DockerID: "3", Name: "kiosc-other", Image: "nginx", Cluster: "another", Container: f.known},
			{DockerID: "4", Name: "kiosc-agent", Image: "kiosc", Self: true},
		},
		Networks: []wire.StockNetwork{{ID: "9876543210fedcba", Name: "kiosc-net", Driver: "bridge", Subnet: "10.171.0.0/26", Gateway: "10.171.0.1", Containers: []string{"a", "b"}, Ours: true}},
		Images:   []wire.StockImage{{ID: "sha256:fedcba9876543210", Tags: []string{"nginx:1"}, Size: 50 << 20, Used: 3}},
		Volumes:  []wire.StockVolume{{Name: "data", Mountpoint: "/var/lib/docker/volumes/data"}},
	}, nil
}

func (f *fakeCluster) RemoveStock(_ context.Context, _ string, what *wire.RemoveStock, told func(wire.StockRemoved)) error {
	if f.lost {
		return errors.New("lost")
	}
	ids := slices.Clone(what.Volumes)
	for i, one := range what.Images {
		ids = slices.Insert(ids, i, one.ID)
	}
	for _, id := range ids {
		f.done = append(f.done, "remove "+id)
		out := f.removed[id]
		out.ID = id
		told(out)
	}
	return nil
}

func TestAdministratorsSeeWhatDockerHas(t *testing.T) {
	s := newSite(t)
	s.cluster.known = s.Container("App")
	require.NoError(t, s.Store().View(func(tx *state.Tx) error {
		cluster, _, err := tx.Cluster()
		s.cluster.id = cluster.ID
		return err
	}))
	s.Do(&state.NodeRegistered{Node: state.Node{ID: "n2", Name: "docker-2"}})
	page := s.get("root", "/kioscadmin/overview/not-in-kiosc")
	require.Equal(t, http.StatusOK, page.status)
	require.NotContains(t, page.body, "kiosc-known")
	for _, text := range []string{"postgres:17", "0123456789ab<", "kiosc-orphan", "it is removed soon", "of another Kiosc", "Kiosc itself", "docker-2", "The Docker host does not answer."} {
		require.Contains(t, page.body, text)
	}
	page = s.get("root", "/kioscadmin/overview/docker")
	require.Equal(t, http.StatusOK, page.status)
	for _, text := range []string{"kiosc-net", "10.171.0.0/26", "a, b", "fedcba987654<", "50MiB", "/var/lib/docker/volumes/data", "The Docker host does not answer."} {
		require.Contains(t, page.body, text)
	}
	for _, tab := range []string{"docker", "not-in-kiosc"} {
		require.Equal(t, http.StatusForbidden, s.get("owner", "/kioscadmin/overview/"+tab).status)
	}
}
