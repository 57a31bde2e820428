package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"teller/api"
	"teller/config"
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
	listener, err := listen(cfg.APIAddr, "TELLER_API_ADDR")
	if err != nil {
		return err
	}
	defer listener.Close()
	rows, err := store.Open(ctx, store.Config{DatabaseURL: cfg.DatabaseURL, DataDir: cfg.DataDir})
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // all writes are committed
	if _, err := rows.Start(ctx, cfg.ModelVersion, store.Route{Fallbacks: cfg.Fallbacks, Split: cfg.Split}); err != nil {
		return err
	}
	routes, err := store.NewRouteCache(ctx, rows, followRouteEvery, logger)
	if err != nil {
		return err
	}
	temporal, namespace, err := dial(cfg, logger)
	if err != nil {
		return err
	}
	defer temporal.Close()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go routes.Run(ctx)
	// The API answers at once, with 503 while Temporal is away; the decider joins when it is there.
	deciding := make(chan struct{})
	decider := worker.NewDecider(temporal)
	go func() {
		defer close(deciding)
		err := awaitTemporal(ctx, temporal, namespace, logger)
		if err == nil {
			err = decider.Start()
		}
		if err != nil && ctx.Err() == nil {
			cancel(err)
		}
	}()

	server := &http.Server{
		Handler: api.Handler(api.Deps{
			Turns:           turns.New(temporal, namespace, cfg.ConversationIdle),
			Routes:          routes,
			Store:           rows,
			Models:          apiModels(cfg),
			Metrics:         telemetry.NewMetrics(),
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
	err = serve(ctx, server, listener)
	cancel(nil)
	<-deciding
	decider.Stop()
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return err
}

// drainWithin is how long a stopping API waits for the turns that it has accepted.
const drainWithin = 15 * time.Second

// serve serves until ctx ends, then lets the requests in flight finish.
func serve(ctx context.Context, server *http.Server, listener net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return server.Close()
	}
	return nil
}

// listen opens the address, or says in one line which variable moves it.
func listen(addr, variable string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: %s is in use by another program; set %s to a free address", variable, addr, variable)
	case err != nil:
		return nil, fmt.Errorf("%s: cannot listen on %s: %w", variable, addr, err)
	}
	return l, nil
}

func apiModels(cfg config.Config) []api.Model {
	models := make([]api.Model, len(cfg.Models))
	for i, m := range cfg.Models {
		queue := workflows.QueueMain
		if m.Kind == config.Transformer {
			queue = workflows.QueueGPU
		}
		models[i] = api.Model{Name: m.Name, Kind: string(m.Kind), Queue: queue}
	}
	return models
}
