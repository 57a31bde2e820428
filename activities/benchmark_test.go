package activities_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"teller/activities"
	"teller/benchmark"
	"teller/llm"
	"teller/prices"
	"teller/store"
)

// measuring is the activities of benchmarks on a store of their own.
type measuring struct {
	t    *testing.T
	rows *store.Store
	acts *activities.Activities
	env  *testsuite.TestActivityEnvironment
	file string
}

func startMeasuring(t *testing.T) *measuring {
	t.Helper()
	rows, err := store.Open(t.Context(), store.Config{DataDir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rows.Close()) })
	table, err := prices.Parse([]byte("- {model: gemini, from: 2020-01-01, prompt: 1, completion: 2}\n- {model: served-custom, from: 2020-01-01, per_hour: 3}"))
	require.NoError(t, err)
	m := &measuring{t: t, rows: rows, file: filepath.Join(t.TempDir(), "deep", "benchmark_results.jsonl")}
	accuracy := 0.6
	m.acts = &activities.Activities{Prices: table, Measurements: activities.Measurements{Store: rows, Prices: table, ResultsFile: m.file,
		Served: map[string]string{"custom": "served-custom"}, Objective: benchmark.Objective{MinAccuracy: &accuracy}}}
	var suite testsuite.WorkflowTestSuite
	m.env = suite.NewTestActivityEnvironment()
	m.env.RegisterActivity(m.acts)
	return m
}

