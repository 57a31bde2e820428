package benchmark

import (
	"fmt"
	"maps"
	"slices"

	"teller/evaluation"
)

// Verdict says what became of a model between two runs.
type Verdict string

// The verdicts.
const (
	Better    Verdict = "better"
	Worse     Verdict = "worse"
	Unchanged Verdict = "unchanged" // no significant change, which is not the same as none
)

// The measures that runs are compared by.
const (
	MeasureAccuracy = "accuracy" // more is better
	MeasureFailures = "failures" // less is better
)

// The methods of a change.
const (
	MethodPaired      = "paired"          // the same cases in both runs: exact McNemar and the bootstrap over families
	MethodProportions = "two proportions" // different cases, or no rows: pooled z-test of the effective numbers of cases
)

// Change is one measure of one model in two runs.
type Change struct {
	Model   string  `json:"model"`
	Measure string  `json:"measure"`
	Method  string  `json:"method"`
	Before  float64 `json:"before"`
	After   float64 `json:"after"`
	// Difference is After - Before, over the cases that both runs have where the method is paired.
	Difference float64             `json:"difference"`
	Interval   evaluation.Interval `json:"interval"` // 95%, of the difference
	P          float64             `json:"p"`
	// AdjustedP is P after Holm's correction over all changes of the comparison.
	AdjustedP float64 `json:"p_adjusted"`
	Verdict   Verdict `json:"verdict"`
}

// Changes is what became of models between two runs.
type Changes struct {
	Before string `json:"before"` // ids of runs
	After  string `json:"after"`
	// SameSuite tells that the hashes of the suites match.
	SameSuite bool     `json:"same_suite"`
	Models    []Change `json:"models"` // by model, then measure
	// NotCompared has why a model of one of the runs was not compared, by name.
	NotCompared map[string]string `json:"not_compared,omitempty"`
}

// The exit codes of a comparison.
const (
	ExitNoneWorse  = 0
	ExitWorse      = 1 // a model became significantly less accurate, or failed significantly more often
	ExitNoEvidence = 2 // no model was measured in both runs
)

// ExitCode is what a command that compares runs ends with.
func (c Changes) ExitCode() int {
	switch {
	case len(c.Worse()) > 0:
		return ExitWorse
	case len(c.Models) == 0:
		return ExitNoEvidence
	default:
		return ExitNoneWorse
	}
}

// Worse are the changes for the worse that are significant.
func (c Changes) Worse() []Change {
	var out []Change
	for _, m := range c.Models {
		if m.Verdict == Worse {
			out = append(out, m)
		}
	}
	return out
}

// Compare tells which models became significantly better or worse from run a to run b. Where both runs' rows are given and the
// suites' hashes match, models are compared case by case; otherwise by their proportions. Both rows may be nil; they are ranged over
// once.
//
// The only errors are those of the rows.
func Compare(a, b Run, rowsA, rowsB Rows) (Changes, error) {
	out := Changes{Before: a.ID, After: b.ID, SameSuite: a.SuiteHash == b.SuiteHash && a.SuiteHash != ""}
	var before, after *ledger
	if out.SameSuite && rowsA != nil && rowsB != nil {
		var err error
		if before, err = readRows(rowsA); err != nil {
			return Changes{}, fmt.Errorf("the rows of run %s: %w", a.ID, err)
		}
		if after, err = readRows(rowsB); err != nil {
			return Changes{}, fmt.Errorf("the rows of run %s: %w", b.ID, err)
		}
	}
	names := maps.Clone(a.Models)
	maps.Copy(names, b.Models)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if why := notComparable(a, b, name); why != "" {
			if out.NotCompared == nil {
				out.NotCompared = map[string]string{}
			}
			out.NotCompared[name] = why
			continue
		}
		x, y := a.Models[name], b.Models[name]
		for _, m := range []struct {
			measure       string
			before, after Proportion
			counts, hit   func(outcome) bool
		}{{MeasureAccuracy, x.Accuracy, y.Accuracy, answered, isRight}, {MeasureFailures, x.Failures, y.Failures, asked, isFailed}} {
			if m.before.Value == nil || m.after.Value == nil {
				continue
			}
			c := Change{Model: name, Measure: m.measure, Before: *m.before.Value, After: *m.after.Value}
			if before != nil && before.models[name] != nil && after.models[name] != nil {
				c.paired(before, after, m.counts, m.hit, b.Seed)
			} else {
				c.proportions(m.before, m.after)
			}
			out.Models = append(out.Models, c)
		}
	}
	out.judge()
	return out, nil
}

func notComparable(a, b Run, name string) string {
	for _, run := range []Run{a, b} {
		m, ok := run.Models[name]
		switch {
		case !ok:
			return fmt.Sprintf("it is not in run %s", run.ID)
		case m.Status == Unavailable:
			return fmt.Sprintf("it was unavailable in run %s", run.ID)
		case m.Cases == 0:
			return fmt.Sprintf("it has no results in run %s", run.ID)
		}
	}
	return ""
}

func (c *Change) paired(before, after *ledger, counts, hit func(outcome) bool, seed uint64) {
	inBefore := make([]int, len(after.family))
	for id, at := range after.cases {
		inBefore[at] = -1
		if i, ok := before.cases[id]; ok {
			inBefore[at] = int(i)
		}
	}
	p := pairedTest(pairsOf(after, after.models[c.Model], before.models[c.Model], func(at int) int { return inBefore[at] }, counts, hit), seed)
	c.Method, c.Difference, c.Interval, c.P = MethodPaired, p.Difference, p.Interval, p.P
}

func (c *Change) proportions(before, after Proportion) {
	c.Method, c.Difference = MethodProportions, c.After-c.Before
	c.Interval = differenceInterval(c.After, c.Before, after.Clustered, before.Clustered)
	c.P = twoProportions(c.After, after.EffectiveN, c.Before, before.EffectiveN)
}

func (c *Changes) judge() {
	p := make([]float64, len(c.Models))
	for i, m := range c.Models {
		p[i] = m.P
	}
	for i, adjusted := range holm(p) {
		m := &c.Models[i]
		m.AdjustedP, m.Verdict = adjusted, Unchanged
		if adjusted >= significance || m.Difference == 0 {
			continue
		}
		if m.Difference > 0 == (m.Measure == MeasureAccuracy) {
			m.Verdict = Better
		} else {
			m.Verdict = Worse
		}
	}
}
