package benchmark

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Lead is the most accurate model of a run and how sure that is.
type Lead struct {
	Model string `json:"model"`
	// RunnerUp is the next most accurate model; empty where there is none.
	RunnerUp string `json:"runner_up,omitempty"`
	// Significant tells whether the model is ahead of every other one with a corrected p-value below 0.05.
	Significant bool `json:"significant"`
	// Evidence says it in words.
	Evidence string `json:"evidence"`
}

// Winner gives the most accurate of the models that were asked every case; false where there is none. Between equals the quicker one
// (p90 end to end) stands first. The run must have been summarised.
func Winner(run Run) (Lead, bool) {
	if run.Winner == nil {
		return Lead{}, false
	}
	return *run.Winner, true
}

func winner(run Run) *Lead {
	names := ranked(run)
	if len(names) == 0 {
		return nil
	}
	lead := Lead{Model: names[0]}
	first := run.Models[names[0]].Accuracy
	says := fmt.Sprintf("%s answered %s of %d cases right (95%% interval %s)", names[0], percent(*first.Value), first.N, percents(first.Clustered.Low, first.Clustered.High))
	if len(names) == 1 {
		lead.Evidence = says + "; no other model was measured in full."
		return &lead
	}
	lead.RunnerUp, lead.Significant = names[1], true
	var behind []string
	for _, other := range names[1:] {
		c, ok := run.comparison(names[0], other)
		if !ok || !c.Significant || c.Difference <= 0 {
			lead.Significant = false
			behind = append(behind, other)
		}
	}
	if c, ok := run.comparison(names[0], names[1]); ok {
		says += fmt.Sprintf(", %s points more than %s on the same %d cases (%s; corrected p = %s)", points(c.Difference), names[1], c.Cases,
			pointsBetween(c.Interval.Low, c.Interval.High), pValue(c.AdjustedP))
	}
	if lead.Significant {
		lead.Evidence = says + ". The lead is significant."
	} else {
		lead.Evidence = says + fmt.Sprintf(". The lead over %s is not significant.", strings.Join(behind, " and "))
	}
	return &lead
}

// ranked are the models that were measured in full, best first.
func ranked(run Run) []string {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(run.Models)), func(name string) bool {
		m := run.Models[name]
		return m.Status != OK || m.Accuracy.Value == nil
	})
	slices.SortStableFunc(names, func(a, b string) int {
		x, y := run.Models[a], run.Models[b]
		return cmp.Or(cmp.Compare(*y.Accuracy.Value, *x.Accuracy.Value), cmp.Compare(x.Latency.EndToEnd.P90, y.Latency.EndToEnd.P90))
	})
	return names
}

// comparison is that of a with b, turned round where the run has b with a.
func (r Run) comparison(a, b string) (Comparison, bool) {
	for _, c := range r.Comparisons {
		if c.A == a && c.B == b {
			return c, true
		}
		if c.A == b && c.B == a {
			c.A, c.B, c.OnlyA, c.OnlyB, c.Difference = c.B, c.A, c.OnlyB, c.OnlyA, -c.Difference
			c.Interval.Low, c.Interval.High = -c.Interval.High, -c.Interval.Low
			return c, true
		}
	}
	return Comparison{}, false
}

func percent(share float64) string { return fmt.Sprintf("%.1f%%", 100*share) }

func percents(low, high float64) string { return fmt.Sprintf("%.1f%% to %.1f%%", 100*low, 100*high) }

func points(difference float64) string { return fmt.Sprintf("%.1f", 100*difference) }

func pointsBetween(low, high float64) string {
	return fmt.Sprintf("95%% interval %+.1f to %+.1f", 100*low, 100*high)
}

func pValue(p float64) string {
	if p < 0.001 {
		return "0.001 or less"
	}
	return fmt.Sprintf("%.3f", p)
}
