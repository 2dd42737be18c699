package proxy

import (
	"io"

	"github.com/prometheus/client_golang/prometheus"
)

// counts are what passes through a server. All of it is a few atomic
// additions for each exchange and piece of a body, and nothing is allocated.
type counts struct {
	classes  [6]prometheus.Counter // by the first digit of the status
	answers  *prometheus.CounterVec
	streams  prometheus.Gauge
	upgraded prometheus.Gauge
	in, out  prometheus.Counter
	latency  prometheus.Histogram
}

func newCounts() *counts {
	c := &counts{
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kiosc_proxy_requests_total",
			Help: "Requests to apps, by the class of the answer's status; 1xx are upgrades, such as to WebSockets."}, []string{"class"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "kiosc_proxy_streams",
			Help: "Exchanges with apps under way: requests, event streams and WebSockets."}),
		upgraded: prometheus.NewGauge(prometheus.GaugeOpts{Name: "kiosc_proxy_upgraded_streams",
			Help: "Upgraded connections with apps under way, such as WebSockets."}),
		in: prometheus.NewCounter(prometheus.CounterOpts{Name: "kiosc_proxy_received_bytes_total",
			Help: "Bytes of request bodies and upgraded connections that went to apps."}),
		out: prometheus.NewCounter(prometheus.CounterOpts{Name: "kiosc_proxy_sent_bytes_total",
			Help: "Bytes of answers' bodies and upgraded connections that came from apps."}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "kiosc_proxy_answer_seconds",
			Help:    "Time from an authorised request to the head of the app's answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60}}),
	}
	for class := range c.classes {
		if class > 0 {
			c.classes[class] = c.answers.WithLabelValues(string(rune('0'+class)) + "xx")
		}
	}
	return c
}

// status counts an answer to a request for an app.
func (c *counts) status(status int) {
	if class := status / 100; class > 0 && class < len(c.classes) {
		c.classes[class].Inc()
	}
}

// Collectors are the server's metrics, for a registry of Prometheus.
func (s *Server) Collectors() []prometheus.Collector {
	c := s.counts
	return []prometheus.Collector{c.answers, c.streams, c.upgraded, c.in, c.out, c.latency}
}

// counted counts what is written.
type counted struct {
	to    io.Writer
	bytes prometheus.Counter
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.bytes.Add(float64(n))
	return n, err
}
