package benchmark

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"teller/evaluation"
)

// confidenceLevel is that of every interval.
const confidenceLevel = 0.95

// Proportion is how many of N cases have a property, such as a right answer, with 95% intervals.
type Proportion struct {
	Count int      `json:"count"`
	N     int      `json:"n"`
	Value *float64 `json:"value"` // Count / N; nil without cases
	// Interval is Wilson's, which takes cases as independent.
	Interval evaluation.Interval `json:"interval"`
	// Families is how many families the cases are of; Clustered is the interval that allows for their cases going together. It is
	// the one to go by.
	Families  int                 `json:"families"`
	Clustered evaluation.Interval `json:"clustered_interval"`
	// EffectiveN is how many independent cases would say as much.
	EffectiveN float64 `json:"effective_n"`
}

// cluster is the cases of one family.
type cluster struct{ count, n int }

// proportion counts over families. The variance of Count / N is the cluster-robust one (K.-Y. Liang, S. L. Zeger, "Longitudinal data
// analysis using generalized linear models", 1986, for an intercept alone; E. Miller, "Adding error bars to evals",
// 2024, section 2.2),
//
//	V = G/(G-1) · Σ_g (Σ_i∈g (x_i - p))² / N²
//
// with the usual correction for G families. Its ratio to p(1-p)/N is the design effect, never taken below 1; N over it is the effective
// number of cases, which goes into Wilson's interval with the quantile of Student's t of G-1 degrees of freedom
// (E. L. Korn, B. I. Graubard, "Confidence intervals for proportions with small expected number of positive counts
// estimated from survey data", 1998, with Wilson's interval as compared by C. Franco et al., "Comparative study
// of confidence intervals for proportions in complex sample surveys", 2019). Where all cases agree they show no variance;
// then each family counts as one case.
func proportion(families []cluster) Proportion {
	p := Proportion{Interval: evaluation.Interval{High: 1}, Clustered: evaluation.Interval{High: 1}}
	for _, f := range families {
		if f.n > 0 {
			p.Count, p.N, p.Families = p.Count+f.count, p.N+f.n, p.Families+1
		}
	}
	if p.N == 0 {
		return p
	}
	n, g := float64(p.N), float64(p.Families)
	share := float64(p.Count) / n
	p.Value = &share
	p.Interval = evaluation.Wilson95(p.Count, p.N)
	p.EffectiveN = g
	if share > 0 && share < 1 && p.Families > 1 {
		squares := 0.0
		for _, f := range families {
			residual := float64(f.count) - share*float64(f.n)
			squares += residual * residual
		}
		variance := g / (g - 1) * squares / (n * n)
		p.EffectiveN = n / math.Max(variance/(share*(1-share)/n), 1)
	}
	if p.Families == 1 { // one family says nothing of others
		return p
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: g - 1}.Quantile(1 - (1-confidenceLevel)/2)
	p.Clustered = scoreInterval(share, p.EffectiveN, t)
	return p
}

// scoreInterval is Wilson's interval for a number of cases that need not be whole, and any quantile.
func scoreInterval(p, n, z float64) evaluation.Interval {
	centre := p + z*z/(2*n)
	half := z * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	scale := 1 + z*z/n
	return evaluation.Interval{Low: max((centre-half)/scale, 0), High: min((centre+half)/scale, 1)}
}
