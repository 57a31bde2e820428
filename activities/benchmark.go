package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"

	"teller/benchmark"
	"teller/prices"
	"teller/store"
)

// Benchmarks keeps suites, runs and results.
type Benchmarks interface {
	KeepSuite(ctx context.Context, hash, name string, cases []json.RawMessage) error
	Suite(ctx context.Context, hash string) (name string, cases int, err error)
	SuiteCases(ctx context.Context, hash string, positions []int) ([]json.RawMessage, error)
	BeginRun(ctx context.Context, r store.BenchmarkRun) error
	BeginDueRun(ctx context.Context, r store.BenchmarkRun, last, answered int64) (due bool, err error)
	EndRun(ctx context.Context, id string, at time.Time, summary json.RawMessage) (bool, error)
	Run(ctx context.Context, id string) (store.BenchmarkRun, error)
	RunBefore(ctx context.Context, id string) (store.BenchmarkRun, error)
	KeepResults(ctx context.Context, runID string, results []store.CaseRow) error
	Results(ctx context.Context, runID, model string) iter.Seq2[store.CaseRow, error]
	Chats(ctx context.Context) (answered, benchmarked int64, err error)
	Route(ctx context.Context) (store.Route, error)
	SwitchRoute(ctx context.Context, c store.Change) (store.Route, error)
}

// Measurements is what the activities of benchmarks stand on.
type Measurements struct {
	Store  Benchmarks
	Prices *prices.Table
	// Served are the providers' model ids by the configured models' names: prices stand under either.
	Served map[string]string
	// ResultsFile is where each run is appended as a line of JSON; "" is nowhere.
	ResultsFile string
	// Objective is what a model must reach to be promoted.
	Objective benchmark.Objective
}

// BeginBenchmark stores that a run begins, once however often it runs. A suite that nobody knows ends the run.
func (a *Activities) BeginBenchmark(ctx context.Context, in BeginBenchmarkInput) (BeginBenchmarkOutput, error) {
	defer heartbeat(ctx)()
	hash, name, cases, err := a.suite(ctx, in.Suite, in.Judge != "")
	if err != nil {
		return BeginBenchmarkOutput{}, err
	}
	out := BeginBenchmarkOutput{Hash: hash, Name: name, Cases: cases, Prices: map[string]BenchmarkPrice{}}
	for _, model := range append(in.Models[:len(in.Models):len(in.Models)], in.Judge) {
		if p, ok := a.Measurements.Prices.Find(model, a.Measurements.Served[model], in.At); ok && p.PerHour == 0 {
			// Dollars for a million tokens are thousands of billionths for one.
			out.Prices[model] = BenchmarkPrice{Prompt: p.Prompt * 1000, Completion: p.Completion * 1000}
		}
	}
	if out.RequestCount, _, err = a.Measurements.Store.Chats(ctx); err != nil {
		return out, err
	}
	run := store.BenchmarkRun{ID: in.RunID, Suite: name, SuiteHash: hash, Cause: in.Cause, StartedAt: in.At}
	if in.AfterChats == nil {
		return out, a.Measurements.Store.BeginRun(ctx, run)
	}
	due, err := a.Measurements.Store.BeginDueRun(ctx, run, *in.AfterChats, out.RequestCount)
	out.NotDue = !due
	return out, err
}

// suite finds a suite by a shipped one's name, without its rubrics unless they are judged, or by the hash of one that is kept.
func (a *Activities) suite(ctx context.Context, named string, judged bool) (hash, name string, cases int, err error) {
	if !slices.Contains(benchmark.ShippedNames(), named) {
		name, cases, err = a.Measurements.Store.Suite(ctx, named)
		if errors.Is(err, store.ErrNoSuite) {
			err = temporal.NewNonRetryableApplicationError(fmt.Sprintf("there is no suite %q", named), "no_suite", nil)
		}
		return named, name, cases, err
	}
	suite, err := benchmark.Shipped(named)
	if err != nil {
		return "", "", 0, temporal.NewNonRetryableApplicationError("the suite does not load: "+err.Error(), "bad_suite", nil)
	}
	if !judged {
		suite, _ = suite.WithoutJudge()
	}
	bodies, err := CaseBodies(suite)
	if err != nil {
		return "", "", 0, err
	}
	return suite.Hash, suite.Name, len(suite.Cases), a.Measurements.Store.KeepSuite(ctx, suite.Hash, suite.Name, bodies)
}

