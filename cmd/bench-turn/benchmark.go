package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	workflowservice "go.temporal.io/api/workflowservice/v1"

	"teller/activities"
	"teller/adapters/adaptertest/fakeserver"
	"teller/adapters/vllm"
	"teller/benchmark"
	"teller/config"
	"teller/llm"
	"teller/store"
)

const (
	// casesAtATime is the concurrency of the target.
	casesAtATime = 8
	benchSuite   = "banking"
	benchSeed    = 1
)

// overhead measures what a run of the shipped suite adds to each case, over calling the same model's adapter directly.
func overhead(ctx context.Context, g *gateway, rounds int) error {
	suite, err := benchmark.Shipped(benchSuite)
	if err != nil {
		return err
	}
	g.model.Script(fakeserver.Behaviour{}) // it takes one of the choices, where a case has some
	perCase := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(len(suite.Cases)) }
	processes := []string{"worker", "temporal", "api"}
	fmt.Printf("%d cases, %d at a time, of a model that answers at once; wall time for each case, in ms.\n\n", len(suite.Cases), casesAtATime)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "round\tadapter alone\trun\tadded\t")
	for _, p := range processes {
		fmt.Fprintf(table, "%s CPU\t", p)
	}
	fmt.Fprintln(table)
	var alones, runs, adds []float64
	for round := range rounds + 1 {
		fmt.Fprintf(os.Stderr, "\rround %d of %d", round, rounds)
		alone, err := g.adapterAlone(ctx)
		if err != nil {
			return fmt.Errorf("the adapter: %w", err)
		}
		before := g.cpu()
		took, _, err := g.benchmark(ctx, benchSuite, len(suite.Cases), nil)
		if err != nil {
			return err
		}
		after := g.cpu()
		if round == 0 { // warms up
			continue
		}
		a, r := perCase(alone), perCase(took)
		alones, runs, adds = append(alones, a), append(runs, r), append(adds, r-a)
		fmt.Fprintf(table, "%d\t%.2f\t%.2f\t%.2f\t", round, a, r, r-a)
		for _, p := range processes {
			fmt.Fprintf(table, "%.2f\t", perCase(after[p]-before[p]))
		}
		fmt.Fprintln(table)
	}
	fmt.Fprintf(os.Stderr, "\r%20s\r", "")
	fmt.Fprintf(table, "median\t%.2f\t%.2f\t%.2f\t\n", middle(alones), middle(runs), middle(adds))
	return table.Flush()
}

// adapterAlone gives the time that the suite takes with nothing of a run around the adapter. It is measured in a process of its own.
func (g *gateway) adapterAlone(ctx context.Context) (time.Duration, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	alone := exec.CommandContext(ctx, self, "--ask-adapter", g.model.URL())
	alone.Stderr = os.Stderr
	out, err := alone.Output()
	if err != nil {
		return 0, err
	}
	var took time.Duration
	_, err = fmt.Sscan(string(out), (*int64)(&took))
	return took, err
}

