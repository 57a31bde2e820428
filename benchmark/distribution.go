package benchmark

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// curvePoints is how many points of a distribution are kept, besides the named ones.
const curvePoints = 40

// Distribution is how times are spread, in milliseconds. A quantile is the smallest value that at least so large a part of the values
// does not exceed (the nearest-rank method), so it is a time that was measured.
type Distribution struct {
	N    int     `json:"n"`
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
	// Curve are the quantiles at 0, 1/40, 2/40 ... 1, for a plot; nil without values.
	Curve []float64 `json:"curve,omitempty"`
}

// distribution sorts values.
func distribution(values []float32) Distribution {
	d := Distribution{N: len(values)}
	if d.N == 0 {
		return d
	}
	slices.Sort(values)
	sorted := make([]float64, len(values))
	for i, v := range values {
		sorted[i] = float64(v)
	}
	at := func(p float64) float64 { return microseconds(stat.Quantile(p, stat.Empirical, sorted, nil)) }
	d.Mean = microseconds(stat.Mean(sorted, nil))
	d.P50, d.P90, d.P99, d.Max = at(0.5), at(0.9), at(0.99), at(1)
	for i := range curvePoints + 1 {
		d.Curve = append(d.Curve, at(float64(i)/curvePoints))
	}
	return d
}

// microseconds rounds milliseconds, since clocks and float32 hold no more and results are read by people.
func microseconds(ms float64) float64 { return math.Round(ms*1000) / 1000 }
