package evaluation_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/evaluation"
)

// The values are those of method 3 in table I of R. G. Newcombe, "Two-sided confidence intervals for the single
// proportion: comparison of seven methods", 1998.
func TestWilson(t *testing.T) {
	for _, c := range []struct {
		successes, n int
		low, high    float64
	}{
		{81, 263, 0.2553, 0.3662},
		{15, 148, 0.0624, 0.1605},
		{0, 20, 0, 0.1611},
		{1, 29, 0.0061, 0.1718},
	} {
		got := evaluation.Wilson95(c.successes, c.n)
		require.InDelta(t, c.low, got.Low, 5e-5, "%d of %d", c.successes, c.n)
		require.InDelta(t, c.high, got.High, 5e-5, "%d of %d", c.successes, c.n)
		mirrored := evaluation.Wilson95(c.n-c.successes, c.n)
		require.InDelta(t, 1-got.High, mirrored.Low, 1e-12)
		require.InDelta(t, 1-got.Low, mirrored.High, 1e-12)
	}
	require.Equal(t, evaluation.Interval{Low: 0, High: 1}, evaluation.Wilson95(0, 0))
	require.Equal(t, 1.0, evaluation.Wilson95(1000, 1000).High)
	wide, narrow := evaluation.Wilson(50, 100, 0.99), evaluation.Wilson(50, 100, 0.9)
	require.Less(t, wide.Low, narrow.Low)
	for _, f := range []func(){
		func() { evaluation.Wilson(-1, 10, 0.95) }, func() { evaluation.Wilson(11, 10, 0.95) }, func() { evaluation.Wilson(1, 10, 1) },
	} {
		require.Panics(t, f)
	}

	text, err := json.Marshal(evaluation.Interval{Low: 0.25, High: 0.5})
	require.NoError(t, err)
	require.Equal(t, "[0.25,0.5]", string(text))
	var back evaluation.Interval
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, evaluation.Interval{Low: 0.25, High: 0.5}, back)
	require.Error(t, json.Unmarshal([]byte("[1]"), &back))
}

func TestCalibration(t *testing.T) {
	confidence := []float64{0.95, 0.95, 0.95, 0.95, 0.55, 0.55, 0.1, 1, 0.9}
	right := []bool{true, true, true, false, true, false, false, true, true}
	bins := evaluation.Reliability(confidence, right, 10)
	require.Len(t, bins, 10)
	require.Equal(t, 6, bins[9].N, "0.9 to 1, both ends")
	require.InDelta(t, (4*0.95+1+0.9)/6, bins[9].Confidence, 1e-12)
	require.InDelta(t, 5.0/6, bins[9].Accuracy, 1e-12)
	require.Equal(t, 2, bins[5].N)
	require.InDelta(t, 0.5, bins[5].Accuracy, 1e-12)
	require.Equal(t, 1, bins[1].N)
	// By hand: (6·|5/6 - 0.95| + 2·|0.5 - 0.55| + 1·|0 - 0.1|) / 9 = (0.7 + 0.1 + 0.1) / 9
	require.InDelta(t, 0.1, evaluation.ExpectedCalibrationError(bins), 1e-12)

	require.Zero(t, evaluation.ExpectedCalibrationError(evaluation.Reliability(nil, nil, 15)))
	require.Panics(t, func() { evaluation.Reliability([]float64{1.01}, []bool{true}, 10) })
	require.Panics(t, func() { evaluation.Reliability([]float64{math.NaN()}, []bool{true}, 10) })
	require.Panics(t, func() { evaluation.Reliability([]float64{0.5}, nil, 10) })
	require.Panics(t, func() { evaluation.Reliability(nil, nil, 0) })

	// The example of scikit-learn's brier_score_loss: forecasts 0.1, 0.9, 0.8, 0.3 of the event for what came out as
	// 0, 1, 1, 0. A forecast of 0.1 that it happens is one of 0.9 that it does not.
	require.InDelta(t, 0.0375, evaluation.Brier([]float64{0.1, 0.9, 0.8, 0.3}, []bool{false, true, true, false}), 1e-12)
	require.InDelta(t, 0.25, evaluation.Brier([]float64{0.5, 0.5}, []bool{true, false}), 1e-12)
	require.Zero(t, evaluation.Brier(nil, nil))
}

