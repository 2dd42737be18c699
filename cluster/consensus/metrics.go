package consensus

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kiosc/cluster/state"
)

func newProposed() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "kiosc_raft_proposal_seconds",
		Help:    "Time from a change's proposal on this manager until it was applied here, or failed; refused are those that a rule forbade.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15}}, []string{"result"})
}

// note counts a proposal that has ended.
func (n *Node) note(began time.Time, err error) {
	result := "applied"
	switch {
	case err == nil:
	case state.CodeOf(err) == state.Unavailable, state.CodeOf(err) == state.Internal:
		result = "failed"
	default:
		result = "refused"
	}
	n.proposed.WithLabelValues(result).Observe(time.Since(began).Seconds())
}

// Collectors are the node's metrics, for a registry of Prometheus.
func (n *Node) Collectors() []prometheus.Collector {
	gauge := func(name, help string, of func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, of)
	}
	flag := func(is bool) float64 {
		if is {
			return 1
		}
		return 0
	}
	return []prometheus.Collector{n.proposed,
		gauge("kiosc_raft_leading", "1 where this manager leads.", func() float64 { return flag(n.Leading()) }),
		gauge("kiosc_raft_leader_known", "1 where this manager knows of a leader; without one nothing can be changed.", func() float64 { return flag(n.Leader() != "") }),
		gauge("kiosc_raft_term", "The Raft term that this manager is in.", func() float64 { return float64(n.Term()) }),
		gauge("kiosc_raft_applied_index", "The last entry of the Raft log that is part of this manager's state.", func() float64 { return float64(n.Status().Applied) }),
		gauge("kiosc_raft_last_index", "The last entry of this manager's Raft log.", func() float64 { return float64(n.Status().Last) }),
		gauge("kiosc_raft_proposals", "Changes that wait on this manager to be applied.", func() float64 { return float64(len(n.proposals)) }),
	}
}
