package benchmark

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/llm"
	"teller/prices"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// rowsOf makes rows of n cases in families of 2 and two categories; right tells which ones a model gets right.
func rowsOf(model string, n int, ok func(i int) bool) []CaseResult {
	var rows []CaseResult
	for i := range n {
		rows = append(rows, CaseResult{
			RunID: "run", Model: model, CaseID: fmt.Sprintf("case-%d", i), Family: fmt.Sprintf("family-%d", i/2),
			Category: []string{"even", "odd"}[i%2], Pass: ok(i), EndToEndMS: float64(100 + i),
		})
	}
	return rows
}

func TestSummarise(t *testing.T) {
	rows := rowsOf("a", 10, func(i int) bool { return i < 8 })
	for i := range rows {
		rows[i].Confidence, rows[i].CostNanoUSD = ptr(0.8), ptr(int64(2_000_000))
		rows[i].TimeToFirstTokenMS, rows[i].InterTokenMS = ptr(10.0), ptr(2.0)
		rows[i].Usage = llm.Usage{PromptTokens: 100, CompletionTokens: 10}
	}
	rows[0].ErrorCode, rows[1].ErrorCode = llm.Refused, llm.Timeout
	run := Run{ID: "run", Started: noon, Ended: noon.Add(time.Minute), Models: map[string]ModelResult{
		"a": {Status: OK}, "b": {Status: Unavailable, Reason: "no key"},
	}}
	run, err := Summarise(run, RowsOf(rows), nil)
	require.NoError(t, err)
	a := run.Models["a"]
	require.Equal(t, 10, a.Cases)
	require.Equal(t, 7, a.Accuracy.Count, "a timeout is no answer, a blocked reply is one")
	require.Equal(t, 9, a.Accuracy.N)
	require.Equal(t, 5, a.Accuracy.Families)
	require.Equal(t, 1, a.Failures.Count)
	require.Equal(t, 10, a.Failures.N)
	require.Equal(t, map[llm.Code]int{llm.Timeout: 1}, a.ErrorCodes)
	require.Equal(t, 1, a.Blocked)
	require.Equal(t, 5, a.Categories["even"].N)
	require.Equal(t, 4, a.Categories["odd"].N)
	require.Equal(t, 9, a.Latency.EndToEnd.N)
	require.Equal(t, 105.0, a.Latency.EndToEnd.P50)
	require.Equal(t, 10.0, a.Latency.TimeToFirstToken.P99)
	require.Equal(t, 2.0, a.Latency.InterToken.P50)
	require.InDelta(t, 0.8, *a.Confidence, 1e-12)
	require.InDelta(t, 0.8-7.0/9, a.Calibration.ECE, 1e-6)
	require.InDelta(t, (7*0.04+2*0.64)/9, a.Calibration.Brier, 1e-6)
	require.EqualValues(t, 1000, a.PromptTokens)
	require.Equal(t, ByTokens, a.Cost.Basis)
	require.InDelta(t, 0.02, *a.Cost.TotalUSD, 1e-12, "the failed call was charged too")
	require.InDelta(t, 1000*0.02/9, *a.Cost.PerThousandUSD, 1e-12)
	require.InDelta(t, 0.02/7, *a.Cost.PerCorrectUSD, 1e-12)

	b := run.Models["b"]
	require.Equal(t, Unavailable, b.Status)
	require.Zero(t, b.Cases)
	require.Nil(t, b.Accuracy.Value)
	require.Equal(t, "a", run.Winner.Model)
	require.Empty(t, run.Winner.RunnerUp)
	require.Empty(t, run.Comparisons)
}

