package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"teller/config"
	"teller/stream"
)

// serveStreams listens for the pieces of replies that workers push, until stop is called.
func serveStreams(ctx context.Context, cfg config.Config, logger *slog.Logger) (hub *stream.Hub, stop func(), err error) {
	listener, err := listen(cfg.StreamAddr, "TELLER_STREAM_ADDR")
	if err != nil {
		return nil, nil, err
	}
	address := advertised(listener.Addr().String(), cfg.StreamAdvertise)
	hub = stream.NewHub(address)
	server := &http.Server{
		Handler:           hub.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Turns are answered without their pieces when they cannot be taken any more.
		if err := server.Serve(listener); err != nil && ctx.Err() == nil {
			logger.Debug("streams are not taken any more", "error", err)
		}
	}()
	logger.Debug("taking the pieces of replies", "listening", listener.Addr().String(), "advertised", address)
	return hub, func() {
		_ = server.Close() // the workers' connections have no end of their own
		<-done
		hub.Close()
	}, nil
}

// advertised gives the host and port by which workers reach a listener.
func advertised(listening, configured string) string {
	host, port, err := net.SplitHostPort(listening)
	if err != nil {
		return listening
	}
	if configured != "" {
		if _, _, err := net.SplitHostPort(configured); err == nil {
			return configured
		}
		return net.JoinHostPort(configured, port)
	}
	if net.ParseIP(host).IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return net.JoinHostPort(host, port)
}
