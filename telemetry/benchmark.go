package telemetry

// Benchmark shows what the latest benchmark found of a model: the share of cases that it answered right, and whether it became
// significantly worse since the run before.
func (m *Metrics) Benchmark(model string, accuracy float64, regressed bool) {
	m.benchmarkAccuracy.WithLabelValues(model).Set(accuracy)
	value := 0.0
	if regressed {
		value = 1
	}
	m.benchmarkRegressed.WithLabelValues(model).Set(value)
}