func TestCostOfHardwareIsSpreadByThroughput(t *testing.T) {
	table, err := prices.Parse([]byte("- {model: own, from: 2026-01-01, per_hour: 1.20}"))
	require.NoError(t, err)
	run := Run{Started: noon, Models: map[string]ModelResult{
		"own":   {Status: OK, Started: noon, Ended: noon.Add(5 * time.Minute)},
		"other": {Status: OK},
	}}
	rows := rowsOf("own", 50, func(i int) bool { return i < 40 })
	run, err = Summarise(run, RowsOf(append(rows, rowsOf("other", 1, func(int) bool { return true })...)), table)
	require.NoError(t, err)
	c := run.Models["own"].Cost
	// Five minutes of 1.20 USD an hour are 0.10 USD for 50 turns, 40 of them right; 600 turns an hour.
	require.Equal(t, ByHardware, c.Basis)
	require.InDelta(t, 0.10, *c.TotalUSD, 1e-12)
	require.InDelta(t, 2.0, *c.PerThousandUSD, 1e-12)
	require.InDelta(t, 0.0025, *c.PerCorrectUSD, 1e-12)
	require.InDelta(t, 600, *c.TurnsPerHour, 1e-9)
	require.Equal(t, Cost{}, run.Models["other"].Cost, "no price, no cost")
}

func TestSummariseRefusesASecondResult(t *testing.T) {
	rows := rowsOf("a", 2, func(int) bool { return true })
	_, err := Summarise(Run{}, RowsOf(append(rows, rows[1])), nil)
	require.ErrorContains(t, err, `two results of the case "case-1" and the model "a"`)
	broken := errors.New("disk")
	_, err = Summarise(Run{}, func(yield func(CaseResult, error) bool) { yield(CaseResult{}, broken) }, nil)
	require.ErrorIs(t, err, broken)
}

// threeModels has a good, an almost as good and a bad model, all on 200 cases.
func threeModels(t *testing.T) (Run, []CaseResult) {
	t.Helper()
	rows := rowsOf("good", 200, func(i int) bool { return i%20 != 0 })
	rows = append(rows, rowsOf("close", 200, func(i int) bool { return i%20 != 0 && i != 11 })...)
	rows = append(rows, rowsOf("bad", 200, func(i int) bool { return i%3 != 0 })...)
	run, err := Summarise(Run{ID: "run", Suite: "s", SuiteHash: "h", Seed: 1}, RowsOf(rows), nil)
	require.NoError(t, err)
	return run, rows
}

func TestWinner(t *testing.T) {
	run, _ := threeModels(t)
	require.Len(t, run.Comparisons, 3)
	lead, ok := Winner(run)
	require.True(t, ok)
	require.Equal(t, "good", lead.Model)
	require.Equal(t, "close", lead.RunnerUp)
	require.False(t, lead.Significant)
	require.Contains(t, lead.Evidence, "good answered 95.0% of 200 cases right")
	require.Contains(t, lead.Evidence, "The lead over close is not significant.")

	_, rows := threeModels(t)
	two, err := Summarise(Run{}, func(yield func(CaseResult, error) bool) {
		for _, r := range rows {
			if r.Model != "close" && !yield(r, nil) {
				return
			}
		}
	}, nil)
	require.NoError(t, err)
	require.True(t, two.Winner.Significant)
	require.Contains(t, two.Winner.Evidence, "points more than bad on the same 200 cases")

	_, ok = Winner(Run{})
	require.False(t, ok)
}

func TestAStoppedModelDoesNotWin(t *testing.T) {
	rows := append(rowsOf("half", 10, func(int) bool { return true }), rowsOf("whole", 20, func(i int) bool { return i > 3 })...)
	run, err := Summarise(Run{Models: map[string]ModelResult{"half": {Status: Stopped, Reason: "the cap on cost"}}}, RowsOf(rows), nil)
	require.NoError(t, err)
	require.Equal(t, "whole", run.Winner.Model)
	require.Equal(t, 10, run.Comparisons[0].Cases, "they are compared on the cases that both answered")
}

