package telemetry

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are the product's figures. Labels never hold what a caller wrote.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	turns    *prometheus.HistogramVec
	tokens   *prometheus.CounterVec

	benchmarkAccuracy, benchmarkRegressed *prometheus.GaugeVec
}

// turnBuckets, in seconds, reach from our own engine's short answers to a long reply of a large model.
var turnBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}

// NewMetrics makes the figures and registers them, with the process's own.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "teller_http_request_seconds", Help: "HTTP requests by route and status.", Buckets: turnBuckets,
		}, []string{"method", "route", "status"}),
		turns: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "teller_turn_seconds", Help: "Turns by the model that answered (or should have) and the outcome: ok or an error code.", Buckets: turnBuckets,
		}, []string{"model", "outcome", "fallback"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "teller_tokens_total", Help: "Tokens by model and direction.",
		}, []string{"model", "direction"}),
		benchmarkAccuracy: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "teller_benchmark_accuracy", Help: "Share of cases that a model answered right in the latest benchmark, 0 to 1.",
		}, []string{"model"}),
		benchmarkRegressed: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "teller_benchmark_regressed", Help: "1 when the latest benchmark found the model significantly worse than the run before, else 0.",
		}, []string{"model"}),
	}
	m.registry.MustRegister(m.requests, m.turns, m.tokens, m.benchmarkAccuracy, m.benchmarkRegressed,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the figures in Prometheus's text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Request counts one HTTP request. route is the pattern, not the path.
func (m *Metrics) Request(method, route, status string, took time.Duration) {
	m.requests.WithLabelValues(method, route, status).Observe(took.Seconds())
}

// Turn counts one turn.
func (m *Metrics) Turn(model, outcome string, fallback bool, took time.Duration) {
	f := "no"
	if fallback {
		f = "yes"
	}
	m.turns.WithLabelValues(model, outcome, f).Observe(took.Seconds())
}

// Tokens counts the tokens of one completion.
func (m *Metrics) Tokens(model string, prompt, completion int) {
	m.tokens.WithLabelValues(model, "prompt").Add(float64(prompt))
	m.tokens.WithLabelValues(model, "completion").Add(float64(completion))
}
