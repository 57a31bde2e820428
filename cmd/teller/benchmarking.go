package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"teller/activities"
	"teller/benchmark"
	"teller/config"
	"teller/prices"
	"teller/store"
	"teller/telemetry"
	"teller/turns"
	"teller/workflows"
)

const (
	benchmarkSeed   = 1
	benchmarkWarmUp = 2
	// countChatsEvery is how often an API process looks whether enough chats were answered for another benchmark.
	countChatsEvery = 2 * time.Second
	// requestsRun is the name under which those benchmarks run: one at a time.
	requestsRun = "requests"
)

// benchmarkInput measures all configured models on a suite.
func benchmarkInput(cfg config.Config, suite, cause string) workflows.BenchmarkInput {
	in := workflows.BenchmarkInput{Suite: suite, Cause: cause, Seed: benchmarkSeed, Concurrency: cfg.BenchmarkConcurrency, WarmUp: benchmarkWarmUp,
		MaxCostUSD: cfg.BenchmarkMaxCostUSD, MaxDuration: cfg.BenchmarkMaxDuration,
		Promote: cfg.BenchmarkPromote && suite == cfg.BenchmarkSuite} // a few cases are no evidence
	for _, m := range apiModels(cfg) {
		target := workflows.Target{Model: m.Name, Queue: m.Queue}
		in.Models = append(in.Models, target)
		if m.Name == cfg.BenchmarkJudge {
			in.Judge = &target
		}
	}
	return in
}

// measurements is what a worker needs to run benchmarks.
func measurements(cfg config.Config, rows *store.Store, table *prices.Table) activities.Measurements {
	m := activities.Measurements{Store: rows, Prices: table, Served: map[string]string{}, ResultsFile: cfg.BenchmarkResults}
	if m.ResultsFile == "" {
		m.ResultsFile = filepath.Join(cfg.DataDir, "benchmark_results.jsonl")
	}
	for _, model := range cfg.Models {
		m.Served[model.Name] = model.Model
	}
	limit := func(value float64) *float64 {
		if value == 0 {
			return nil
		}
		return &value
	}
	m.Objective = benchmark.Objective{MinAccuracy: &cfg.BenchmarkMinAccuracy, MaxP90LatencyMS: limit(cfg.BenchmarkMaxP90Ms),
		MaxCostPerThousandUSD: limit(cfg.BenchmarkMaxCostPer1K)}
	return m
}

// keepBenchmarking makes the schedule say what the configuration says, and starts a benchmark whenever enough chats were answered, until
// ctx ends. All API processes do so: the schedule is one, and so is the run that they start.
func keepBenchmarking(ctx context.Context, cfg config.Config, rows *store.Store, client *turns.Client, metrics *telemetry.Metrics, logger *slog.Logger) {
	spec := cfg.BenchmarkSchedule
	if spec == "off" {
		spec = ""
	}
	scheduled, warned := false, false
	tick := time.NewTicker(countChatsEvery)
	defer tick.Stop()
	shown := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !scheduled { // Temporal may come up later than this process
			err := client.ScheduleBenchmark(ctx, spec, benchmarkInput(cfg, cfg.BenchmarkSuite, "schedule"))
			if scheduled = err == nil; !scheduled && !warned && ctx.Err() == nil {
				logger.Error("benchmarks are not scheduled yet", "BENCHMARK_SCHEDULE", cfg.BenchmarkSchedule, "error", err)
				warned = true
			}
		}
		if cfg.BenchmarkEveryRequests > 0 {
			if err := benchmarkIfDue(ctx, cfg, rows, client, logger); err != nil && ctx.Err() == nil {
				logger.Debug("chats are not counted towards a benchmark", "error", err)
			}
		}
		shown = showBenchmark(ctx, rows, metrics, shown)
	}
}

// benchmarkIfDue starts a benchmark when enough chats were answered since the last one that was started so. Several processes may see
// at a time that one is due: they start the same workflow, and a second run that begins all the same finds in the store that it is late.
func benchmarkIfDue(ctx context.Context, cfg config.Config, rows *store.Store, client *turns.Client, logger *slog.Logger) error {
	answered, benchmarked, err := rows.Chats(ctx)
	if err != nil || answered-benchmarked < cfg.BenchmarkEveryRequests {
		return err
	}
	in := benchmarkInput(cfg, cfg.BenchmarkRequestsSuite, "requests")
	in.AfterChats = &benchmarked
	id, joined, err := client.StartBenchmark(ctx, requestsRun, in)
	if err == nil && !joined {
		logger.Info("a benchmark is due", "chats", answered, "run", id)
	}
	return err
}

// showBenchmark puts the latest run's figures into the metrics, once a run, and gives its id.
func showBenchmark(ctx context.Context, rows *store.Store, metrics *telemetry.Metrics, shown string) string {
	runs, err := rows.Runs(ctx, "", true, 1)
	if err != nil || len(runs) == 0 || runs[0].ID == shown {
		return shown
	}
	run, err := parseRun(runs[0].Summary)
	if err != nil {
		return runs[0].ID // a newer program's
	}
	worse := map[string]bool{}
	if run.Changes != nil {
		for _, change := range run.Changes.Worse() {
			worse[change.Model] = true
		}
	}
	for name, m := range run.Models {
		if m.Accuracy.Value != nil {
			metrics.Benchmark(name, *m.Accuracy.Value, worse[name])
		}
	}
	return runs[0].ID
}