func TestRunAsALine(t *testing.T) {
	run := Run{ID: "r1", Started: noon, Ended: noon.Add(time.Hour), RequestCount: 150, Models: map[string]ModelResult{
		"a": {Status: OK}, "b": {Status: Unavailable, Reason: "no key"},
	}}
	rows := rowsOf("a", 4, func(int) bool { return true })
	rows[0].Confidence = ptr(0.5)
	run, err := Summarise(run, RowsOf(rows), nil)
	require.NoError(t, err)
	line, err := json.Marshal(run)
	require.NoError(t, err)
	require.NotContains(t, string(line), "\n")

	// The shape that readers of benchmark_results.jsonl rely on.
	var old struct {
		Timestamp    time.Time `json:"timestamp"`
		RequestCount int       `json:"request_count"`
		Models       map[string]map[string]any
	}
	require.NoError(t, json.Unmarshal(line, &old))
	require.Equal(t, noon.Add(time.Hour), old.Timestamp)
	require.Equal(t, 150, old.RequestCount)
	a, b := old.Models["a"], old.Models["b"]
	require.Equal(t, []any{"ok", 101.5, 0.5, nil}, []any{a["status"], a["avg_latency_ms"], a["confidence"], a["error"]})
	require.Equal(t, []any{"unavailable", nil, nil, "no key"}, []any{b["status"], b["avg_latency_ms"], b["confidence"], b["error"]})

	runs, err := ReadRuns(bytes.NewReader(append(line, "\n\n"+`{"timestamp":"2025-01-02T03:04:05Z","request_count":50,"models":{"a":{"status":"ok","avg_latency_ms":3.5,"confidence":null,"error":null}}}`...)), "f")
	require.NoError(t, err)
	require.Equal(t, run, runs[0])
	require.Equal(t, 2025, runs[1].Ended.Year(), "lines of others are read too")
	require.Equal(t, 3.5, *runs[1].Models["a"].AverageLatencyMS)

	_, err = ReadRuns(strings.NewReader("{}\n{"), "results.jsonl")
	require.ErrorContains(t, err, "results.jsonl:2: not a benchmark run")
}

func TestCompare(t *testing.T) {
	before, rowsBefore := threeModels(t)
	before.ID = "before"
	rowsAfter := rowsOf("good", 200, func(i int) bool { return i%4 != 0 })                        // worse
	rowsAfter = append(rowsAfter, rowsOf("close", 200, func(i int) bool { return i%20 != 0 })...) // one case more
	rowsAfter = append(rowsAfter, rowsOf("bad", 200, func(i int) bool { return i%3 != 0 })...)
	for i := range rowsAfter[400:430] {
		rowsAfter[400+i].ErrorCode = llm.Unavailable
	}
	after, err := Summarise(Run{ID: "after", SuiteHash: "h", Seed: 1, Models: map[string]ModelResult{"new": {Status: OK}}}, RowsOf(rowsAfter), nil)
	require.NoError(t, err)

	verdicts := func(c Changes) map[string]Verdict {
		out := map[string]Verdict{}
		for _, m := range c.Models {
			out[m.Model+" "+m.Measure] = m.Verdict
		}
		return out
	}
	want := map[string]Verdict{
		"good accuracy": Worse, "good failures": Unchanged, "close accuracy": Unchanged, "close failures": Unchanged,
		"bad accuracy": Unchanged, "bad failures": Worse,
	}

	c, err := Compare(before, after, RowsOf(rowsBefore), RowsOf(rowsAfter))
	require.NoError(t, err)
	require.True(t, c.SameSuite)
	require.Equal(t, want, verdicts(c))
	require.Equal(t, MethodPaired, c.Models[0].Method)
	require.Equal(t, map[string]string{"new": "it is not in run before"}, c.NotCompared)
	require.Equal(t, ExitWorse, c.ExitCode())
	for _, m := range c.Models {
		if m.Model == "good" && m.Measure == MeasureAccuracy {
			require.InDelta(t, 0.75-0.95, m.Difference, 1e-12)
			require.Less(t, m.Interval.High, 0.0)
		}
	}

	c, err = Compare(after, before, RowsOf(rowsAfter), RowsOf(rowsBefore))
	require.NoError(t, err)
	require.Equal(t, Better, verdicts(c)["good accuracy"])
	require.Equal(t, Better, verdicts(c)["bad failures"])
	require.Equal(t, ExitNoneWorse, c.ExitCode())

	after.SuiteHash = "other"
	c, err = Compare(before, after, RowsOf(rowsBefore), RowsOf(rowsAfter))
	require.NoError(t, err)
	require.False(t, c.SameSuite)
	require.Equal(t, MethodProportions, c.Models[0].Method)
	require.Equal(t, want, verdicts(c))

	c, err = Compare(before, Run{ID: "none", Models: map[string]ModelResult{"good": {Status: Unavailable}}}, nil, nil)
	require.NoError(t, err)
	require.Equal(t, ExitNoEvidence, c.ExitCode())
	require.Equal(t, "it was unavailable in run none", c.NotCompared["good"])
}