func TestReliabilityDiagram(t *testing.T) {
	bins := evaluation.Reliability([]float64{0.2, 0.9, 0.95}, []bool{false, true, true}, 5)
	svg := string(evaluation.ReliabilitySVG(`<custom> & "more"`, bins))
	require.Contains(t, svg, "&lt;custom&gt; &amp; &#34;more&#34;", "a title is text")
	require.Contains(t, svg, "3 predictions")
	require.Equal(t, 2, strings.Count(svg, "<circle"), "a point for each bin that holds something")
	requireXML(t, svg)
	requireXML(t, string(evaluation.ReliabilitySVG("nothing", evaluation.Reliability(nil, nil, 5))))
}

func TestAUROC(t *testing.T) {
	t.Run("by hand, with a tie", func(t *testing.T) {
		// Pairs won by the positive: 0.8 wins 3, 0.6 wins 2, 0.4 wins 1 and ties 1, of 9.
		scores := []float64{0.8, 0.6, 0.4, 0.7, 0.4, 0.2}
		positive := []bool{true, true, true, false, false, false}
		require.InDelta(t, 6.5/9, evaluation.AUROC(scores, positive), 1e-12)
		require.Equal(t, []float64{0.8, 0.6, 0.4, 0.7, 0.4, 0.2}, scores, "the caller's list stays as it is")
	})
	t.Run("published, with many ties", func(t *testing.T) {
		// J. A. Hanley, B. J. McNeil 1982, table I: 109 images rated 1 to 5. Area 0.893.
		var scores []float64
		var positive []bool
		for kind, counts := range [][]int{{33, 6, 6, 11, 2}, {3, 2, 2, 11, 33}} {
			for rating, n := range counts {
				for range n {
					scores, positive = append(scores, float64(rating+1)), append(positive, kind == 1)
				}
			}
		}
		require.InDelta(t, 0.893, evaluation.AUROC(scores, positive), 5e-4)
	})
	require.InDelta(t, 1, evaluation.AUROC([]float64{1, 2}, []bool{false, true}), 0)
	require.InDelta(t, 0, evaluation.AUROC([]float64{2, 1}, []bool{false, true}), 0)
	require.InDelta(t, 0.5, evaluation.AUROC([]float64{1, 1, 1}, []bool{false, true, true}), 1e-12)
	require.True(t, math.IsNaN(evaluation.AUROC([]float64{1, 2}, []bool{true, true})))
	require.True(t, math.IsNaN(evaluation.AUROC(nil, nil)))
	require.Panics(t, func() { evaluation.AUROC([]float64{math.NaN()}, []bool{true}) })
	require.Panics(t, func() { evaluation.AUROC([]float64{1}, nil) })
}

func TestClassification(t *testing.T) {
	// The example of scikit-learn's f1_score with average="macro": 0.2667.
	expected := strings.Fields("a b c a b c")
	choices := strings.Fields("a c b a a b")
	require.InDelta(t, 4.0/15, evaluation.MacroF1(expected, choices), 1e-12)
	require.Equal(t, 2, evaluation.Right(expected, choices))
	require.Equal(t, []evaluation.Confused{{"c", "b", 2}, {"b", "a", 1}, {"b", "c", 1}}, evaluation.TopConfusions(expected, choices, 10))
	require.Len(t, evaluation.TopConfusions(expected, choices, 1), 1)
	require.Empty(t, evaluation.TopConfusions(expected, expected, 10))
	require.InDelta(t, 1, evaluation.MacroF1(expected, expected), 1e-12)
	require.Zero(t, evaluation.MacroF1(nil, nil))
	require.Panics(t, func() { evaluation.Right(expected, nil) })
}
