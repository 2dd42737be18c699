// Package fleet measures what grows with the size of a cluster: a thousand simulated Docker hosts with twenty thousand
// containers on three real managers, and one real host with a container that floods its log. It asserts nothing.
package fleet_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
	"kiosc/cluster/wire"
	"kiosc/deploy/testbed"
	"kiosc/deploy/testbed/simhost"
)

// The sizes can be made smaller, to try the benchmark out.
var (
	hosts      = number("KIOSC_BENCH_HOSTS", 1000)
	containers = number("KIOSC_BENCH_CONTAINERS", 20_000)
)

const (
	joining     = 50 // hosts at once
	users       = 32 // at once
	idleFor     = 30 * time.Second
	changes     = 300
	fleetLimit  = 10 * time.Minute
	askAgain    = 20 * time.Millisecond
	clockTick   = 100 // of /proc/…/stat, per second
	statRSS     = 23  // fields of /proc/…/stat, from 0
	statUser    = 13
	statSystem  = 14
	pageSize    = 4096
	bytesPerMiB = 1 << 20
)

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

type fleet struct {
	*testing.B
	cluster *testbed.Cluster
	project string

	mu     sync.Mutex
	orders map[string]chan time.Time // container → when its next order came
}

// BenchmarkFleet tells of one thing after the other; the time per operation has no meaning.
func BenchmarkFleet(b *testing.B) {
	f := &fleet{B: b, orders: make(map[string]chan time.Time)}
	f.cluster = testbed.StartCluster(b, testbed.Options{Managers: 3, Shared: true})
	f.project = f.cluster.Project()
	f.memory("MiB/manager-empty")
	began := time.Now()
	f.join()
	b.ReportMetric(time.Since(began).Seconds(), "s-to-join")
	f.memory("MiB/manager-hosts")
	began = time.Now()
	ids := f.fill()
	b.ReportMetric(float64(len(ids))/time.Since(began).Seconds(), "starts/s")
	f.memory("MiB/manager-full")
	f.idle()
	f.change(ids)
	b.ReportMetric(0, "ns/op")
}

// join starts the hosts and waits until all have a session with each manager.
func (f *fleet) join() {
	token, err := pki.ParseJoinToken(strings.TrimSpace(f.cluster.CLI("join-token", "agent")))
	require.NoError(f, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running, ready sync.WaitGroup
	f.Cleanup(func() {
		cancel()
		running.Wait()
	})
	room := make(chan struct{}, joining)
	address := f.cluster.Manager(1).ClusterAddr()
	for i := range hosts {
		h := &simhost.Host{Name: fmt.Sprint("host", i), Ordered: f.ordered}
		ready.Add(1)
		room <- struct{}{}
		running.Add(1)
		go func() {
			defer running.Done()
			once := sync.OnceFunc(func() { ready.Done(); <-room })
			defer once()
			if err := h.Run(ctx, address, token, once); err != nil && ctx.Err() == nil {
				f.Error(err)
			}
		}()
	}
	ready.Wait()
}

// ordered notes when an order for a container came, where somebody waits for it.
func (f *fleet) ordered(o *wire.Order) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.orders[o.Container]; c != nil {
		select {
		case c <- now:
		default:
		}
	}
}

// fill makes the containers and starts them.
func (f *fleet) fill() []string {
	ids := make([]string, containers)
	f.together(containers, func(i int) {
		m := f.user(i)
		ids[i] = f.create(m, i)
		f.act(m, "start", ids[i])
	})
	f.cluster.Wait(fleetLimit, "all containers run", func() bool {
		running := 0
		for _, n := range f.cluster.Status().Nodes {
			running += n.Active
		}
		return running >= containers
	})
	for _, id := range ids[max(0, len(ids)-300):] {
		f.cluster.WaitState(fleetLimit, id, "running")
	}
	return ids
}

