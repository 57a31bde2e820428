package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/benchmark"
	"teller/store"
	"teller/workflows"
)

// startBenchmark posts a body to POST /benchmark/run.
func (f *fixture) startBenchmark(t testing.TB, body string, headers ...string) reply {
	t.Helper()
	return f.do(t, http.MethodPost, "/benchmark/run", body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

// ofBenchmarks gives an API with a store, which starts smoke on custom and qlora where nothing else is said.
func ofBenchmarks(t *testing.T) (*fixture, *store.Store) {
	f := start(t)
	return f, f.keep(t)
}

const ownCase = `- vars: {message: How do I block my card?}\n  assert: [{type: icontains, value: block}]\n`

func TestABenchmarkIsStarted(t *testing.T) {
	f, rows := ofBenchmarks(t)
	got := f.startBenchmark(t, `{}`)
	require.Equal(t, http.StatusAccepted, got.status)
	require.JSONEq(t, `{"run_id":"run-api","status":"started","suite":"smoke"}`, string(got.body))
	in := f.turns.benchmarks[0]
	require.Equal(t, "smoke", in.Suite)
	require.Equal(t, "api", in.Cause)
	require.Len(t, in.Models, 2)
	require.True(t, in.Promote)

	got = f.startBenchmark(t, `{"suite":"banking","models":["gemini"],"seed":18446744073709551615,"concurrency":100}`)
	require.JSONEq(t, `{"run_id":"run-api","status":"running","suite":"banking"}`, string(got.body), "one run at a time")
	in = f.turns.benchmarks[1]
	require.Equal(t, []workflows.Target{{Model: "gemini", Queue: workflows.QueueMain}}, in.Models)
	require.Equal(t, uint64(1<<64-1), in.Seed)
	require.Equal(t, 100, in.Concurrency)
	require.False(t, in.Promote, "only the configured suite decides who answers")

	t.Run("on a suite of the caller's", func(t *testing.T) {
		got := f.startBenchmark(t, `{"suite":"cards","files":{"cards.yaml":"`+ownCase+`"}}`)
		require.Equal(t, http.StatusAccepted, got.status, "%s", got.body)
		var started struct {
			Hash string `json:"suite_hash"`
		}
		require.NoError(t, json.Unmarshal(got.body, &started))
		name, cases, err := rows.Suite(t.Context(), started.Hash)
		require.NoError(t, err)
		require.Equal(t, "cards", name)
		require.Equal(t, 1, cases)
		require.Equal(t, started.Hash, f.turns.benchmarks[2].Suite)

		got = f.startBenchmark(t, `{"suite":"`+started.Hash+`"}`)
		require.Equal(t, http.StatusAccepted, got.status, "its hash names it from then on")
		require.Contains(t, string(got.body), `"suite":"cards"`)
	})
	t.Run("with a model that grades", func(t *testing.T) {
		const rubric = `- vars: {message: Help!}\n  assert: [{type: llm-rubric, value: is kind}]\n`
		got := f.startBenchmark(t, `{"suite":"kind","judge":"gemini","files":{"kind.yaml":"`+rubric+`"}}`)
		require.Equal(t, http.StatusAccepted, got.status, "%s", got.body)
		in := f.turns.benchmarks[len(f.turns.benchmarks)-1]
		require.Equal(t, &workflows.Target{Model: "gemini", Queue: workflows.QueueMain}, in.Judge)
		f.startBenchmark(t, `{"suite":"`+in.Suite+`","judge":"gemini"}`)
		e := f.startBenchmark(t, `{"suite":"`+in.Suite+`"}`).requireError(t, http.StatusBadRequest, "invalid_request")
		require.Equal(t, "judge", e.Param)
	})
}

func TestABadBenchmarkIsRefused(t *testing.T) {
	f, _ := ofBenchmarks(t)
	for _, c := range []struct{ name, body, param, says string }{
		{"an unknown suite", `{"suite":"nothing"}`, "suite", `there is no suite "nothing"`},
		{"a suite without a name", `{"suite":""}`, "suite", "must be the name of a suite"},
		{"a long name", `{"suite":"` + strings.Repeat("s", 1<<20) + `"}`, "suite", "must be the name of a suite"},
		{"an unknown model", `{"models":["gpt"]}`, "models", `"gpt" is not`},
		{"a model twice", `{"models":["qlora","qlora"]}`, "models", "each once"},
		{"models in one word", `{"models":"qlora"}`, "models", "must be a list"},
		{"an unknown judge", `{"judge":"gpt"}`, "judge", "must be the name of a configured model"},
		{"concurrency 0", `{"concurrency":0}`, "concurrency", "from 1 to 100"},
		{"concurrency 1e9", `{"concurrency":1000000000}`, "concurrency", "from 1 to 100"},
		{"concurrency -1", `{"concurrency":-1}`, "concurrency", "from 1 to 100"},
		{"seed -1", `{"seed":-1}`, "seed", "seed must be"},
		{"an unknown field", `{"suit":"smoke"}`, "suit", "there is no field"},
		{"no JSON", `suite: smoke`, "", "must be a JSON object"},
		{"files that are no files", `{"files":{"a.yaml":5}}`, "files", "must be"},
		{"no suite file", `{"files":{"readme.md":"hello"}}`, "files", "no suite files"},
		{"a path out of the suite", `{"files":{"../../etc/passwd.yaml":"` + ownCase + `"}}`, "files", "is no name of a file"},
		{"an absolute path", `{"files":{"/cards.yaml":"` + ownCase + `"}}`, "files", "is no name of a file"},
		{"a file without a name", `{"files":{"":"` + ownCase + `"}}`, "files", "is no name of a file"},
		{"an empty file", `{"files":{"cards.yaml":""}}`, "files", ""},
		{"broken YAML", `{"files":{"deep/cards.yaml":"` + ownCase + `- vars: {message: [}"}}`, "files", "deep/cards.yaml:3"},
		{"an unknown check", `{"files":{"cards.yaml":"- vars: {message: a}\n  assert: [{type: telepathy}]\n"}}`, "files", "cards.yaml:2"},
		{"a broken line", `{"files":{"cards.jsonl":"{\"vars\":{\"message\":\"a\"},\"assert\":[{\"type\":\"icontains\",\"value\":\"a\"}]}\n{\"vars\""}}`, "files", "cards.jsonl:2"},
		{"only rubrics", `{"files":{"cards.yaml":"- vars: {message: a}\n  assert: [{type: llm-rubric, value: kind}]\n"}}`, "files", "a model must grade"},
		{"a case that no workflow carries", `{"files":{"cards.yaml":"- vars: {message: ` + strings.Repeat("a", 300<<10) + `}\n  assert: [{type: icontains, value: a}]\n"}}`, "files", "cards.yaml:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := f.startBenchmark(t, c.body).requireError(t, http.StatusBadRequest, "invalid_request")
			require.Contains(t, e.Message, c.says)
			if c.param == "" {
				require.Nil(t, e.Param)
			} else {
				require.Equal(t, c.param, e.Param)
			}
		})
	}
	t.Run("a body of 10 MB", func(t *testing.T) {
		f.startBenchmark(t, `{"suite":"`+strings.Repeat("s", 10<<20)+`"}`).requireError(t, http.StatusRequestEntityTooLarge, "body_too_large")
	})
	t.Run("a form", func(t *testing.T) {
		f.do(t, http.MethodPost, "/benchmark/run", "suite=smoke", "Content-Type", "application/x-www-form-urlencoded").
			requireError(t, http.StatusUnsupportedMediaType, "unsupported_media_type")
	})
	t.Run("a page of another site", func(t *testing.T) {
		f.startBenchmark(t, `{}`, "Origin", "https://elsewhere.example").requireError(t, http.StatusForbidden, "cross_origin")
	})
	require.Empty(t, f.turns.benchmarks, "nothing was started")
}

func TestOnlyAnAdminStartsABenchmark(t *testing.T) {
	f, rows := ofBenchmarks(t)
	_, header := key(t, rows, store.Key{Tenant: "retail", Role: store.RoleChat})
	f.startBenchmark(t, `{}`).requireError(t, http.StatusUnauthorized, "invalid_api_key")
	f.startBenchmark(t, `{}`, header...).requireError(t, http.StatusForbidden, "admin_key_required")
	require.Equal(t, http.StatusOK, f.do(t, http.MethodGet, "/benchmark/summary", "", header...).status)
	f.get(t, "/benchmark/runs").requireError(t, http.StatusUnauthorized, "invalid_api_key")
	_, admin := key(t, rows, store.Key{Tenant: "ops", Role: store.RoleAdmin})
	require.Equal(t, http.StatusAccepted, f.startBenchmark(t, `{}`, admin...).status)
}

// keepRun stores a run in which custom answers right of n cases, and gemini none.
func keepRun(t *testing.T, rows *store.Store, id string, at time.Time, n, right int) benchmark.Run {
	t.Helper()
	require.NoError(t, rows.BeginRun(t.Context(), store.BenchmarkRun{ID: id, Suite: "own", SuiteHash: "hash", Cause: "schedule", StartedAt: at}))
	var results []benchmark.CaseResult
	var kept []store.CaseRow
	for i := range n {
		for _, model := range []string{"custom", "gemini"} {
			r := benchmark.CaseResult{RunID: id, Model: model, CaseID: fmt.Sprintf("c%03d", i), Category: "intent", Family: fmt.Sprint("f", i), EndToEndMS: 20, Reply: "so"}
			r.Pass = model == "custom" && i < right
			body, err := json.Marshal(r)
			require.NoError(t, err)
			results = append(results, r)
			kept = append(kept, store.CaseRow{Model: model, CaseID: r.CaseID, Body: body})
		}
	}
	require.NoError(t, rows.KeepResults(t.Context(), id, kept))
	run, err := benchmark.Summarise(benchmark.Run{ID: id, Suite: "own", SuiteHash: "hash", Trigger: "schedule", Started: at, Ended: at.Add(time.Minute), RequestCount: 50,
		Models: map[string]benchmark.ModelResult{"custom": {Status: benchmark.OK}, "gemini": {Status: benchmark.OK}, "qlora": {Status: benchmark.Unavailable, Reason: "down"}}},
		benchmark.RowsOf(results), nil)
	require.NoError(t, err)
	return run
}

func endRun(t *testing.T, rows *store.Store, run benchmark.Run) {
	t.Helper()
	summary, err := json.Marshal(run)
	require.NoError(t, err)
	_, err = rows.EndRun(t.Context(), run.ID, run.Ended, summary)
	require.NoError(t, err)
}

func TestRunsAreShown(t *testing.T) {
	f, rows := ofBenchmarks(t)
	f.get(t, "/benchmark/summary").requireJSON(t, `{"latest":null,"running":[],"significant":false,"regressions":[],"trend":[]}`)
	f.get(t, "/benchmark/runs").requireJSON(t, `{"runs":[]}`)

	at := time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	before := keepRun(t, rows, "r1", at, 60, 55)
	endRun(t, rows, before)
	after := keepRun(t, rows, "r2", at.Add(time.Hour), 60, 30)
	changes, err := benchmark.Compare(before, after, nil, nil)
	require.NoError(t, err)
	after.Changes = &changes
	endRun(t, rows, after)
	keepRun(t, rows, "r3", at.Add(2*time.Hour), 5, 5)

	var summary struct {
		Latest      struct{ ID, Timestamp string }
		Running     []store.BenchmarkRun
		Winner      string
		Significant bool
		Regressions []string
		Trend       []struct {
			RunID  string `json:"run_id"`
			Models map[string]struct {
				Status   string
				Accuracy *float64
			}
		}
	}
	got := f.get(t, "/benchmark/summary")
	require.Equal(t, http.StatusOK, got.status)
	require.NoError(t, json.Unmarshal(got.body, &summary))
	require.Equal(t, "r2", summary.Latest.ID)
	require.Equal(t, "custom", summary.Winner)
	require.True(t, summary.Significant)
	require.Equal(t, []string{"custom"}, summary.Regressions)
	require.Len(t, summary.Running, 1)
	require.Equal(t, "r3", summary.Running[0].ID)
	require.Len(t, summary.Trend, 2)
	require.Equal(t, "r1", summary.Trend[1].RunID)
	require.InDelta(t, 0.5, *summary.Trend[0].Models["custom"].Accuracy, 1e-9)
	require.Nil(t, summary.Trend[0].Models["qlora"].Accuracy)

	var list struct{ Runs []store.BenchmarkRun }
	require.NoError(t, json.Unmarshal(f.get(t, "/benchmark/runs?limit=2").body, &list))
	require.Len(t, list.Runs, 2)
	require.Equal(t, "r3", list.Runs[0].ID)
	for _, limit := range []string{"0", "101", "x", "1e1"} {
		f.get(t, "/benchmark/runs?limit="+limit).requireError(t, http.StatusBadRequest, "invalid_request")
	}

	var run struct {
		Run      store.BenchmarkRun
		Recorded map[string]int
		Results  []benchmark.CaseResult
	}
	require.NoError(t, json.Unmarshal(f.get(t, "/benchmark/runs/r2").body, &run))
	require.Equal(t, map[string]int{"custom": 60, "gemini": 60}, run.Recorded)
	require.Len(t, run.Results, 120)
	require.NoError(t, json.Unmarshal(f.get(t, "/benchmark/runs/r2?model=custom").body, &run))
	require.Len(t, run.Results, 60)
	require.NotContains(t, string(f.get(t, "/benchmark/runs/r2?results=false").body), "results")
	require.NoError(t, json.Unmarshal(f.get(t, "/benchmark/runs/r3").body, &run))
	require.Len(t, run.Results, 10, "a run that is going on shows what there is")
	f.get(t, "/benchmark/runs/r2?results=some").requireError(t, http.StatusBadRequest, "invalid_request")
	f.get(t, "/benchmark/runs/none").requireError(t, http.StatusNotFound, "not_found")
}

func TestARunIsReported(t *testing.T) {
	f, rows := ofBenchmarks(t)
	question, err := json.Marshal(benchmark.Case{ID: "c003", Message: "How do I block <my> card?"})
	require.NoError(t, err)
	require.NoError(t, rows.KeepSuite(t.Context(), "hash", "own", []json.RawMessage{question}))
	at := time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	endRun(t, rows, keepRun(t, rows, "r0", at.Add(-time.Hour), 4, 4))
	endRun(t, rows, keepRun(t, rows, "r1", at, 4, 3))
	keepRun(t, rows, "r2", at.Add(time.Hour), 4, 3)
	for _, c := range []struct{ format, contentType, says string }{
		{"markdown", "text/markdown; charset=utf-8", "# Benchmark of suite own"},
		{"csv", "text/csv; charset=utf-8", "\nr1,custom,c000,"},
		{"junit", "application/xml; charset=utf-8", "<testsuites>"},
		{"html", "text/html; charset=utf-8", "How do I block &lt;my&gt; card?"},
	} {
		t.Run(c.format, func(t *testing.T) {
			got := f.get(t, "/benchmark/runs/r1?format="+c.format)
			require.Equal(t, http.StatusOK, got.status, "%s", got.body)
			require.Equal(t, c.contentType, got.header.Get("Content-Type"))
			require.Contains(t, got.header.Get("Content-Security-Policy"), "sandbox")
			require.Contains(t, string(got.body), c.says)
			f.get(t, "/benchmark/runs/r2?format="+c.format).requireError(t, http.StatusConflict, "not_ended")
			f.get(t, "/benchmark/runs/none?format="+c.format).requireError(t, http.StatusNotFound, "not_found")
		})
	}
	require.JSONEq(t, string(f.get(t, "/benchmark/runs/r1").body), string(f.get(t, "/benchmark/runs/r1?format=json").body))
	require.NotContains(t, string(f.get(t, "/benchmark/runs/r1?format=csv&model=gemini").body), "custom")
	for _, format := range []string{"pdf", "CSV", "", "../html"} {
		f.get(t, "/benchmark/runs/r1?format="+format).requireError(t, http.StatusBadRequest, "invalid_request")
	}
	t.Run("and cut off where its rows are", func(t *testing.T) {
		f.store.Store = tornStore{rows}
		f.get(t, "/benchmark/runs/r1?format=html").requireError(t, http.StatusServiceUnavailable, "unavailable")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/benchmark/runs/r1?format=csv", nil)
		require.NoError(t, err)
		resp, err := f.client.Do(req)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			require.NoError(t, resp.Body.Close())
		}
		require.Error(t, err, "no part is taken for the whole")
	})
}

