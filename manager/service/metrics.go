package service

import (
	"github.com/prometheus/client_golang/prometheus"

	"kiosc/cluster/state"
)

func newLogins() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kiosc_login_attempts_total",
		Help: "Logins with a password at this manager: right, wrong, slowed because there were too many wrong ones, or failed."}, []string{"result"})
}

func (s *Service) noteLogin(err error) {
	result := "failed"
	switch {
	case err == nil:
		result = "right"
	case state.CodeOf(err) == state.Unauthenticated:
		result = "wrong"
	case state.CodeOf(err) == state.TooMany:
		result = "slowed"
	}
	s.logins.WithLabelValues(result).Inc()
}

// Collectors are the service's metrics, for a registry of Prometheus.
func (s *Service) Collectors() []prometheus.Collector { return []prometheus.Collector{s.logins} }
