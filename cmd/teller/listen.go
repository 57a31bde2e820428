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

	"teller/store"
)

// drainWithin is how long a stopping API waits for the turns that it has accepted.
const drainWithin = 15 * time.Second

// serve serves until ctx ends, then lets the requests in flight finish.
func serve(ctx context.Context, server *http.Server, listener net.Listener) error {
	return serveMoving(ctx, server, listener, nil, nil)
}

// serveMoving is serve that closes listener and goes on with the one that reopen gives, once move is closed. Requests in
// flight are not touched.
func serveMoving(ctx context.Context, server *http.Server, listener net.Listener, move <-chan struct{}, reopen func() (net.Listener, error)) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-move:
		listener.Close()
		<-failed
		next, err := reopen()
		if err != nil {
			return err
		}
		return serve(ctx, server, next)
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

// loopbackOf gives addr on loopback, and whether that is another address.
func loopbackOf(addr string) (string, bool) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "localhost" || net.ParseIP(host).IsLoopback() {
		return addr, false
	}
	return net.JoinHostPort("127.0.0.1", port), true
}

// lookForKeysEvery is how soon after the first key the API listens where it was told to.
const lookForKeysEvery = time.Second

// awaitKeys closes the returned channel once the store holds a key.
func awaitKeys(ctx context.Context, rows *store.Store, logger *slog.Logger) <-chan struct{} {
	made := make(chan struct{})
	go func() {
		tick := time.NewTicker(lookForKeysEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			some, err := rows.HasKeys(ctx)
			if err != nil && ctx.Err() == nil {
				logger.Debug("keys cannot be looked for", "error", err)
			}
			if some {
				close(made)
				return
			}
		}
	}()
	return made
}
