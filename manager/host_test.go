package manager_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
	"kiosc/cluster/wire"
	"kiosc/deploy/testbed/simhost"
	"kiosc/manager"
	"kiosc/manager/service"
)

// api sends a request to the manager's REST API as the admin.
func (n *node) api(token, method, path string, in, out any) {
	n.Helper()
	raw, err := json.Marshal(in)
	require.NoError(n, err)
	request, err := http.NewRequest(method, "http://"+n.m.Addr()+path, bytes.NewReader(raw))
	require.NoError(n, err)
	request.Header.Set("Authorization", "token "+token)
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: soon}
	defer client.CloseIdleConnections()
	answer, err := client.Do(request)
	require.NoError(n, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(n, err)
	require.Less(n, answer.StatusCode, 300, string(body))
	require.NoError(n, json.Unmarshal(body, out), string(body))
}

func (n *node) token() string {
	n.Helper()
	var out manager.Printed
	require.NoError(n, n.admin("token", manager.TokenRequest{User: "admin", Name: "test"}, &out))
	return out.Value
}

type described struct {
	UUID  string `json:"sodar_uuid"`
	State string `json:"state"`
}

// started makes a container and starts it.
func (n *node) started(token string) (id string) {
	n.Helper()
	var projects []described
	n.api(token, http.MethodGet, "/project/api/list", nil, &projects)
	var made described
	n.api(token, http.MethodPost, "/containers/api/create/"+projects[0].UUID,
		map[string]any{"title": "app", "repository": "simulated", "tag": "1", "container_port": 8080}, &made)
	n.api(token, http.MethodPost, "/containers/api/start/"+made.UUID, nil, &struct{}{})
	n.running(token, made.UUID)
	return made.UUID
}

func (n *node) running(token, id string) {
	n.Helper()
	require.Eventually(n, func() bool {
		var now described
		n.api(token, http.MethodGet, "/containers/api/detail/"+id, nil, &now)
		return now.State == "running"
	}, soon, 20*time.Millisecond)
}

// host runs a simulated Docker host until stop.
func (n *node) host(h *simhost.Host) (stop func()) {
	n.Helper()
	token, err := pki.ParseJoinToken(n.joinToken("agent", false))
	require.NoError(n, err)
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- h.Run(ctx, n.cfg.ClusterListen, token, func() { close(ready) }) }()
	<-ready
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(n, <-ended)
	})
	n.Cleanup(stop)
	return stop
}

func bootstrapped(t *testing.T) *node {
	cfg := config(t, "m1")
	cfg.Bootstrap = true
	n := start(t, cfg)
	n.wait("it leads", func(s service.ClusterStatus) bool { return s.Quorum })
	return n
}

// TestAnInventoryWithoutNewsWritesNothing has a host tell again what is known: with many containers, that would be most
// of what the cluster writes.
func TestAnInventoryWithoutNewsWritesNothing(t *testing.T) {
	t.Parallel()
	n := bootstrapped(t)
	token := n.token()
	orders := make(chan *wire.Order, 16)
	h := &simhost.Host{Name: "d1", Ordered: func(o *wire.Order) { orders <- o }}
	n.host(h)
	id := n.started(token)
	require.Equal(t, id, (<-orders).Container)
	before := n.status().Index
	for range 10 {
		require.NoError(t, h.TakeInventory())
	}
	// What comes after the inventories is handled after them.
	n.api(token, http.MethodPost, "/containers/api/stop/"+id, nil, &struct{}{})
	require.Equal(t, "stop", (<-orders).Action)
	require.Eventually(t, func() bool {
		var now described
		n.api(token, http.MethodGet, "/containers/api/detail/"+id, nil, &now)
		return now.State == "exited"
	}, soon, 20*time.Millisecond)
	require.LessOrEqual(t, n.status().Index-before, uint64(2), "the action and its report, nothing else")
}

// TestAContainerOfALostHostStartsElsewhere cuts a host off for longer than the grace period.
func TestAContainerOfALostHostStartsElsewhere(t *testing.T) {
	t.Parallel()
	n := bootstrapped(t)
	token := n.token()
	placed := make(chan string, 16)
	named := func(name string) *simhost.Host {
		return &simhost.Host{Name: name, Ordered: func(o *wire.Order) { placed <- name }}
	}
	stop := n.host(named("d1"))
	id := n.started(token)
	require.Equal(t, "d1", <-placed)
	n.host(named("d2"))
	stop()
	select {
	case name := <-placed:
		require.Equal(t, "d2", name)
	case <-time.After(soon):
		t.Fatal("it was not started on the other host")
	}
	n.running(token, id)
	n.wait("the host is down", func(s service.ClusterStatus) bool {
		for _, one := range s.Nodes {
			if one.Name == "d1" {
				return one.Health == "down"
			}
		}
		return false
	})
}

// try sends a request and returns its status.
func (n *node) try(token, method, path string) int {
	n.Helper()
	request, err := http.NewRequest(method, "http://"+n.m.Addr()+path, nil)
	require.NoError(n, err)
	request.Header.Set("Authorization", "token "+token)
	client := http.Client{Timeout: soon}
	defer client.CloseIdleConnections()
	answer, err := client.Do(request)
	require.NoError(n, err)
	answer.Body.Close()
	return answer.StatusCode
}

// TestWhatDockerMakesTooLateIsRemoved has a Docker container appear after its container's action has ended without it.
func TestWhatDockerMakesTooLateIsRemoved(t *testing.T) {
	t.Parallel()
	n := bootstrapped(t)
	token := n.token()
	h := &simhost.Host{Name: "d1", Ordered: func(*wire.Order) {}}
	n.host(h)
	id := n.started(token)
	h.Lose(id)
	state := func() string {
		var now described
		n.api(token, http.MethodGet, "/containers/api/detail/"+id, nil, &now)
		return now.State
	}
	require.Eventually(t, func() bool { return h.TakeInventory() == nil && state() == "failed" }, soon, 20*time.Millisecond)
	h.Have(wire.Observed{Container: id, Generation: 1, Placement: 1, DockerID: "late", State: "created"})
	require.Eventually(t, func() bool { return h.TakeInventory() == nil && !h.Has(id) }, soon, 20*time.Millisecond)
	require.Equal(t, "failed", state())
}
