// Package report writes a benchmark's run for people and for tools: Markdown, CSV, JUnit XML, and one HTML file with plots that needs no
// network. It is pure, and knows benchmark and evaluation only.
//
// Names, questions and replies are hostile input: every format escapes them.
package report

import (
	"cmp"
	"maps"
	"slices"

	"teller/benchmark"
)

// Input is what a report is made of.
type Input struct {
	// Run has been summarised.
	Run benchmark.Run
	// Rows are the run's; nil leaves out what is said of single cases. Markdown does not need them, HTML ranges over them once.
	Rows benchmark.Rows
	// History are earlier runs. Those of the same suite are drawn; the run itself may be among them.
	History []benchmark.Run
	// Cases have the questions by case id; nil leaves them out.
	Cases map[string]benchmark.Case
}

// modelNames are a run's models, those that were measured first and the most accurate first of them.
func modelNames(run benchmark.Run) []string {
	accuracy := func(name string) float64 {
		if v := run.Models[name].Accuracy.Value; v != nil {
			return *v
		}
		return -1
	}
	names := slices.Sorted(maps.Keys(run.Models))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(accuracy(b), accuracy(a)) })
	return names
}

// categoryNames are the categories of a run's models, sorted.
func categoryNames(run benchmark.Run) []string {
	all := map[string]bool{}
	for _, m := range run.Models {
		for c := range m.Categories {
			all[c] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// maxHistory is how many runs a plot has room for.
const maxHistory = 60

// history is the earlier runs of the run's suite and the run itself, the latest of them, oldest first.
func history(in Input) []benchmark.Run {
	runs := []benchmark.Run{in.Run}
	for _, r := range in.History {
		if r.SuiteHash == in.Run.SuiteHash && r.ID != in.Run.ID {
			runs = append(runs, r)
		}
	}
	slices.SortStableFunc(runs, func(a, b benchmark.Run) int { return at(a).Compare(at(b)) })
	return runs[max(0, len(runs)-maxHistory):]
}