func TestPromote(t *testing.T) {
	run, _ := threeModels(t)
	for _, c := range []struct {
		name      string
		objective Objective
		active    string
		model     string
		evidence  string
	}{
		{"the best where none is active", Objective{}, "", "good", "good is the most accurate of those that meet it"},
		{"one that was not measured is not worse", Objective{}, "another", "", "another is active and stays: it is not in this run"},
		{"the active one is the best", Objective{}, "good", "", "good is active and the most accurate"},
		{"chance does not switch", Objective{}, "close", "", "close is active and stays: the lead of good is not significant"},
		{"evidence switches", Objective{}, "bad", "good", "good is more accurate than bad, which is active, by 28.5 points on 200 cases"},
		{"the active one misses the objective", Objective{MinAccuracy: ptr(0.948)}, "close", "good", "close does not: accuracy 0.945 where 0.948 is asked for"},
		{"nobody is quick enough", Objective{MaxP90LatencyMS: ptr(100.0)}, "bad", "", "no model can be promoted"},
		{"an unknown cost is not a low one", Objective{MaxCostPerThousandUSD: ptr(5.0)}, "bad", "", "cost of 1,000 turns in USD is not known"},
		{"failures count", Objective{MaxFailures: ptr(0.01)}, "good", "", "good is active"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Promote(run, c.objective, c.active)
			require.Equal(t, c.model, p.Model, p.Evidence)
			require.Contains(t, p.Evidence, c.evidence)
		})
	}
	run.Models["good"] = ModelResult{Status: Stopped, Reason: "the cap on time"}
	p := Promote(run, Objective{}, "bad")
	require.Equal(t, "close", p.Model)
	require.Contains(t, p.Evidence, "good does not: it was stopped (the cap on time)")
}

func TestCasesSurviveJSON(t *testing.T) {
	s, err := Shipped("smoke")
	require.NoError(t, err)
	for _, c := range s.Cases {
		data, err := json.Marshal(c)
		require.NoError(t, err)
		var back Case
		require.NoError(t, json.Unmarshal(data, &back))
		want := mustGrade(t, c, Reply{Text: c.Message, EndToEndMS: 5})
		require.Equal(t, want, mustGrade(t, back, Reply{Text: c.Message, EndToEndMS: 5}))
	}
}

func TestSummariseManyRowsInLittleMemory(t *testing.T) {
	const n = 100_000
	before, grown := heap(), uint64(0)
	run, err := Summarise(Run{}, func(yield func(CaseResult, error) bool) {
		row := CaseResult{Category: "c", Confidence: ptr(0.5), TimeToFirstTokenMS: ptr(1.0), InterTokenMS: ptr(1.0)}
		for _, row.Model = range []string{"a", "b", "c"} {
			for i := range n {
				row.CaseID, row.Family, row.Pass, row.EndToEndMS = strconv.Itoa(i), strconv.Itoa(-i/4), i%7 != 0, float64(i%1000)
				row.Reply = strings.Repeat("x", 200)
				if !yield(row, nil) {
					return
				}
			}
		}
		grown = heap() - before
	}, nil)
	require.NoError(t, err)
	require.Less(t, grown, uint64(40<<20), "300,000 rows of 200 bytes of text each")
	require.Equal(t, n, run.Models["a"].Cases)
	require.Len(t, run.Comparisons, 3)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
