package benchmark

import (
	"maps"
	"slices"

	"teller/evaluation"
	"teller/prices"
)

// Comparison is two models on the cases that both answered.
type Comparison struct {
	A string `json:"a"`
	B string `json:"b"`
	Paired
	// AdjustedP is P after Holm's correction over all pairs of the run, Significant whether it is below 0.05.
	AdjustedP   float64 `json:"p_adjusted"`
	Significant bool    `json:"significant"`
}

// Summarise gives run with the figures that its rows have, which it ranges over once. Memory grows by about 30 bytes a row; 100,000
// rows of text may pass. Models that run knows keep their status, reason and times; others are added as ok. table is for self-hosted
// models, whose rows have no cost of their own; it may be nil.
//
// The only errors are those of rows, and two rows of one case and model.
func Summarise(run Run, rows Rows, table *prices.Table) (Run, error) {
	l, err := readRows(rows)
	if err != nil {
		return Run{}, err
	}
	run.Models = maps.Clone(run.Models)
	if run.Models == nil {
		run.Models = map[string]ModelResult{}
	}
	for name := range l.models {
		if _, ok := run.Models[name]; !ok {
			run.Models[name] = ModelResult{Status: OK}
		}
	}
	for name, m := range run.Models {
		a := l.models[name]
		if a == nil {
			a = &account{}
		}
		var price prices.Price
		known := false
		if table != nil {
			price, known = table.Find(name, m.Served, run.Started)
		}
		l.describe(&m, a)
		m.Cost = costOf(a.spent, price, known, m.Ended.Sub(m.Started))
		run.Models[name] = m
	}
	run.Comparisons = l.compare(run.Seed)
	run.Winner = winner(run)
	return run, nil
}

func (l *ledger) describe(m *ModelResult, a *account) {
	m.Cases, m.Blocked, m.ErrorCodes, m.Categories = a.rows, a.blocked, a.errorCodes, nil
	m.PromptTokens, m.CompletionTokens = a.promptTokens, a.completionTokens
	m.Accuracy = proportion(l.clusters(a, -1, answered, isRight))
	m.Failures = proportion(l.clusters(a, -1, asked, isFailed))
	for name, category := range l.categories {
		if p := proportion(l.clusters(a, category, answered, isRight)); p.N > 0 {
			if m.Categories == nil {
				m.Categories = map[string]Proportion{}
			}
			m.Categories[name] = p
		}
	}
	m.Latency = Latency{TimeToFirstToken: distribution(a.firstToken), InterToken: distribution(a.interToken), EndToEnd: distribution(a.endToEnd)}
	m.AverageLatencyMS = ratio(a.endToEndSum, float64(len(a.endToEnd)))
	m.Confidence = ratio(a.confidenceSum, float64(len(a.confidence)))
	m.Calibration = nil
	if len(a.confidence) > 0 {
		m.Calibration = calibration(a.confidence, a.confidentRight)
	}
}

func calibration(confidence []float32, isRight []bool) *Calibration {
	wide := make([]float64, len(confidence))
	for i, c := range confidence {
		wide[i] = float64(c)
	}
	bins := evaluation.Reliability(wide, isRight, evaluation.ReliabilityBins)
	return &Calibration{N: len(wide), ECE: evaluation.ExpectedCalibrationError(bins), Brier: evaluation.Brier(wide, isRight), Bins: bins}
}

// compare holds every pair of models that answered cases in common against each other.
func (l *ledger) compare(seed uint64) []Comparison {
	names := slices.Sorted(maps.Keys(l.models))
	same := func(at int) int { return at }
	var out []Comparison
	var p []float64
	for i, a := range names {
		for _, b := range names[i+1:] {
			c := Comparison{A: a, B: b, Paired: pairedTest(pairsOf(l, l.models[a], l.models[b], same, answered, isRight), seed)}
			if c.Cases > 0 {
				out, p = append(out, c), append(p, c.P)
			}
		}
	}
	for i, adjusted := range holm(p) {
		out[i].AdjustedP, out[i].Significant = adjusted, adjusted < significance
	}
	return out
}
