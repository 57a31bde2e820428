package benchmark

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"teller/evaluation"
)

// significance is the level below which a corrected p-value counts as significant.
const significance = 0.05

// bootstrapSamples is how many samples a bootstrap draws: enough for p-values down to 0.0004.
const bootstrapSamples = 4999

// Paired is two series of outcomes on the same cases, held against each other: A's share of hits minus B's.
type Paired struct {
	Cases    int `json:"cases"`
	Families int `json:"families"`
	// OnlyA and OnlyB are the cases in which only one of them has a hit.
	OnlyA      int     `json:"only_a"`
	OnlyB      int     `json:"only_b"`
	Difference float64 `json:"difference"`
	// Interval is the 95% percentile interval of the difference from the bootstrap over families.
	Interval evaluation.Interval `json:"interval"`
	// McNemar is the exact test's p-value, which takes cases as independent; Bootstrap is the one of the bootstrap over families. P is
	// the larger.
	McNemar   float64 `json:"p_mcnemar"`
	Bootstrap float64 `json:"p_bootstrap"`
	P         float64 `json:"p"`
}

// pairs is what one family's cases say of two series: n cases, in onlyA and onlyB of which just one has a hit.
type pairs struct{ onlyA, onlyB, n int }

func pairedTest(families []pairs, seed uint64) Paired {
	var p Paired
	for _, f := range families {
		if f.n > 0 {
			p.Families++
		}
		p.Cases, p.OnlyA, p.OnlyB = p.Cases+f.n, p.OnlyA+f.onlyA, p.OnlyB+f.onlyB
	}
	p.McNemar, p.Bootstrap, p.P = 1, 1, 1
	if p.Cases == 0 {
		return p
	}
	p.Difference = float64(p.OnlyA-p.OnlyB) / float64(p.Cases)
	p.McNemar = mcNemar(p.OnlyA, p.OnlyB)
	p.Interval, p.Bootstrap = bootstrapDifference(families, seed)
	p.P = max(p.McNemar, p.Bootstrap)
	return p
}

// mcNemar is the two-sided p-value of the exact test that b and c discordant pairs are equally likely: twice the smaller tail of
// the binomial distribution of b + c trials and probability 1/2, at most 1 (Q. McNemar, "Note on the sampling error of the
// difference between correlated proportions or percentages", 1947; the exact form as in M. P. Fay, "Two-sided exact
// tests and matching confidence intervals for discrete data", 2010).
func mcNemar(b, c int) float64 {
	if b+c == 0 {
		return 1
	}
	return min(1, 2*distuv.Binomial{N: float64(b + c), P: 0.5}.CDF(float64(min(b, c))))
}

// bootstrapDifference draws samples of as many families as there are, with replacement, each with all of its cases (A. C. Davison,
// D. V. Hinkley, "Bootstrap methods and their application", 1997, section 3.8), and gives the percentile interval of
// (Σ onlyA - Σ onlyB) / Σ n and the two-sided p-value of no difference, 2 min(#{≤0}+1, #{≥0}+1) / (samples+1), at most 1
// (equation 4.11 there). Families that say the same are drawn together, as a multinomial count, so that time does not
// depend on how many there are.
func bootstrapDifference(families []pairs, seed uint64) (evaluation.Interval, float64) {
	type kind struct{ difference, n int }
	counts := map[kind]int{}
	total := 0
	for _, f := range families {
		if f.n > 0 {
			counts[kind{f.onlyA - f.onlyB, f.n}]++
			total++
		}
	}
	kinds := make([]kind, 0, len(counts))
	for k := range counts {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, func(a, b kind) int { // a map's order is random; the seed must decide
		return cmp.Or(cmp.Compare(a.difference, b.difference), cmp.Compare(a.n, b.n))
	})
	source := rand.NewPCG(seed, 1)
	samples := make([]float64, bootstrapSamples)
	atMost, atLeast := 1, 1
	for s := range samples {
		left, leftOf := total, total // families to draw, and families of the kinds not yet drawn from
		difference, n := 0, 0
		for _, k := range kinds {
			drawn := left
			if of := counts[k]; of < leftOf && left > 0 {
				drawn = int(distuv.Binomial{N: float64(left), P: float64(of) / float64(leftOf), Src: source}.Rand())
			}
			left, leftOf = left-drawn, leftOf-counts[k]
			difference, n = difference+drawn*k.difference, n+drawn*k.n
		}
		samples[s] = float64(difference) / float64(n)
		if difference <= 0 {
			atMost++
		}
		if difference >= 0 {
			atLeast++
		}
	}
	slices.Sort(samples)
	tail := (1 - confidenceLevel) / 2
	interval := evaluation.Interval{Low: stat.Quantile(tail, stat.Empirical, samples, nil), High: stat.Quantile(1-tail, stat.Empirical, samples, nil)}
	return interval, math.Min(1, 2*float64(min(atMost, atLeast))/(bootstrapSamples+1))
}

// holm corrects p-values for how many there are: the i-th smallest of m, from 0, times m-i, at least its predecessor's and at most 1
// (S. Holm, "A simple sequentially rejective multiple test procedure", 1979).
func holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	out := make([]float64, len(p))
	least := 0.0
	for rank, i := range order {
		least = max(least, min(1, p[i]*float64(len(p)-rank)))
		out[i] = least
	}
	return out
}