// keep stores a suite of n cases, which ask for "re: i".
func (m *measuring) keep(n int) string {
	m.t.Helper()
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"vars":{"message":"question %d"},"assert":[{"type":"equals","value":"re: %d"}],"metadata":{"id":"c%03d","category":"intent"}}`+"\n", i, i, i)
	}
	suite, err := benchmark.Load(fstest.MapFS{"own.jsonl": {Data: []byte(lines.String())}}, "own.jsonl")
	require.NoError(m.t, err)
	bodies, err := activities.CaseBodies(suite)
	require.NoError(m.t, err)
	require.NoError(m.t, m.rows.KeepSuite(m.t.Context(), suite.Hash, suite.Name, bodies))
	return suite.Hash
}

// twice runs an activity twice, as Temporal does where a worker dies before it could tell, and gives the second result, which must be
// like the first.
func twice[T any](m *measuring, act any, in any) (out T) {
	m.t.Helper()
	var first T
	for i := range 2 {
		value, err := m.env.ExecuteActivity(act, in)
		require.NoError(m.t, err)
		out = *new(T)
		if value.HasValue() {
			require.NoError(m.t, value.Get(&out))
		}
		if i == 0 {
			first = out
		}
	}
	require.Equal(m.t, first, out)
	return out
}

var began = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)

// measure makes a run in which each model answers the first so many of n cases right.
func (m *measuring) measure(id, hash string, at time.Time, n int, right map[string]int, promote bool) activities.BenchmarkOutcome {
	m.t.Helper()
	begun := twice[activities.BeginBenchmarkOutput](m, m.acts.BeginBenchmark, activities.BeginBenchmarkInput{RunID: id, Suite: hash, Cause: "api", Models: []string{"custom", "gemini"}, At: at})
	end := activities.EndBenchmarkInput{RunID: id, Started: at, Ended: at.Add(time.Minute), Seed: 3, Cause: "api", RequestCount: begun.RequestCount, Promote: promote}
	for model, passes := range right {
		for from := 0; from < n; {
			calls := twice[[]activities.BenchmarkCall](m, m.acts.LoadCases, activities.LoadCasesInput{Suite: hash, Cases: n, Seed: 3, From: from, Count: min(50, n-from)})
			in := activities.RecordCasesInput{RunID: id, Suite: hash, Model: model, At: at}
			for _, call := range calls {
				require.Equal(m.t, fmt.Sprint("question ", call.Position), call.Request.Messages[0].Text)
				answer := "?"
				if call.Position < passes {
					answer = fmt.Sprint("re: ", call.Position)
				}
				in.Results = append(in.Results, activities.CaseOutcome{CaseID: call.CaseID, Position: call.Position, Completion: llm.Completion{
					Text: answer, Usage: llm.Usage{PromptTokens: 10, CompletionTokens: 5}, Timing: &llm.Timing{EndToEndMs: 12}}})
			}
			twice[struct{}](m, m.acts.RecordCases, in)
			from += len(calls)
		}
		end.Models = append(end.Models, activities.BenchmarkModelState{Model: model, Status: activities.BenchmarkOK, Asked: n, Ended: at.Add(time.Minute)})
	}
	end.Models = append(end.Models, activities.BenchmarkModelState{Model: "qlora", Status: activities.BenchmarkUnavailable, Code: llm.NotConfigured, Reason: "VLLM_BASE_URL is not set"})
	return twice[activities.BenchmarkOutcome](m, m.acts.EndBenchmark, end)
}

// lines are the runs of the results file by their ids, in order; "" stands for a line that is no run.
func (m *measuring) lines() (ids []string) {
	m.t.Helper()
	text, err := os.ReadFile(m.file)
	require.NoError(m.t, err)
	require.True(m.t, strings.HasSuffix(string(text), "\n"))
	for line := range strings.Lines(string(text)) {
		var run struct{ ID string }
		_ = json.Unmarshal([]byte(line), &run)
		ids = append(ids, run.ID)
	}
	return ids
}

func TestARunIsKeptOnceHoweverOftenItsStepsRun(t *testing.T) {
	m := startMeasuring(t)
	const cases = 70
	hash := m.keep(cases)
	outcome := m.measure("r1", hash, began, cases, map[string]int{"custom": 63, "gemini": 28}, false)
	require.Equal(t, activities.BenchmarkOutcome{RunID: "r1", Winner: "custom", Significant: true, Accuracy: map[string]float64{"custom": 0.9, "gemini": 0.4}}, outcome)

	recorded, err := m.rows.Recorded(t.Context(), "r1")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"custom": cases, "gemini": cases}, recorded)
	require.Equal(t, []string{"r1"}, m.lines())

	text, err := os.ReadFile(m.file)
	require.NoError(t, err)
	var line struct {
		Timestamp    time.Time
		RequestCount *int64 `json:"request_count"`
		Models       map[string]struct {
			Status       string
			AvgLatencyMs *float64 `json:"avg_latency_ms"`
			Error        *string
			Cost         benchmark.Cost
		}
	}
	require.NoError(t, json.Unmarshal(text, &line))
	require.Equal(t, began.Add(time.Minute), line.Timestamp)
	require.NotNil(t, line.RequestCount)
	require.InDelta(t, 12, *line.Models["custom"].AvgLatencyMs, 1e-9)
	require.Equal(t, "unavailable", line.Models["qlora"].Status)
	require.Equal(t, "VLLM_BASE_URL is not set", *line.Models["qlora"].Error)
	require.Nil(t, line.Models["qlora"].AvgLatencyMs)
	require.InDelta(t, cases*(10*1e-6+5*2e-6), *line.Models["gemini"].Cost.TotalUSD, 1e-12)
}

func TestALineThatACrashCutOffSpoilsNoOther(t *testing.T) {
	m := startMeasuring(t)
	hash := m.keep(10)
	right := map[string]int{"custom": 8}
	m.measure("r1", hash, began, 10, right, false)
	whole, err := os.ReadFile(m.file)
	require.NoError(t, err)

	t.Run("in its middle", func(t *testing.T) {
		require.NoError(t, os.WriteFile(m.file, append(whole, whole[:len(whole)/2]...), 0o600))
		m.measure("r2", hash, began.Add(time.Hour), 10, right, false)
		require.Equal(t, []string{"r1", "", "r2"}, m.lines())
	})
	t.Run("its own", func(t *testing.T) {
		require.NoError(t, os.WriteFile(m.file, whole[:len(whole)/2], 0o600))
		_, err := m.env.ExecuteActivity(m.acts.EndBenchmark, activities.EndBenchmarkInput{RunID: "r1"})
		require.NoError(t, err)
		require.Equal(t, []string{"", "r1"}, m.lines())
	})
	t.Run("just before its end", func(t *testing.T) {
		require.NoError(t, os.WriteFile(m.file, whole[:len(whole)-1], 0o600))
		_, err := m.env.ExecuteActivity(m.acts.EndBenchmark, activities.EndBenchmarkInput{RunID: "r1"})
		require.NoError(t, err)
		require.Equal(t, []string{"r1"}, m.lines())
	})
}

func TestAModelThatBecameWorseIsMarked(t *testing.T) {
	m := startMeasuring(t)
	hash := m.keep(60)
	require.Empty(t, m.measure("r1", hash, began, 60, map[string]int{"custom": 55, "gemini": 50}, false).Regressions, "there is no run before")
	require.Empty(t, m.measure("r2", hash, began.Add(time.Hour), 60, map[string]int{"custom": 54, "gemini": 50}, false).Regressions, "one case is chance")
	outcome := m.measure("r3", hash, began.Add(2*time.Hour), 60, map[string]int{"custom": 30, "gemini": 50}, false)
	require.Equal(t, []string{"custom"}, outcome.Regressions)
	row, err := m.rows.Run(t.Context(), "r3")
	require.NoError(t, err)
	var run benchmark.Run
	require.NoError(t, json.Unmarshal(row.Summary, &run))
	require.Equal(t, "r2", run.Changes.Before)
	require.Equal(t, "custom", run.Changes.Worse()[0].Model)
}

func TestTheBestModelIsPromotedWithItsEvidenceAndBackAgain(t *testing.T) {
	m := startMeasuring(t)
	_, err := m.rows.Start(t.Context(), "gemini", store.Route{Active: "gemini"})
	require.NoError(t, err)
	hash := m.keep(60)
	active := func() string {
		route, err := m.rows.Route(t.Context())
		require.NoError(t, err)
		return route.Active
	}
	require.Empty(t, m.measure("r0", hash, began, 60, map[string]int{"custom": 60, "gemini": 40}, false).Promoted, "it was not asked to")
	require.Equal(t, "gemini", active())

	require.Equal(t, "custom", m.measure("r1", hash, began.Add(time.Hour), 60, map[string]int{"custom": 60, "gemini": 40}, true).Promoted)
	require.Equal(t, "custom", active())
	require.Empty(t, m.measure("r2", hash, began.Add(2*time.Hour), 60, map[string]int{"custom": 58, "gemini": 60}, true).Promoted, "chance switches nothing")
	require.Equal(t, "gemini", m.measure("r3", hash, began.Add(3*time.Hour), 60, map[string]int{"custom": 20, "gemini": 60}, true).Promoted)
	require.Equal(t, "gemini", active())
	require.Empty(t, m.measure("r4", hash, began.Add(4*time.Hour), 60, map[string]int{"custom": 20, "gemini": 20}, true).Promoted, "neither meets the objective")

	audit, err := m.rows.Audit(t.Context(), 10)
	require.NoError(t, err)
	var switches []store.AuditEntry
	for _, entry := range audit {
		if entry.Action == "route.switch" {
			switches = append(switches, entry)
		}
	}
	require.Len(t, switches, 2, "each change stands there once")
	require.Equal(t, "benchmark", switches[0].Actor)
	var route store.Route
	require.NoError(t, json.Unmarshal(switches[1].After, &route))
	require.Contains(t, route.Reason, "Run r1 of suite own")
	require.Contains(t, route.Reason, "custom meets the objective")
}

func TestARunBegins(t *testing.T) {
	m := startMeasuring(t)
	begin := func(in activities.BeginBenchmarkInput) activities.BeginBenchmarkOutput {
		in.At, in.Models = began, []string{"custom", "gemini", "qlora"}
		return twice[activities.BeginBenchmarkOutput](m, m.acts.BeginBenchmark, in)
	}
	out := begin(activities.BeginBenchmarkInput{RunID: "r1", Suite: "smoke", Cause: "schedule"})
	require.Equal(t, 24, out.Cases)
	require.Equal(t, "smoke", out.Name)
	require.Equal(t, map[string]activities.BenchmarkPrice{"gemini": {Prompt: 1000, Completion: 2000}}, out.Prices, "hardware is paid by the hour, not by the call")
	runs, err := m.rows.Runs(t.Context(), "", false, 10)
	require.NoError(t, err)
	require.Len(t, runs, 1)

	t.Run("after so many chats, once", func(t *testing.T) {
		for i := range 3 {
			require.NoError(t, m.rows.RecordUsage(t.Context(), store.Usage{TurnID: fmt.Sprint(i), Tenant: "a", Model: "m", Outcome: "ok", At: time.Now()}))
		}
		last := int64(0)
		require.False(t, begin(activities.BeginBenchmarkInput{RunID: "r2", Suite: "smoke", Cause: "requests", AfterChats: &last}).NotDue)
		require.True(t, begin(activities.BeginBenchmarkInput{RunID: "r3", Suite: "smoke", Cause: "requests", AfterChats: &last}).NotDue)
		_, err := m.rows.Run(t.Context(), "r3")
		require.ErrorIs(t, err, store.ErrNoRun)
		_, benchmarked, err := m.rows.Chats(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 3, benchmarked)
	})
	t.Run("not on a suite that nobody knows", func(t *testing.T) {
		_, err := m.env.ExecuteActivity(m.acts.BeginBenchmark, activities.BeginBenchmarkInput{RunID: "r4", Suite: "nothing", At: began})
		var app *temporal.ApplicationError
		require.ErrorAs(t, err, &app)
		require.True(t, app.NonRetryable())
		require.Contains(t, app.Message(), `there is no suite "nothing"`)
	})
}

func TestLongCasesComeAFewAtATime(t *testing.T) {
	m := startMeasuring(t)
	var lines strings.Builder
	for i := range 9 {
		fmt.Fprintf(&lines, `{"vars":{"message":"%s %d"},"assert":[{"type":"contains","value":"a"}]}`+"\n", strings.Repeat("a", 100<<10), i)
	}
	suite, err := benchmark.Load(fstest.MapFS{"own.jsonl": {Data: []byte(lines.String())}}, "own.jsonl")
	require.NoError(t, err)
	bodies, err := activities.CaseBodies(suite)
	require.NoError(t, err)
	require.NoError(t, m.rows.KeepSuite(t.Context(), suite.Hash, suite.Name, bodies))
	seen := map[int]bool{}
	for from := 0; from < 9; {
		calls := twice[[]activities.BenchmarkCall](m, m.acts.LoadCases, activities.LoadCasesInput{Suite: suite.Hash, Cases: 9, From: from, Count: 9 - from})
		require.NotEmpty(t, calls)
		require.LessOrEqual(t, len(calls), 2)
		for _, call := range calls {
			seen[call.Position] = true
		}
		from += len(calls)
	}
	require.Len(t, seen, 9)
}
