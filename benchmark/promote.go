package benchmark

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Objective is what a model must reach to answer customers. A limit of nil asks for nothing.
type Objective struct {
	MinAccuracy           *float64 `json:"min_accuracy,omitempty"`       // 0 to 1
	MaxP90LatencyMS       *float64 `json:"max_p90_latency_ms,omitempty"` // end to end
	MaxCostPerThousandUSD *float64 `json:"max_cost_per_1000_turns_usd,omitempty"`
	MaxFailures           *float64 `json:"max_failures,omitempty"` // share of calls without a reply, 0 to 1
}

// Promotion is which model should answer, with the evidence.
type Promotion struct {
	// Model is empty where no model should take over: none meets the objective, or the active one is good enough.
	Model    string `json:"model,omitempty"`
	Evidence string `json:"evidence"`
}

// Promote picks the model that should be active after a run: the most accurate one that meets the objective. The model that is active
// keeps its place while it meets the objective and no other one that does is significantly more accurate, so that chance switches
// nothing back and forth, and where the run did not have it at all. active may be empty. The run must have been summarised.
func Promote(run Run, objective Objective, active string) Promotion {
	var says []string
	meets := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(run.Models)) {
		m := run.Models[name]
		missed := objective.missedBy(m)
		meets[name] = len(missed) == 0
		if meets[name] {
			says = append(says, fmt.Sprintf("%s meets the objective (%s)", name, figures(m)))
		} else {
			says = append(says, fmt.Sprintf("%s does not: %s", name, strings.Join(missed, ", ")))
		}
	}
	able := slices.DeleteFunc(ranked(run), func(name string) bool { return !meets[name] })
	out := Promotion{}
	_, measured := run.Models[active]
	switch {
	case active != "" && !measured:
		says = append(says, active+" is active and stays: it is not in this run")
	case len(able) == 0:
		says = append(says, "no model can be promoted")
	case able[0] == active:
		says = append(says, active+" is active and the most accurate of them")
	case !meets[active]:
		out.Model = able[0]
		says = append(says, able[0]+" is the most accurate of those that meet it")
	default:
		c, ok := run.comparison(able[0], active)
		if ok && c.Significant && c.Difference > 0 {
			out.Model = able[0]
			says = append(says, fmt.Sprintf("%s is more accurate than %s, which is active, by %s points on %d cases (%s; corrected p = %s)",
				able[0], active, points(c.Difference), c.Cases, pointsBetween(c.Interval.Low, c.Interval.High), pValue(c.AdjustedP)))
		} else {
			says = append(says, fmt.Sprintf("%s is active and stays: the lead of %s is not significant", active, able[0]))
		}
	}
	out.Evidence = fmt.Sprintf("Run %s of suite %s: %s.", run.ID, run.Suite, strings.Join(says, "; "))
	return out
}

// missedBy says what of the objective a model misses. A figure that was not measured misses its limit.
func (o Objective) missedBy(m ModelResult) []string {
	if m.Status != OK {
		why := "it was " + string(m.Status)
		if m.Reason != "" {
			why += " (" + string(m.Reason) + ")"
		}
		return []string{why}
	}
	var missed []string
	check := func(what, format string, limit, value *float64, atLeast bool) {
		switch {
		case limit == nil:
		case value == nil:
			missed = append(missed, what+" is not known")
		case atLeast && *value < *limit, !atLeast && *value > *limit:
			missed = append(missed, fmt.Sprintf("%s "+format+" where "+format+" is asked for", what, *value, *limit))
		}
	}
	var p90 *float64
	if m.Latency.EndToEnd.N > 0 {
		p90 = &m.Latency.EndToEnd.P90
	}
	if m.Accuracy.Value == nil {
		missed = append(missed, "it answered nothing")
	}
	check("accuracy", "%.3f", o.MinAccuracy, m.Accuracy.Value, true)
	check("p90 latency in ms", "%.0f", o.MaxP90LatencyMS, p90, false)
	check("cost of 1,000 turns in USD", "%.4f", o.MaxCostPerThousandUSD, m.Cost.PerThousandUSD, false)
	check("share of failed calls", "%.3f", o.MaxFailures, m.Failures.Value, false)
	return missed
}

func figures(m ModelResult) string {
	parts := []string{fmt.Sprintf("accuracy %s of %d", percent(*m.Accuracy.Value), m.Accuracy.N), fmt.Sprintf("p90 %.0f ms", m.Latency.EndToEnd.P90)}
	if c := m.Cost.PerThousandUSD; c != nil {
		parts = append(parts, fmt.Sprintf("%.4f USD for 1,000 turns", *c))
	}
	if f := m.Failures.Value; f != nil {
		parts = append(parts, percent(*f)+" of calls failed")
	}
	return strings.Join(parts, ", ")
}
