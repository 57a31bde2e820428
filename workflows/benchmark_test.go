package workflows_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"

	"teller/activities"
	"teller/benchmark"
	"teller/llm"
	"teller/prices"
	"teller/store"
	"teller/workflows"
)

// bench keeps a suite and its results in memory.
type bench struct {
	activities.Benchmarks
	cases []json.RawMessage

	mu      sync.Mutex
	results map[string]benchmark.CaseResult // by model and case
	twice   []string
	ended   activities.EndBenchmarkInput
}

func newBench(t *testing.T, n int) *bench {
	t.Helper()
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"vars":{"message":"question %d"},"assert":[{"type":"equals","value":"re: question %d"}],"metadata":{"id":"c%d"}}`+"\n", i, i, i)
	}
	return benchOf(t, lines.String())
}

// benchOf keeps the suite of a JSONL file.
func benchOf(t *testing.T, lines string) *bench {
	t.Helper()
	suite, err := benchmark.Load(fstest.MapFS{"cases.jsonl": {Data: []byte(lines)}}, "cases.jsonl")
	require.NoError(t, err)
	bodies, err := activities.CaseBodies(suite)
	require.NoError(t, err)
	return &bench{cases: bodies, results: map[string]benchmark.CaseResult{}}
}

func (b *bench) KeepSuite(context.Context, string, string, []json.RawMessage) error { return nil }
func (b *bench) Suite(context.Context, string) (string, int, error)                 { return "own", len(b.cases), nil }
func (b *bench) BeginRun(context.Context, store.BenchmarkRun) error                 { return nil }
func (b *bench) BeginDueRun(_ context.Context, _ store.BenchmarkRun, last, _ int64) (bool, error) {
	return last == 0, nil
}
func (b *bench) Chats(context.Context) (int64, int64, error) { return 50, 0, nil }
func (b *bench) SuiteCases(_ context.Context, _ string, positions []int) (out []json.RawMessage, err error) {
	for _, p := range positions {
		out = append(out, b.cases[p])
	}
	return out, nil
}

func (b *bench) KeepResults(_ context.Context, _ string, rows []store.CaseRow) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, row := range rows {
		var r benchmark.CaseResult
		if err := json.Unmarshal(row.Body, &r); err != nil {
			return err
		}
		key := row.Model + "/" + row.CaseID
		if _, ok := b.results[key]; ok {
			b.twice = append(b.twice, key)
		}
		b.results[key] = r
	}
	return nil
}

// of counts a model's results, and those that pass.
func (b *bench) of(model string) (all, passed int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.results {
		if r.Model == model {
			all++
			if r.Pass {
				passed++
			}
		}
	}
	return all, passed
}

// measuring is an environment with the activities of benchmarks.
func measuring(t *testing.T, b *bench, models fakeModels) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	env, _ := environment(t, models)
	table, err := prices.Parse([]byte("- {model: gemini, from: 2020-01-01, prompt: 1, completion: 1}"))
	require.NoError(t, err)
	acts := &activities.Activities{Prices: table, Measurements: activities.Measurements{Store: b, Prices: table}}
	env.RegisterActivity(acts.BeginBenchmark)
	env.RegisterActivity(acts.LoadCases)
	env.RegisterActivity(acts.RecordCases)
	env.RegisterActivityWithOptions(func(_ context.Context, in activities.EndBenchmarkInput) (activities.BenchmarkOutcome, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.ended = in
		return activities.BenchmarkOutcome{RunID: in.RunID}, nil
	}, activity.RegisterOptions{Name: "EndBenchmark"})
	env.RegisterWorkflow(workflows.BenchmarkModel)
	return env
}

func TestEveryModelIsAskedEveryCaseOnce(t *testing.T) {
	const cases = 130 // more than two loads
	b := newBench(t, cases)
	custom, gemini := echoes(), fails(&llm.Error{Code: llm.Unavailable, Message: "down"}, 0)
	env := measuring(t, b, fakeModels{"custom": custom, "gemini": gemini})
	env.ExecuteWorkflow(workflows.Benchmark, workflows.BenchmarkInput{Suite: "hash", Models: turn("", "custom", "gemini", "qlora").Route, Seed: 7, Concurrency: 8, WarmUp: 2})
	require.NoError(t, env.GetWorkflowError())

	require.Empty(t, b.twice)
	all, passed := b.of("custom")
	require.Equal(t, cases, all)
	require.Equal(t, cases, passed)
	require.Len(t, custom.calls(), cases+2, "the warm-up does not count")
	all, passed = b.of("gemini")
	require.Equal(t, cases, all)
	require.Zero(t, passed)
	require.Equal(t, llm.Unavailable, b.results["gemini/c0"].ErrorCode, "an error is no wrong answer")

	states := b.ended.Models
	require.Equal(t, activities.BenchmarkOK, states[0].Status)
	require.Equal(t, cases, states[0].Asked)
	require.Equal(t, activities.BenchmarkUnavailable, states[2].Status)
	require.Equal(t, llm.NotConfigured, states[2].Code)
	require.EqualValues(t, 50, b.ended.RequestCount)

	seen := map[string]bool{}
	for _, request := range custom.calls() {
		seen[request.Messages[0].Text] = true
	}
	require.Len(t, seen, cases)
	require.NotEqual(t, "question 0", custom.calls()[0].Messages[0].Text, "the order is shuffled by the seed")
}

func TestRubricsAreGradedByTheJudge(t *testing.T) {
	const lines = `{"vars":{"message":"one"},"assert":[{"type":"llm-rubric","value":"is kind"},{"type":"not-llm-rubric","value":"is rude"}],"metadata":{"id":"c1"}}
{"vars":{"message":"two"},"assert":[{"type":"contains","value":"two"}],"metadata":{"id":"c2"}}
`
	run := func(t *testing.T, judge *fakeModel, named string) (*bench, *fakeModel) {
		b, custom := benchOf(t, lines), echoes()
		env := measuring(t, b, fakeModels{"custom": custom, "gemini": judge})
		in := workflows.BenchmarkInput{Suite: "hash", Models: turn("", "custom").Route, Concurrency: 2}
		if named != "" {
			in.Judge = &turn("", named).Route[0]
		}
		env.ExecuteWorkflow(workflows.Benchmark, in)
		require.NoError(t, env.GetWorkflowError())
		return b, custom
	}
	t.Run("each by a call of its own", func(t *testing.T) {
		judge := &fakeModel{answer: func(_ context.Context, req llm.Request) (llm.Completion, error) {
			verdict := "fail"
			if strings.Contains(req.Messages[1].Text, "is kind") {
				verdict = "pass"
			}
			return llm.Completion{Text: verdict, Usage: llm.Usage{PromptTokens: 999, CompletionTokens: 1}}, nil
		}}
		b, _ := run(t, judge, "gemini")
		all, passed := b.of("custom")
		require.Equal(t, 2, all)
		require.Equal(t, 2, passed)
		require.Len(t, judge.calls(), 2)
		require.Contains(t, judge.calls()[0].Messages[1].Text, `"re: one"`)
		require.Equal(t, "gemini", b.ended.Judge)
		require.EqualValues(t, 2*1_000_000, b.ended.Models[0].CostNanoUSD, "it counts towards the bound")
		require.Nil(t, b.results["custom/c1"].CostNanoUSD, "and is no cost of the turn's")
	})
	t.Run("whose failure stops the measurement", func(t *testing.T) {
		b, _ := run(t, fails(&llm.Error{Code: llm.InvalidRequest, Message: "no such choice"}, 0), "gemini")
		require.Equal(t, activities.BenchmarkStopped, b.ended.Models[0].Status)
		require.Equal(t, "gemini could not grade: no such choice", b.ended.Models[0].Reason)
		require.NotContains(t, b.results, "custom/c1", "what was not graded is neither right nor wrong")
	})
	t.Run("which must answer before anybody is asked", func(t *testing.T) {
		b, custom := run(t, says("pass"), "qlora")
		require.Equal(t, activities.BenchmarkStopped, b.ended.Models[0].Status)
		require.Contains(t, b.ended.Models[0].Reason, "qlora, which is to grade, does not answer")
		require.Empty(t, custom.calls())
	})
	t.Run("and not at all where there is none", func(t *testing.T) {
		b, _ := run(t, says("pass"), "")
		require.Equal(t, activities.BenchmarkStopped, b.ended.Models[0].Status)
		require.Contains(t, b.ended.Models[0].Reason, "a model must grade")
	})
}

func TestARunThatAnotherHasForestalledDoesNothing(t *testing.T) {
	b := newBench(t, 3)
	custom := echoes()
	env := measuring(t, b, fakeModels{"custom": custom})
	seen := int64(1)
	env.ExecuteWorkflow(workflows.Benchmark, workflows.BenchmarkInput{Suite: "hash", Models: turn("", "custom").Route, Concurrency: 1, AfterChats: &seen})
	require.NoError(t, env.GetWorkflowError())
	var outcome activities.BenchmarkOutcome
	require.NoError(t, env.GetWorkflowResult(&outcome))
	require.True(t, outcome.NotDue)
	require.Empty(t, custom.calls())
}

func TestALongMeasurementContinuesAsNew(t *testing.T) {
	b := newBench(t, 450)
	env := measuring(t, b, fakeModels{"custom": echoes()})
	in := workflows.BenchmarkModelInput{RunID: "r", Suite: "hash", Cases: 450, Target: workflows.Target{Model: "custom", Queue: workflows.QueueMain}, Concurrency: 4}
	env.ExecuteWorkflow(workflows.BenchmarkModel, in)
	require.ErrorContains(t, env.GetWorkflowError(), "continue as new")
	all, _ := b.of("custom")
	require.Equal(t, 200, all)
}

func TestARunStopsBeforeItPassesItsBounds(t *testing.T) {
	spends := &fakeModel{answer: func(context.Context, llm.Request) (llm.Completion, error) {
		return llm.Completion{Text: "x", Usage: llm.Usage{PromptTokens: 900, CompletionTokens: 100}}, nil // a tenth of a cent
	}}
	t.Run("cost", func(t *testing.T) {
		b := newBench(t, 100)
		env := measuring(t, b, fakeModels{"gemini": spends})
		env.ExecuteWorkflow(workflows.Benchmark, workflows.BenchmarkInput{Suite: "hash", Models: turn("", "gemini").Route, Concurrency: 1, MaxCostUSD: 0.0105})
		require.NoError(t, env.GetWorkflowError())
		all, _ := b.of("gemini")
		require.Equal(t, 10, all)
		require.Equal(t, activities.BenchmarkStopped, b.ended.Models[0].Status)
		require.Contains(t, b.ended.Models[0].Reason, "cost")
		require.LessOrEqual(t, b.ended.Models[0].CostNanoUSD, int64(10_500_000))
	})
	t.Run("cost, with calls in flight", func(t *testing.T) {
		for _, concurrency := range []int{3, 8, 50} {
			b := newBench(t, 100)
			env := measuring(t, b, fakeModels{"gemini": spends})
			env.ExecuteWorkflow(workflows.Benchmark, workflows.BenchmarkInput{Suite: "hash", Models: turn("", "gemini").Route, Concurrency: concurrency, MaxCostUSD: 0.02})
			require.NoError(t, env.GetWorkflowError())
			state := b.ended.Models[0]
			require.Equal(t, activities.BenchmarkStopped, state.Status)
			require.LessOrEqual(t, state.CostNanoUSD, int64(20_000_000)+int64(concurrency)*700_000, "only calls that began before the first answer told their cost may pass the bound")
			all, _ := b.of("gemini")
			require.EqualValues(t, all*1_000_000, state.CostNanoUSD)
		}
	})
	t.Run("time", func(t *testing.T) {
		b := newBench(t, 100)
		env := measuring(t, b, fakeModels{"custom": echoes()})
		env.OnActivity("Complete", mock.Anything, mock.Anything).After(10*time.Second).Return(activities.CompleteOutput{Completion: llm.Completion{Text: "x"}}, nil)
		env.ExecuteWorkflow(workflows.Benchmark, workflows.BenchmarkInput{Suite: "hash", Models: turn("", "custom").Route, Concurrency: 1, MaxDuration: time.Minute})
		require.NoError(t, env.GetWorkflowError())
		all, _ := b.of("custom")
		require.LessOrEqual(t, all, 7)
		require.Positive(t, all)
		require.Contains(t, b.ended.Models[0].Reason, "time")
	})
	t.Run("cancelled", func(t *testing.T) {
		b := newBench(t, 100)
		env := measuring(t, b, fakeModels{"custom": echoes()})
		env.OnActivity("Complete", mock.Anything, mock.Anything).After(10*time.Second).Return(activities.CompleteOutput{Completion: llm.Completion{Text: "x"}}, nil)
		env.RegisterDelayedCallback(env.CancelWorkflow, 25*time.Second)
		env.ExecuteWorkflow(workflows.Benchmark, workflows.BenchmarkInput{Suite: "hash", Models: turn("", "custom").Route, Concurrency: 1})
		require.Error(t, env.GetWorkflowError())
		require.Equal(t, activities.BenchmarkStopped, b.ended.Models[0].Status, "a cancelled run is summed up all the same")
		require.Contains(t, b.ended.Models[0].Reason, "cancelled")
		all, _ := b.of("custom")
		require.Equal(t, 2, all, "what was answered is recorded: it was paid for")
	})
}
