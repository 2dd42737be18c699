// Package metrics shows a manager's metrics to Prometheus.
//
// It owns the registry and the listener for it, and what is read from the state when it is asked. What happens in other
// packages is counted there. It has no login: whoever reaches the listener reads it, and it tells neither names of people nor
// of containers.
package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kiosc/cluster/state"
)

const (
	headTimeout  = 5 * time.Second
	writeTimeout = 30 * time.Second
	// stateFor is how long what was read from the state stands, so that many who ask don't cost much.
	stateFor = 5 * time.Second
	// maxScrapes are answered at a time.
	maxScrapes = 4
)

// Source is a part of the manager that has metrics.
type Source interface{ Collectors() []prometheus.Collector }

// Metrics is a registry. It is safe for use by many goroutines.
type Metrics struct {
	registry *prometheus.Registry
	logger   *slog.Logger
}

// New makes a registry of Go's metrics, those of the state, and those of the sources.
func New(store *state.Store, version string, logger *slog.Logger, sources ...Source) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), logger: logger}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "kiosc_build_info", Help: "Always 1; the label is Kiosc's version.",
		ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	m.registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&fromState{store: store, logger: logger})
	for _, s := range sources {
		m.registry.MustRegister(s.Collectors()...)
	}
	return m
}

// Serve answers GET /metrics on a listener until ctx ends, and closes it.
func (m *Metrics) Serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes,
		ErrorLog: slog.NewLogLogger(m.logger.Handler(), slog.LevelWarn)}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headTimeout, ReadTimeout: headTimeout, WriteTimeout: writeTimeout,
		ErrorLog: slog.NewLogLogger(m.logger.Handler(), slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// fromState collects what the state has.
type fromState struct {
	store  *state.Store
	logger *slog.Logger

	mu   sync.Mutex
	at   time.Time
	last []prometheus.Metric
}

var (
	containers = prometheus.NewDesc("kiosc_containers", "Containers by state.", []string{"state"}, nil)
	pending    = prometheus.NewDesc("kiosc_actions_pending", "Actions that are under way or wait for a Docker host.", nil, nil)
	hosts      = prometheus.NewDesc("kiosc_nodes", "Docker hosts by health, and whether they take new containers.", []string{"health", "availability"}, nil)
	taskAt     = prometheus.NewDesc("kiosc_task_last_run_timestamp_seconds", "When a periodic task began last.", []string{"task"}, nil)
	taskTook   = prometheus.NewDesc("kiosc_task_last_duration_seconds", "How long a periodic task's last run took.", []string{"task"}, nil)
	taskFailed = prometheus.NewDesc("kiosc_task_last_failed", "1 where a periodic task's last run failed.", []string{"task"}, nil)
)

// Describe tells what Collect gives.
func (f *fromState) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{containers, pending, hosts, taskAt, taskTook, taskFailed} {
		to <- d
	}
}

// Collect reads the state, unless that was done a moment ago.
func (f *fromState) Collect(to chan<- prometheus.Metric) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at.IsZero() || time.Since(f.at) >= stateFor {
		var list []prometheus.Metric
		err := f.store.View(func(tx *state.Tx) (err error) {
			list, err = read(tx)
			return err
		})
		if err != nil {
			f.logger.Error("the state can't be read for the metrics", "error", err)
			return
		}
		f.at, f.last = time.Now(), list
	}
	for _, m := range f.last {
		to <- m
	}
}

// states are shown also where no container is in them.
var states = []state.State{state.Initial, state.Pulling, state.Created, state.Running, state.Paused, state.Restarting, state.Exited,
	state.Dead, state.Failed, state.Deleting, state.Deleted}

func read(tx *state.Tx) (list []prometheus.Metric, err error) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		list = append(list, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...))
	}
	count, err := tx.CountContainers()
	if err != nil {
		return nil, err
	}
	for _, s := range states {
		gauge(containers, float64(count[s]), string(s))
	}
	gauge(pending, float64(tx.PendingCount()))
	agents, err := tx.Agents()
	if err != nil {
		return nil, err
	}
	type kind struct{ health, availability string }
	of := map[kind]int{{string(state.Ready), string(state.Active)}: 0, {string(state.Down), string(state.Active)}: 0}
	for _, n := range agents {
		availability := n.Availability
		if availability == "" {
			availability = state.Active
		}
		health := n.Health
		if health == "" {
			health = state.Ready
		}
		of[kind{string(health), string(availability)}]++
	}
	for k, n := range of {
		gauge(hosts, float64(n), k.health, k.availability)
	}
	runs, err := tx.TaskRuns()
	for _, r := range runs {
		failed := 0.0
		if r.Error != "" {
			failed = 1
		}
		gauge(taskAt, float64(r.At.UnixMilli())/1000, r.Name)
		gauge(taskTook, r.Duration.Seconds(), r.Name)
		gauge(taskFailed, failed, r.Name)
	}
	return list, err
}
