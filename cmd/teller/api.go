package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"teller/activities"
	"teller/api"
	"teller/config"
	"teller/llm"
	"teller/prices"
	"teller/store"
	"teller/telemetry"
	"teller/turns"
	"teller/worker"
	"teller/workflows"
)

type apiCmd struct{}

// followRouteEvery shows a switch made by another process well within a second.
const followRouteEvery = 300 * time.Millisecond

func (apiCmd) Run(ctx context.Context) error {
	cfg, logger, err := setup("api")
	if err != nil {
		return err
	}
	rows, err := store.Open(ctx, store.Config{DatabaseURL: cfg.DatabaseURL, DataDir: cfg.DataDir})
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // all writes are committed
	keyed, err := rows.HasKeys(ctx)
	if err != nil {
		return err
	}
	// Without keys whoever reaches the API may use it, so only this machine does.
	addr, elsewhere := cfg.APIAddr, false
	if !keyed {
		addr, elsewhere = loopbackOf(addr)
	}
	listener, err := listen(addr, "TELLER_API_ADDR")
	if err != nil {
		return err
	}
	defer listener.Close()
	table, err := prices.Load(cfg.PricesPath)
	if err != nil {
		return err
	}
	if _, err := rows.Start(ctx, cfg.ModelVersion, store.Route{Fallbacks: cfg.Fallbacks, Split: cfg.Split}); err != nil {
		return err
	}
	routes, err := store.NewRouteCache(ctx, rows, followRouteEvery, logger)
	if err != nil {
		return err
	}
	streams, stopStreams, err := serveStreams(ctx, cfg, logger)
	if err != nil {
		return err
	}
	defer stopStreams()
	temporal, namespace, err := dial(cfg, logger)
	if err != nil {
		return err
	}
	defer temporal.Close()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go routes.Run(ctx)
	go forgetKeys(ctx, rows, logger)
	client, metrics := turns.New(temporal, namespace, cfg.ConversationIdle), telemetry.NewMetrics()
	// The API answers at once, with 503 while Temporal is away; the decider joins when it is there.
	deciding := make(chan struct{})
	decider := worker.NewDecider(temporal, &activities.Activities{Ledger: rows, Prices: table})
	go func() {
		defer close(deciding)
		err := awaitTemporal(ctx, temporal, namespace, logger)
		if err == nil {
			err = decider.Start()
		}
		if err == nil {
			go keepBenchmarking(ctx, cfg, rows, client, metrics, logger)
		}
		if err != nil && ctx.Err() == nil {
			cancel(err)
		}
	}()

	server := &http.Server{
		Handler: api.Handler(api.Deps{
			Turns:           client,
			Streams:         streams,
			Routes:          routes,
			Store:           rows,
			Models:          apiModels(cfg),
			Prices:          table,
			Metrics:         metrics,
			Benchmark:       benchmarkInput(cfg, cfg.BenchmarkSuite, "api"),
			Log:             logger,
			TurnTimeout:     cfg.TurnTimeout,
			MaxMessageBytes: cfg.MaxMessageBytes,
		}),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	logger.Info("api listening", "address", listener.Addr().String(), "model", routes.Route().Active)
	var made <-chan struct{}
	if elsewhere {
		logger.Warn("there are no keys: the API listens on loopback only; 'teller keys create' makes the first one", "wanted", cfg.APIAddr)
		made = awaitKeys(ctx, rows, logger)
	}
	err = serveMoving(ctx, server, listener, made, func() (net.Listener, error) {
		logger.Info("there is a key: the API listens where it was told to", "address", cfg.APIAddr)
		return listen(cfg.APIAddr, "TELLER_API_ADDR")
	})
	cancel(nil)
	<-deciding
	decider.Stop()
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return err
}

// keepKeysFor is how long an Idempotency-Key stands for its request.
const keepKeysFor = 7 * 24 * time.Hour

// forgetKeys drops old idempotency keys, now and every hour, until ctx ends.
func forgetKeys(ctx context.Context, rows *store.Store, logger *slog.Logger) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if err := rows.ForgetKeys(ctx, time.Now().Add(-keepKeysFor)); err != nil && ctx.Err() == nil {
			logger.Warn("old idempotency keys are kept", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// maxHistoryBytes leaves most of the 2 MiB that Temporal takes as an activity's input for what JSON makes of the text.
const maxHistoryBytes = 512 << 10

func apiModels(cfg config.Config) []api.Model {
	models := make([]api.Model, len(cfg.Models))
	for i, m := range cfg.Models {
		queue := workflows.QueueMain
		if m.Kind == config.Transformer {
			queue = workflows.QueueGPU
		}
		history := min(m.ContextTokens*llm.BytesPerToken, maxHistoryBytes)
		models[i] = api.Model{Name: m.Name, Kind: string(m.Kind), Queue: queue, Served: m.Model, HistoryBytes: history}
	}
	return models
}