// CaseBodies gives a suite's cases as the store keeps them. A case that no workflow could carry is an error that names its place.
func CaseBodies(suite benchmark.Suite) ([]json.RawMessage, error) {
	bodies := make([]json.RawMessage, len(suite.Cases))
	for i, c := range suite.Cases {
		body, err := json.Marshal(c)
		if err != nil {
			return nil, fmt.Errorf("the case %s: %w", c.ID, err)
		}
		if len(body) > maxCaseBytes {
			return nil, fmt.Errorf("%s: the case is larger than %d KiB", c.Place(), maxCaseBytes>>10)
		}
		bodies[i] = body
	}
	return bodies, nil
}

// loadedBytes bounds what is read at once: Temporal limits a payload to 2 MiB, and JSON can make six bytes of one.
const loadedBytes = 256 << 10

// maxCaseBytes bounds a case for the same reason.
const maxCaseBytes = loadedBytes

// LoadCases reads some cases of the run's order.
func (a *Activities) LoadCases(ctx context.Context, in LoadCasesInput) ([]BenchmarkCall, error) {
	defer heartbeat(ctx)()
	order := benchmark.Order(in.Cases, in.Seed)
	cases, err := a.cases(ctx, in.Suite, order[in.From:in.From+in.Count])
	if err != nil {
		return nil, err
	}
	calls := make([]BenchmarkCall, 0, len(cases))
	bytes := 0
	for i, c := range cases {
		if bytes += len(c.Message) + len(c.Context); bytes > loadedBytes && i > 0 {
			break
		}
		calls = append(calls, BenchmarkCall{CaseID: c.ID, Position: order[in.From+i], Request: c.Request(int64(in.Seed)), Rubrics: c.Rubrics()})
	}
	return calls, nil
}

func (a *Activities) cases(ctx context.Context, suite string, positions []int) ([]benchmark.Case, error) {
	bodies, err := a.Measurements.Store.SuiteCases(ctx, suite, positions)
	if err != nil {
		return nil, err
	}
	cases := make([]benchmark.Case, len(bodies))
	for i, body := range bodies {
		if err := json.Unmarshal(body, &cases[i]); err != nil {
			return nil, fmt.Errorf("a kept case: %w", err)
		}
	}
	return cases, nil
}

// RecordCases grades what a model said and stores it, each case once however often it runs.
func (a *Activities) RecordCases(ctx context.Context, in RecordCasesInput) error {
	defer heartbeat(ctx)()
	positions := make([]int, len(in.Results))
	for i, r := range in.Results {
		positions[i] = r.Position
	}
	cases, err := a.cases(ctx, in.Suite, positions)
	if err != nil {
		return err
	}
	rows := make([]store.CaseRow, len(in.Results))
	for i, r := range in.Results {
		reply := replyOf(r)
		if cost, ok := a.Prices.NanoUSD(in.Model, r.Completion.Served, in.At, reply.Usage.PromptTokens, reply.Usage.CompletionTokens); ok {
			reply.CostNanoUSD = &cost
		}
		verdicts := benchmark.Verdicts(r.Verdicts)
		grade, err := benchmark.GradeReply(ctx, cases[i], reply, &verdicts)
		if err != nil { // trying again makes no verdict
			return temporal.NewNonRetryableApplicationError(err.Error(), "not_judged", nil)
		}
		body, err := json.Marshal(benchmark.ResultOf(in.RunID, in.Model, cases[i], reply, grade, r.Reason))
		if err != nil {
			return err
		}
		rows[i] = store.CaseRow{Model: in.Model, CaseID: r.CaseID, Body: body}
	}
	return a.Measurements.Store.KeepResults(ctx, in.RunID, rows)
}

func replyOf(r CaseOutcome) benchmark.Reply {
	out := r.Completion
	reply := benchmark.Reply{
		Text: out.Text, FinishReason: out.FinishReason, ErrorCode: r.Code, Confidence: out.Confidence,
		ChoiceProbabilities: out.ChoiceProbabilities, Usage: out.Usage,
	}
	if out.Timing != nil {
		reply.EndToEndMS, reply.TimeToFirstTokenMS = out.Timing.EndToEndMs, out.Timing.FirstTokenMs
	}
	return reply
}
