package dispatch

import "github.com/prometheus/client_golang/prometheus"

// lineCounts counts lines of Docker containers' logs.
type lineCounts struct{ stored, leftOut prometheus.Counter }

func newLineCounts() lineCounts {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return lineCounts{
		stored:  counter("kiosc_log_lines_stored_total", "Lines of containers' logs that were stored through this manager."),
		leftOut: counter("kiosc_log_lines_left_out_total", "Lines of containers' logs that were left out because there were too many at once."),
	}
}

// Collectors are the hub's metrics, for a registry of Prometheus.
func (h *Hub) Collectors() []prometheus.Collector {
	return []prometheus.Collector{h.lines.stored, h.lines.leftOut,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kiosc_agent_sessions", Help: "Agents that have a session with this manager."},
			func() float64 { return float64(len(h.Agents().Nodes)) })}
}