// together calls f for 0 to n-1, some at the same time.
func (f *fleet) together(n int, call func(i int)) {
	var running sync.WaitGroup
	next := make(chan int)
	for range users {
		running.Add(1)
		go func() {
			defer running.Done()
			for i := range next {
				call(i)
			}
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	running.Wait()
}

// user is a manager to talk to, another one each time.
func (f *fleet) user(i int) *testbed.Manager { return f.cluster.Manager(i%3 + 1) }

func (f *fleet) create(m *testbed.Manager, i int) string {
	body := map[string]any{"title": fmt.Sprint("app ", i), "repository": "simulated", "tag": "1", "container_port": 8080}
	status, raw := m.Request(http.MethodPost, "/containers/api/create/"+f.project, body)
	var made testbed.Container
	if status != http.StatusCreated || json.Unmarshal(raw, &made) != nil {
		f.Errorf("creating: %d %s", status, raw)
	}
	return made.UUID
}

// act asks for an action, again where too many wait already.
func (f *fleet) act(m *testbed.Manager, action, id string) {
	for {
		status, raw := m.Request(http.MethodPost, "/containers/api/"+action+"/"+id, nil)
		switch {
		case status == http.StatusOK:
			return
		case status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable:
			f.Errorf("%s: %d %s", action, status, raw)
			return
		}
		time.Sleep(askAgain)
	}
}

// usage is what a manager's process has used.
type usage struct {
	cpu time.Duration
	rss float64 // MiB
}

func (f *fleet) usage(m *testbed.Manager) (u usage) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.PID()))
	require.NoError(f, err)
	fields := strings.Fields(string(raw))
	value := func(i int) int64 {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		require.NoError(f, err)
		return n
	}
	u.cpu = time.Duration(value(statUser)+value(statSystem)) * time.Second / clockTick
	u.rss = float64(value(statRSS)*pageSize) / bytesPerMiB
	return u
}

// memory reports that of the largest manager.
func (f *fleet) memory(name string) {
	most := 0.0
	for i := range 3 {
		most = max(most, f.usage(f.cluster.Manager(i+1)).rss)
	}
	f.ReportMetric(most, name)
}

// idle reports what the managers do while nobody wants anything of them.
func (f *fleet) idle() {
	index := func() uint64 {
		s, err := f.cluster.Leader().Status()
		require.NoError(f, err)
		return s.Index
	}
	last := index()
	for range 30 { // what is still under way
		time.Sleep(time.Second)
		now := index()
		if now == last {
			break
		}
		last = now
	}
	before := make([]time.Duration, 3)
	at, began := index(), time.Now()
	for i := range before {
		before[i] = f.usage(f.cluster.Manager(i + 1)).cpu
	}
	time.Sleep(idleFor)
	var most float64
	for i := range before {
		used := f.usage(f.cluster.Manager(i+1)).cpu - before[i]
		most = max(most, 100*used.Seconds()/time.Since(began).Seconds())
	}
	f.ReportMetric(most, "%CPU/manager-idle")
	f.ReportMetric(float64(index()-at)/time.Since(began).Seconds(), "writes/s-idle")
}

// change reports how soon an order reaches its host, and the result the one who asked for it.
func (f *fleet) change(ids []string) {
	var reached, done []time.Duration
	for i := range min(changes, len(ids)) {
		id := ids[i*len(ids)/changes]
		came := make(chan time.Time, 1)
		f.mu.Lock()
		f.orders[id] = came
		f.mu.Unlock()
		m, began := f.user(i), time.Now()
		f.act(m, "stop", id)
		reached = append(reached, (<-came).Sub(began))
		for m.State(id) != "exited" {
		}
		done = append(done, time.Since(began))
	}
	for _, m := range []struct {
		name string
		took []time.Duration
	}{{"to-host", reached}, {"to-done", done}} {
		slices.Sort(m.took)
		f.ReportMetric(float64(m.took[len(m.took)/2].Microseconds())/1000, "ms-"+m.name+"-p50")
		f.ReportMetric(float64(m.took[len(m.took)*99/100].Microseconds())/1000, "ms-"+m.name+"-p99")
	}
}
