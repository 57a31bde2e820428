package activities

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.temporal.io/sdk/activity"

	"teller/benchmark"
	"teller/store"
)

// EndBenchmark sums a run up, compares it with the run of the same suite before, stores and publishes it, and makes another model active
// where it was asked to. Each of these happens once however often it runs: what an earlier try has stored stands.
func (a *Activities) EndBenchmark(ctx context.Context, in EndBenchmarkInput) (BenchmarkOutcome, error) {
	defer heartbeat(ctx)()
	m := a.Measurements
	row, err := m.Store.Run(ctx, in.RunID)
	if err != nil {
		return BenchmarkOutcome{}, err
	}
	if row.EndedAt.IsZero() {
		if err := a.sumUp(ctx, in, row); err != nil {
			return BenchmarkOutcome{}, err
		}
		if row, err = m.Store.Run(ctx, in.RunID); err != nil {
			return BenchmarkOutcome{}, err
		}
	}
	var run benchmark.Run
	if err := json.Unmarshal(row.Summary, &run); err != nil {
		return BenchmarkOutcome{}, fmt.Errorf("the run's summary: %w", err)
	}
	if err := appendLine(m.ResultsFile, in.RunID, row.Summary); err != nil {
		return BenchmarkOutcome{}, err
	}
	outcome := outcomeOf(run)
	if run.Promotion != nil && run.Promotion.Model != "" {
		if err := a.promote(ctx, *run.Promotion); err != nil {
			return outcome, err
		}
		outcome.Promoted = run.Promotion.Model
	}
	if len(outcome.Regressions) > 0 {
		activity.GetLogger(ctx).Warn("a benchmark found models that became worse", "run", in.RunID, "models", outcome.Regressions)
	}
	return outcome, nil
}

// sumUp stores what a run found out.
func (a *Activities) sumUp(ctx context.Context, in EndBenchmarkInput, row store.BenchmarkRun) error {
	m := a.Measurements
	run := benchmark.Run{ID: in.RunID, Suite: row.Suite, SuiteHash: row.SuiteHash, Started: in.Started, Ended: in.Ended, Trigger: in.Cause,
		RequestCount: in.RequestCount, Seed: in.Seed, Judge: in.Judge, Models: map[string]benchmark.ModelResult{}}
	for _, state := range in.Models {
		result := benchmark.ModelResult{Status: benchmark.Status(state.Status), Reason: benchmark.Reason(state.Reason), Served: state.Version}
		if state.Status != BenchmarkUnavailable {
			result.Started, result.Ended = in.Started, state.Ended
		}
		run.Models[state.Model] = result
	}
	run, err := benchmark.Summarise(run, a.rows(ctx, in.RunID), m.Prices)
	if err != nil {
		return fmt.Errorf("sum the run up: %w", err)
	}
	if err := a.compare(ctx, &run); err != nil {
		return err
	}
	if in.Promote {
		route, err := m.Store.Route(ctx)
		if err != nil {
			return err
		}
		promotion := benchmark.Promote(run, m.Objective, route.Active)
		run.Promotion = &promotion
	}
	summary, err := json.Marshal(run)
	if err != nil {
		return fmt.Errorf("the run's summary: %w", err)
	}
	_, err = m.Store.EndRun(ctx, in.RunID, in.Ended, summary)
	return err
}

// rows reads a run's results.
func (a *Activities) rows(ctx context.Context, runID string) benchmark.Rows {
	return func(yield func(benchmark.CaseResult, error) bool) {
		for row, err := range a.Measurements.Store.Results(ctx, runID, "") {
			var r benchmark.CaseResult
			if err == nil {
				err = json.Unmarshal(row.Body, &r)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// compare holds the run against the one of the same suite before it.
func (a *Activities) compare(ctx context.Context, run *benchmark.Run) error {
	before, err := a.Measurements.Store.RunBefore(ctx, run.ID)
	if errors.Is(err, store.ErrNoRun) {
		return nil
	}
	if err != nil {
		return err
	}
	var earlier benchmark.Run
	if err := json.Unmarshal(before.Summary, &earlier); err != nil {
		return fmt.Errorf("the run before: %w", err)
	}
	changes, err := benchmark.Compare(earlier, *run, a.rows(ctx, before.ID), a.rows(ctx, run.ID))
	if err != nil {
		return fmt.Errorf("compare with the run before: %w", err)
	}
	run.Changes = &changes
	return nil
}

// errAlreadyActive ends a promotion that an earlier try has made.
var errAlreadyActive = errors.New("the model is active already")

// promote makes the model active that a run speaks for, with the evidence as the reason of the change.
func (a *Activities) promote(ctx context.Context, p benchmark.Promotion) error {
	_, err := a.Measurements.Store.SwitchRoute(ctx, store.Change{Actor: "benchmark", Reason: p.Evidence, Edit: func(r *store.Route) error {
		if r.Active == p.Model {
			return errAlreadyActive
		}
		r.Active, r.Split = p.Model, nil
		return nil
	}})
	if errors.Is(err, errAlreadyActive) {
		return nil
	}
	return err
}

func outcomeOf(run benchmark.Run) BenchmarkOutcome {
	out := BenchmarkOutcome{RunID: run.ID, Accuracy: map[string]float64{}}
	for name, m := range run.Models {
		if m.Accuracy.Value != nil {
			out.Accuracy[name] = *m.Accuracy.Value
		}
	}
	if lead, ok := benchmark.Winner(run); ok {
		out.Winner, out.Significant = lead.Model, lead.Significant
	}
	if run.Changes != nil {
		for _, change := range run.Changes.Worse() {
			if n := len(out.Regressions); n == 0 || out.Regressions[n-1] != change.Model {
				out.Regressions = append(out.Regressions, change.Model)
			}
		}
	}
	return out
}

// appendLine adds a run to the file of results, unless it stands there. A line that a crash cut off is ended first, so that it spoils
// nobody else's.
func appendLine(path, runID string, line []byte) error {
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("the file of results: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("the file of results: %w", err)
	}
	there, cut, err := holds(f, runID)
	var text []byte
	if cut {
		text = append(text, '\n')
	}
	if !there {
		text = append(append(text, line...), '\n')
	}
	if err == nil && len(text) > 0 {
		if _, err = f.Write(text); err == nil {
			err = f.Sync()
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("the file of results: %w", err)
	}
	return nil
}

// holds tells whether a run stands in a file of results, whole, and whether its last line has no end.
func holds(f *os.File, runID string) (there, cut bool, err error) {
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return there, false, err
		}
		var run struct {
			ID string `json:"id"`
		}
		there = there || json.Unmarshal(line, &run) == nil && run.ID == runID
		if err != nil {
			return there, len(line) > 0, nil
		}
	}
}
