package benchmark

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/evaluation"
)

func TestMcNemar(t *testing.T) {
	// The example of mcnemar.exact in the R package exact2x2 (M. P. Fay): 9 and 2 discordant pairs, p = 0.06543.
	require.InDelta(t, 0.06543, mcNemar(9, 2), 5e-6)
	require.InDelta(t, 0.06543, mcNemar(2, 9), 5e-6)
	// By hand: 2 (C(20,0) + ... + C(20,5)) / 2^20 = 2 · 21700 / 1048576.
	require.InDelta(t, 2.0*21700/1048576, mcNemar(5, 15), 1e-12)
	require.Equal(t, 1.0, mcNemar(3, 3))
	require.Equal(t, 1.0, mcNemar(0, 0))
}

func TestHolm(t *testing.T) {
	// The example of "Holm-Bonferroni method" in Wikipedia: of 0.01, 0.04, 0.03 and 0.005 the first and the last are
	// rejected at 0.05. Adjusted by hand: 0.005·4, 0.01·3, 0.03·2, max(0.04·1, 0.06).
	require.InDeltaSlice(t, []float64{0.03, 0.06, 0.06, 0.02}, holm([]float64{0.01, 0.04, 0.03, 0.005}), 1e-12)
	require.InDeltaSlice(t, []float64{1, 1}, holm([]float64{0.7, 0.8}), 1e-12)
	require.Empty(t, holm(nil))
}

func TestDifferenceOfIndependentProportions(t *testing.T) {
	// R. G. Newcombe (1998), table II, 56/70 - 48/80 by method 10: 0.0524 to 0.3339.
	a, b := 56.0/70, 48.0/80
	i := differenceInterval(a, b, evaluation.Wilson95(56, 70), evaluation.Wilson95(48, 80))
	require.InDelta(t, 0.0524, i.Low, 5e-5)
	require.InDelta(t, 0.3339, i.High, 5e-5)
	// By hand: z = 0.2 / √(0.69333 · 0.30667 · (1/70 + 1/80)) = 2.6502, p = 0.00805.
	require.InDelta(t, 0.00805, twoProportions(a, 70, b, 80), 5e-6)
	require.Equal(t, 1.0, twoProportions(1, 70, 1, 80))
}

func TestProportion(t *testing.T) {
	t.Run("by hand", func(t *testing.T) {
		// Families of 2/2, 0/2 and 1/2: p = 1/2, V = 3/2 · (1 + 1 + 0) / 36 = 1/12, against p(1-p)/6 = 1/24. So the design effect is 2
		// and 6 cases are worth 3. With t(0.975; 2) = 4.30265: 0.5 ± 4.30265 √(0.25/3 + 18.5128/36) / (1 + 18.5128/3) = 0.5 ± 0.46383.
		p := proportion([]cluster{{2, 2}, {0, 2}, {1, 2}, {}})
		require.Equal(t, 0.5, *p.Value)
		require.Equal(t, 3, p.Families)
		require.InDelta(t, 3, p.EffectiveN, 1e-12)
		require.InDelta(t, 0.5-0.46383, p.Clustered.Low, 1e-5)
		require.InDelta(t, 0.5+0.46383, p.Clustered.High, 1e-5)
		require.Equal(t, evaluation.Wilson95(3, 6), p.Interval)
	})
	t.Run("all right", func(t *testing.T) {
		p := proportion([]cluster{{5, 5}, {5, 5}, {5, 5}})
		require.Equal(t, 3.0, p.EffectiveN, "each family counts as one case")
		require.Less(t, p.Clustered.Low, p.Interval.Low)
		require.Equal(t, 1.0, p.Clustered.High)
	})
	t.Run("one family says nothing of others", func(t *testing.T) {
		require.Equal(t, evaluation.Interval{Low: 0, High: 1}, proportion([]cluster{{7, 9}}).Clustered)
	})
	t.Run("no cases", func(t *testing.T) {
		p := proportion(nil)
		require.Nil(t, p.Value)
		require.Equal(t, evaluation.Interval{Low: 0, High: 1}, p.Interval)
	})
	t.Run("Wilson's interval for whole numbers", func(t *testing.T) {
		got, want := scoreInterval(81.0/263, 263, 1.959963984540054), evaluation.Wilson95(81, 263)
		require.InDelta(t, want.Low, got.Low, 1e-12)
		require.InDelta(t, want.High, got.High, 1e-12)
	})
}