// askAdapter is that process.
func askAdapter(ctx context.Context, url string) error {
	suite, err := benchmark.Shipped(benchSuite)
	if err != nil {
		return err
	}
	model := vllm.New(config.Model{Name: "qlora", Kind: "vllm", BaseURL: url, Model: "banking"})
	defer func() { _ = model.Close() }() // its connections end with the process
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var callers sync.WaitGroup
	started := time.Now()
	for range casesAtATime {
		callers.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(suite.Cases) && failed.Load() == nil; i = next.Add(1) - 1 {
				// A run has replies streamed, to take their times.
				if _, err := model.Complete(ctx, suite.Cases[i].Request(benchSeed), func(llm.Delta) {}); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	callers.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	_, err = fmt.Println(int64(time.Since(started)))
	return err
}

// benchmark runs a suite and waits for its end. From time to time it tells how many cases have been recorded.
func (g *gateway) benchmark(ctx context.Context, suite string, cases int, recorded func(n int)) (took time.Duration, runID string, err error) {
	var started struct {
		RunID string `json:"run_id"`
	}
	begun := time.Now()
	body := map[string]any{"suite": suite, "models": []string{"qlora"}, "concurrency": casesAtATime, "seed": benchSeed}
	if err := g.json(ctx, http.MethodPost, g.api+"/benchmark/run", body, &started); err != nil {
		return 0, "", err
	}
	for {
		select {
		case <-ctx.Done():
			return 0, "", ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		var shown struct {
			Run      store.BenchmarkRun
			Recorded map[string]int
		}
		err := g.json(ctx, http.MethodGet, g.api+"/benchmark/runs/"+started.RunID+"?results=false", nil, &shown)
		var missing statusError
		switch {
		case errors.As(err, &missing) && missing.status == http.StatusNotFound: // it has not begun
			continue
		case err != nil:
			return 0, "", err
		}
		if recorded != nil {
			recorded(shown.Recorded["qlora"])
		}
		if shown.Run.EndedAt.IsZero() {
			continue
		}
		took = time.Since(begun)
		var run benchmark.Run
		if err := json.Unmarshal(shown.Run.Summary, &run); err != nil {
			return 0, "", err
		}
		if m := run.Models["qlora"]; m.Status != benchmark.OK || m.Cases != cases || m.Failures.Count > 0 {
			return 0, "", fmt.Errorf("the run's %d cases: status %q, %d results, %d failures", cases, m.Status, m.Cases, m.Failures.Count)
		}
		return took, started.RunID, nil
	}
}

// manyCases runs one benchmark of so many cases and prints, on the way, what the processes hold, and in the end how large the
// histories became.
func manyCases(ctx context.Context, g *gateway, dir string, cases int) error {
	const steps = 10
	suite, err := repeated(ctx, filepath.Join(dir, "data"), cases)
	if err != nil {
		return err
	}
	g.model.Script(fakeserver.Behaviour{})
	fmt.Printf("A run of %d cases, %d at a time, of a model that answers at once; resident memory in MB.\n\n", cases, casesAtATime)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "cases\tworker\tAPI\tTemporal\tseconds\t")
	begun := time.Now()
	show := func(n int) {
		held := g.memory()
		fmt.Fprintf(table, "%d\t%.0f\t%.0f\t%.0f\t%.0f\t\n", n, held["worker"], held["api"], held["temporal"], time.Since(begun).Seconds())
		fmt.Fprintf(os.Stderr, "%d cases, worker %.0f, api %.0f, temporal %.0f, %.0f s\n", n, held["worker"], held["api"], held["temporal"], time.Since(begun).Seconds())
	}
	show(0)
	next := cases / steps
	took, runID, err := g.benchmark(ctx, suite, cases, func(n int) {
		if n >= next {
			show(n)
			next += cases / steps
		}
	})
	if err != nil {
		return err
	}
	show(cases)
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Printf("\n%.2f ms a case\n", took.Seconds()*1000/float64(cases))
	return printHistories(ctx, g, runID)
}

// repeated stores a suite of so many cases: those of the shipped one, again and again.
func repeated(ctx context.Context, dataDir string, n int) (hash string, err error) {
	suite, err := benchmark.Shipped(benchSuite)
	if err != nil {
		return "", err
	}
	many := benchmark.Suite{Name: "repeated", Hash: fmt.Sprintf("repeated-%d", n), Cases: make([]benchmark.Case, n)}
	for i := range many.Cases {
		many.Cases[i] = suite.Cases[i%len(suite.Cases)]
		many.Cases[i].ID = fmt.Sprintf("%s-%06d", many.Cases[i].ID, i)
	}
	bodies, err := activities.CaseBodies(many)
	if err != nil {
		return "", err
	}
	rows, err := store.Open(ctx, store.Config{DataDir: dataDir})
	if err != nil {
		return "", err
	}
	return many.Hash, errors.Join(rows.KeepSuite(ctx, many.Hash, many.Name, bodies), rows.Close())
}

// printHistories tells of a measurement's runs, one after the other: how many, and how large the largest became.
func printHistories(ctx context.Context, g *gateway, runID string) error {
	c, err := dial(g.temporal)
	if err != nil {
		return err
	}
	defer c.Close()
	runs := 0
	var events, bytes int64
	page := &workflowservice.ListWorkflowExecutionsRequest{Query: fmt.Sprintf("WorkflowId = 'benchmark-%s-qlora'", runID), PageSize: 1000}
	for more := true; more; more = len(page.NextPageToken) > 0 {
		list, err := c.ListWorkflow(ctx, page)
		if err != nil {
			return err
		}
		for _, e := range list.GetExecutions() {
			runs++
			events, bytes = max(events, e.GetHistoryLength()), max(bytes, e.GetHistorySizeBytes())
		}
		page.NextPageToken = list.GetNextPageToken()
	}
	parent, err := c.DescribeWorkflowExecution(ctx, "benchmark-api", "")
	if err != nil {
		return err
	}
	_, err = fmt.Printf("the measurement: %d runs of %d events and %d KB at most; the benchmark itself: %d events\n", runs, events, bytes>>10,
		parent.GetWorkflowExecutionInfo().GetHistoryLength())
	return err
}