// tornStore loses its connection in the middle of a run's results.
type tornStore struct{ *store.Store }

func (s tornStore) Results(ctx context.Context, runID, model string) iter.Seq2[store.CaseRow, error] {
	return func(yield func(store.CaseRow, error) bool) {
		n := 0
		for row, err := range s.Store.Results(ctx, runID, model) {
			if n++; n > 4 {
				yield(store.CaseRow{}, errDown)
				return
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

func (downStore) Runs(context.Context, string, bool, int) ([]store.BenchmarkRun, error) {
	return nil, errDown
}
func (downStore) Run(context.Context, string) (store.BenchmarkRun, error) {
	return store.BenchmarkRun{}, errDown
}
func (downStore) Suite(context.Context, string) (string, int, error) { return "", 0, errDown }
func (downStore) KeepSuite(context.Context, string, string, []json.RawMessage) error {
	return errDown
}

func TestBenchmarksNeedTheStore(t *testing.T) {
	f := start(t)
	f.store.Store = noKeys{}
	for _, path := range []string{"/benchmark/summary", "/benchmark/runs", "/benchmark/runs/r1"} {
		f.get(t, path).requireError(t, http.StatusServiceUnavailable, "unavailable")
	}
	f.startBenchmark(t, `{"suite":"0123"}`).requireError(t, http.StatusServiceUnavailable, "unavailable")
	f.startBenchmark(t, `{"files":{"cards.yaml":"`+ownCase+`"}}`).requireError(t, http.StatusServiceUnavailable, "unavailable")
}

// noKeys is down but for the question whether there are keys.
type noKeys struct{ downStore }

func (noKeys) HasKeys(context.Context) (bool, error) { return false, nil }