// The interval must hold the truth in 95 of 100 samples of families whose cases go together; Wilson's own falls short there.
func TestClusteredIntervalCovers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const samples, families, size, truth = 1000, 40, 6, 0.8
	clustered, plain := 0, 0
	for range samples {
		var sample []cluster
		for range families {
			// Half of a family's cases follow one draw: an intraclass correlation of about 0.25.
			c, shared := cluster{n: size}, r.Float64() < truth
			for range size {
				hit := r.Float64() < truth
				if r.Float64() < 0.5 {
					hit = shared
				}
				if hit {
					c.count++
				}
			}
			sample = append(sample, c)
		}
		p := proportion(sample)
		if p.Clustered.Low <= truth && truth <= p.Clustered.High {
			clustered++
		}
		if p.Interval.Low <= truth && truth <= p.Interval.High {
			plain++
		}
	}
	require.InDelta(t, 0.95, float64(clustered)/samples, 0.02)
	require.Less(t, float64(plain)/samples, 0.88)
}

func TestBootstrapOfTwoFamiliesByHand(t *testing.T) {
	// Two families that differ by +1 and -1 give -1, 0 and 1 with probabilities 1/4, 1/2 and 1/4.
	interval, p := bootstrapDifference([]pairs{{onlyA: 1, n: 1}, {onlyB: 1, n: 1}}, 3)
	require.Equal(t, evaluation.Interval{Low: -1, High: 1}, interval)
	require.Equal(t, 1.0, p)
	// One of them only: no sample has a difference of 0 or less.
	interval, p = bootstrapDifference([]pairs{{onlyA: 1, n: 2}, {onlyA: 1, n: 2}}, 3)
	require.Equal(t, evaluation.Interval{Low: 0.5, High: 0.5}, interval)
	require.InDelta(t, 2.0/(bootstrapSamples+1), p, 1e-12)
}

// For many families the bootstrap's interval is the normal one with the cluster-robust standard error,
// √(Σ_g (d_g - d n_g)²) / N.
func TestBootstrapMatchesTheStandardError(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	var families []pairs
	for range 500 {
		f := pairs{n: 1 + r.IntN(5)}
		f.onlyA = r.IntN(f.n + 1)
		f.onlyB = r.IntN(f.n - f.onlyA + 1)
		families = append(families, f)
	}
	p := pairedTest(families, 7)
	squares := 0.0
	for _, f := range families {
		residual := float64(f.onlyA-f.onlyB) - p.Difference*float64(f.n)
		squares += residual * residual
	}
	se := math.Sqrt(squares) / float64(p.Cases)
	require.InDelta(t, p.Difference-1.96*se, p.Interval.Low, 0.1*se)
	require.InDelta(t, p.Difference+1.96*se, p.Interval.High, 0.1*se)
	require.Equal(t, p, pairedTest(families, 7), "the seed decides")
}

func TestPairedTest(t *testing.T) {
	require.Equal(t, Paired{McNemar: 1, Bootstrap: 1, P: 1}, pairedTest(nil, 1))
	// Twenty cases of one family in favour of A: McNemar takes them for evidence, the bootstrap over families cannot.
	p := pairedTest([]pairs{{onlyA: 10, n: 20}, {n: 20}, {n: 20}}, 1)
	require.Less(t, p.McNemar, 0.01)
	require.Greater(t, p.P, 0.2)
	require.InDelta(t, 10.0/60, p.Difference, 1e-12)
}

func TestDistribution(t *testing.T) {
	// The second example of the nearest-rank method in "Percentile" of Wikipedia: 3, 6, 7, 8, 8, 10, 13, 15, 16, 20 has the 25th
	// percentile 7, the 50th 8, the 75th 15 and the 100th 20.
	d := distribution([]float32{20, 3, 6, 8, 7, 8, 10, 16, 13, 15})
	require.Equal(t, 10, d.N)
	require.Equal(t, []float64{8, 16, 20, 20}, []float64{d.P50, d.P90, d.P99, d.Max})
	require.Equal(t, 10.6, d.Mean)
	require.Equal(t, []float64{3, 7, 8, 15, 20}, []float64{d.Curve[0], d.Curve[10], d.Curve[20], d.Curve[30], d.Curve[40]})
	require.Equal(t, Distribution{}, distribution(nil))
}

func BenchmarkBootstrap(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, n := range []int{300, 100_000} {
		families := make([]pairs, n)
		for i := range families {
			families[i] = pairs{n: 4, onlyA: r.IntN(3), onlyB: r.IntN(2)}
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for range b.N {
				bootstrapDifference(families, 1)
			}
		})
	}
}
