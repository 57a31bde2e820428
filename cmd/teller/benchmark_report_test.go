package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/benchmark"
	"teller/store"
)

// serveAPI plays the API for commands.
func serveAPI(t *testing.T, handler http.HandlerFunc) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Setenv("TELLER_API_URL", server.URL)
}

func TestAReportIsWrittenAsTheAPIGivesIt(t *testing.T) {
	serveAPI(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/benchmark/runs/r1":
			fmt.Fprint(w, "as "+r.URL.Query().Get("format"))
		case "/benchmark/runs/cut":
			fmt.Fprint(w, "half of")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"error":{"message":"the run has not ended","code":"not_ended"}}`)
		}
	})
	out := filepath.Join(t.TempDir(), "run.out")
	for format, asked := range map[string]string{"md": "markdown", "markdown": "markdown", "csv": "csv", "junit": "junit", "html": "html"} {
		require.NoError(t, reportBenchmarkCmd{ID: "r1", Format: format, Out: out}.Run(t.Context()))
		text, err := os.ReadFile(out)
		require.NoError(t, err)
		require.Equal(t, "as "+asked, string(text))
	}
	require.NoError(t, os.Remove(out))
	require.ErrorContains(t, reportBenchmarkCmd{ID: "open", Format: "csv", Out: out}.Run(t.Context()), "the run has not ended")
	require.Error(t, reportBenchmarkCmd{ID: "cut", Format: "csv", Out: out}.Run(t.Context()))
	require.NoFileExists(t, out, "a part is not taken for the whole")
}

func TestTheGateFailsWhereAModelBecameWorse(t *testing.T) {
	shown := func(id string, right int) shownRun {
		var rows []benchmark.CaseResult
		for i := range 60 {
			rows = append(rows, benchmark.CaseResult{RunID: id, Model: "custom", CaseID: fmt.Sprint("c", i), Family: fmt.Sprint("f", i), Pass: i < right})
		}
		at := time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
		run, err := benchmark.Summarise(benchmark.Run{ID: id, Suite: "own", SuiteHash: "hash", Started: at, Ended: at.Add(time.Minute)}, benchmark.RowsOf(rows), nil)
		require.NoError(t, err)
		summary, err := json.Marshal(run)
		require.NoError(t, err)
		return shownRun{Run: store.BenchmarkRun{ID: id, SuiteHash: "hash", StartedAt: at, EndedAt: at.Add(time.Minute), Summary: summary}, Results: rows}
	}
	runs := map[string]shownRun{"/benchmark/runs/good": shown("good", 55), "/benchmark/runs/same": shown("same", 54), "/benchmark/runs/bad": shown("bad", 30)}
	serveAPI(t, func(w http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(w).Encode(runs[r.URL.Path]) })
	require.NoError(t, compareBenchmarkCmd{Before: "good", After: "same"}.Run(t.Context()))
	require.NoError(t, compareBenchmarkCmd{Before: "bad", After: "good"}.Run(t.Context()))
	require.Equal(t, exitCode(1), compareBenchmarkCmd{Before: "good", After: "bad"}.Run(t.Context()))
}
