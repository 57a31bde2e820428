package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"text/tabwriter"

	"teller/benchmark"
	"teller/evaluation"
)

type showBenchmarkCmd struct {
	ID   string `arg:"" optional:"" help:"The run; without it, the latest that has ended."`
	JSON bool   `name:"json" help:"Print the run as JSON."`
}

func (c showBenchmarkCmd) Run(ctx context.Context) error {
	r, err := newRemote()
	if err != nil {
		return err
	}
	run, err := fetchRun(ctx, r, c.ID)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(os.Stdout, run)
	}
	return printRun(os.Stdout, run)
}

// fetchRun gets the summary of a run, or of the latest one.
func fetchRun(ctx context.Context, r *remote, id string) (benchmark.Run, error) {
	if id == "" {
		var summary struct {
			Latest *benchmark.Run `json:"latest"`
		}
		if err := r.get(ctx, "/benchmark/summary", &summary); err != nil {
			return benchmark.Run{}, err
		}
		if summary.Latest == nil {
			return benchmark.Run{}, fmt.Errorf("no benchmark has ended yet; 'teller benchmark run' starts one")
		}
		return *summary.Latest, nil
	}
	var shown shownRun
	if err := r.get(ctx, "/benchmark/runs/"+url.PathEscape(id)+"?results=false", &shown); err != nil {
		return benchmark.Run{}, err
	}
	if shown.Run.EndedAt.IsZero() {
		return benchmark.Run{}, fmt.Errorf("run %s is going on: %s", id, recordedText(shown.Recorded))
	}
	return parseRun(shown.Run.Summary)
}

// printRun writes a run's figures for people.
func printRun(out io.Writer, run benchmark.Run) error {
	fmt.Fprintf(out, "Run %s of suite %s, %s, started by %s, %d chats so far.\n\n", run.ID, run.Suite, run.Ended.Local().Format("2 Jan 2006 15:04"), run.Trigger, run.RequestCount)
	names := slices.Sorted(maps.Keys(run.Models))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MODEL\tSTATUS\tRIGHT\t95% INTERVAL\tERRORS\tFIRST TOKEN p50\tEND TO END p50/p90/p99\t$ PER 1,000\tCALIBRATION ERROR")
	for _, name := range names {
		m := run.Models[name]
		if m.Accuracy.Value == nil {
			fmt.Fprintf(w, "%s\t%s\t-\t-\t-\t-\t-\t-\t%s\n", name, m.Status, m.Reason)
			continue
		}
		e := m.Latency.EndToEnd
		fmt.Fprintf(w, "%s\t%s\t%.1f%% of %d\t%s\t%d\t%s\t%.0f/%.0f/%.0f ms\t%s\t%s\n", name, m.Status, 100**m.Accuracy.Value, m.Accuracy.N, intervalText(m.Accuracy.Clustered),
			m.Failures.Count, firstTokenText(m), e.P50, e.P90, e.P99, dollars(m.Cost.PerThousandUSD), calibrationText(m))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, name := range names {
		if m := run.Models[name]; m.Status == benchmark.Stopped {
			fmt.Fprintf(out, "%s stopped early: %s\n", name, m.Reason)
		}
	}
	if categories := categoriesOf(run); len(categories) > 0 {
		fmt.Fprintln(out)
		fmt.Fprint(w, "CATEGORY")
		for _, name := range names {
			fmt.Fprintf(w, "\t%s", name)
		}
		fmt.Fprintln(w)
		for _, category := range categories {
			fmt.Fprint(w, category)
			for _, name := range names {
				p, ok := run.Models[name].Categories[category]
				if !ok || p.Value == nil {
					fmt.Fprint(w, "\t-")
					continue
				}
				fmt.Fprintf(w, "\t%.1f%% (%s)", 100**p.Value, intervalText(p.Clustered))
			}
			fmt.Fprintln(w)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if lead, ok := benchmark.Winner(run); ok {
		fmt.Fprintf(out, "\n%s\n", lead.Evidence)
	}
	if run.Changes != nil {
		for _, change := range run.Changes.Worse() {
			fmt.Fprintf(out, "%s became worse since run %s: %s %.1f%% -> %.1f%% (corrected p = %.3f)\n", change.Model, run.Changes.Before, change.Measure,
				100*change.Before, 100*change.After, change.AdjustedP)
		}
	}
	return nil
}

func categoriesOf(run benchmark.Run) []string {
	seen := map[string]bool{}
	for _, m := range run.Models {
		for category := range m.Categories {
			seen[category] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

func intervalText(i evaluation.Interval) string {
	return fmt.Sprintf("%.1f to %.1f", 100*i.Low, 100*i.High)
}

func dollars(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.4f", *v)
}

func firstTokenText(m benchmark.ModelResult) string {
	if m.Latency.TimeToFirstToken.N == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f ms", m.Latency.TimeToFirstToken.P50)
}

func calibrationText(m benchmark.ModelResult) string {
	if m.Calibration == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f", m.Calibration.ECE)
}

type compareBenchmarkCmd struct {
	Before string `arg:"" help:"The earlier run."`
	After  string `arg:"" help:"The later one."`
	JSON   bool   `name:"json" help:"Print the comparison as JSON."`
}

// Help stands below the flags.
func (compareBenchmarkCmd) Help() string {
	return `Exit status: 0, no model became significantly worse; 1, one did; 2, no model was measured in both runs.
Runs of the same suite are compared case by case (exact McNemar test, corrected for the number of comparisons).`
}

// exitCode ends the program with a status of its own.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func (c compareBenchmarkCmd) Run(ctx context.Context) error {
	r, err := newRemote()
	if err != nil {
		return err
	}
	var runs [2]benchmark.Run
	var rows [2]benchmark.Rows
	for i, id := range []string{c.Before, c.After} {
		var shown shownRun
		if err := r.get(ctx, "/benchmark/runs/"+url.PathEscape(id), &shown); err != nil {
			return err
		}
		if shown.Run.EndedAt.IsZero() {
			return fmt.Errorf("run %s is going on", id)
		}
		if runs[i], err = parseRun(shown.Run.Summary); err != nil {
			return err
		}
		results := shown.Results
		rows[i] = func(yield func(benchmark.CaseResult, error) bool) {
			for _, result := range results {
				if !yield(result, nil) {
					return
				}
			}
		}
	}
	changes, err := benchmark.Compare(runs[0], runs[1], rows[0], rows[1])
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(os.Stdout, changes)
	} else {
		err = printChanges(os.Stdout, changes)
	}
	if err == nil && changes.ExitCode() != 0 {
		err = exitCode(changes.ExitCode())
	}
	return err
}

func printChanges(out io.Writer, changes benchmark.Changes) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MODEL\tMEASURE\tBEFORE\tAFTER\tDIFFERENCE, 95% INTERVAL\tCORRECTED p\tVERDICT")
	for _, c := range changes.Models {
		fmt.Fprintf(w, "%s\t%s\t%.1f%%\t%.1f%%\t%+.1f (%+.1f to %+.1f)\t%.3f\t%s\n", c.Model, c.Measure, 100*c.Before, 100*c.After,
			100*c.Difference, 100*c.Interval.Low, 100*c.Interval.High, c.AdjustedP, c.Verdict)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(changes.NotCompared)) {
		fmt.Fprintf(out, "%s is not compared: %s\n", name, changes.NotCompared[name])
	}
	return nil
}
