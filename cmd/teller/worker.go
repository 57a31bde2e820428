package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	sdkworker "go.temporal.io/sdk/worker"

	"teller/activities"
	"teller/adapters"
	"teller/config"
	"teller/prices"
	"teller/store"
	"teller/stream"
	"teller/telemetry"
	"teller/worker"
)

type workerCmd struct {
	GPU bool `name:"gpu" help:"Host the models of kind transformer, on the task queue teller-gpu."`
}

func (w workerCmd) Run(ctx context.Context) error {
	process := "worker"
	if w.GPU {
		process = "gpu-worker"
	}
	cfg, logger, err := setup(process)
	if err != nil {
		return err
	}
	models, err := adapters.New(w.hosted(cfg.Models))
	if err != nil {
		return err
	}
	defer func() { _ = models.Close() }()
	slots := cfg.NetworkSlots
	if w.GPU {
		slots = min(cfg.GPUSlots, loadWeights(models, logger))
	}
	temporal, namespace, err := dial(cfg, logger)
	if err != nil {
		return err
	}
	defer temporal.Close()
	if cfg.MetricsAddr != "" {
		stop, err := serveMetrics(ctx, cfg.MetricsAddr)
		if err != nil {
			return err
		}
		defer stop()
	}
	if err := awaitTemporal(ctx, temporal, namespace, logger); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while waiting
		}
		return err
	}

	pieces := stream.NewPusher(logger)
	defer pieces.Close()
	acts := &activities.Activities{Models: models, Streams: pieces}
	if !w.GPU {
		rows, err := store.Open(ctx, store.Config{DatabaseURL: cfg.DatabaseURL, DataDir: cfg.DataDir})
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // all writes are committed
		table, err := prices.Load(cfg.PricesPath)
		if err != nil {
			return err
		}
		acts.Ledger, acts.Prices, acts.Measurements = rows, table, measurements(cfg, rows, table)
	}
	var run sdkworker.Worker
	if w.GPU {
		run = worker.NewGPU(temporal, acts, slots)
	} else {
		run = worker.NewMain(temporal, acts, slots)
	}
	interrupted := make(chan any)
	go func() { <-ctx.Done(); close(interrupted) }()
	logger.Info("worker polling", "models", models.Names())
	err = run.Run(interrupted)
	logger.Info("worker stopped")
	return err
}

// loadWeights loads them before the first turn needs them, and says how many turns they can work on at once: more would only wait inside,
// where no other worker can take them. A model that cannot load is listed as unavailable, with the reason; the others are served.
func loadWeights(models *adapters.Registry, logger *slog.Logger) (slots int) {
	for _, name := range models.Names() {
		model, err := models.Model(name)
		if err != nil {
			logger.Error("model not loaded", "model", name, "error", err)
			continue
		}
		if m, ok := model.(interface{ Slots() int }); ok {
			slots += m.Slots()
		}
	}
	return max(1, slots)
}

// hosted gives the models that this worker calls: those of its task queue.
func (w workerCmd) hosted(all []config.Model) (hosted []config.Model) {
	for _, m := range all {
		if (m.Kind == config.Transformer) == w.GPU {
			hosted = append(hosted, m)
		}
	}
	return hosted
}

// serveMetrics serves /metrics of the process until stop is called.
func serveMetrics(ctx context.Context, addr string) (stop func(), err error) {
	listener, err := listen(addr, "TELLER_METRICS_ADDR")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", telemetry.NewMetrics().Handler())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The worker goes on without its metrics when they cannot be served any more.
		_ = serve(ctx, server, listener)
	}()
	return func() { cancel(); <-done }, nil
}
