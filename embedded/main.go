// Command teller-temporal runs a Temporal server and its Web UI in one process, on one SQLite file, for development
// and tests. Production runs on a Temporal cluster; this server has no authentication and no replicas.
//
// It is a Go module of its own so that Teller's other binaries carry neither the server nor its dependencies.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
)

const help = `teller-temporal runs a Temporal server and its Web UI in one process, on one SQLite file.
It is for development and tests; in production Teller uses a Temporal cluster.

Usage: teller-temporal            settings come from the environment
       teller-temporal --help

  TELLER_TEMPORAL_ADDR         where the server listens, host:port (127.0.0.1:7233)
  TELLER_UI_ADDR               where the Web UI listens, host:port (127.0.0.1:8233)
  TELLER_DATA_DIR              directory of temporal.db, which keeps everything over restarts (.teller)
  TELLER_TEMPORAL_NAMESPACE    namespace that is created when missing (default)
  TELLER_TEMPORAL_RETENTION    how long ended workflows are kept, a duration of at least 1h (168h)
  TELLER_TEMPORAL_SYNCHRONOUS  off, normal or full: a power cut can lose the last seconds with off or
                               normal, nothing with full, which is slower; a killed process loses nothing (normal)
  TELLER_LOG_LEVEL             debug, info, warn or error (warn)

Two servers run side by side when the first three differ:
  TELLER_TEMPORAL_ADDR=127.0.0.1:7234 TELLER_UI_ADDR=127.0.0.1:8234 TELLER_DATA_DIR=.teller2 teller-temporal

It prints one line when it is ready. Ctrl-C or SIGTERM stops it. To begin anew, stop it and delete temporal.db*.
`

// readyTimeout is how long a start may take. It takes about a second; a machine under load may need many.
const readyTimeout = 60 * time.Second

func main() {
	tuneMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// tuneMemory trades memory for time: letting the heap grow to three times what is in use, instead of twice, saves about a
// tenth of the processor time of a turn. The limit is for a server that is busy for long; a lower one, 384 MiB, made it
// spend half its time collecting after some thousand turns. GOGC and GOMEMLIMIT have the last word.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(1 << 30)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		if args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
			fmt.Fprint(stdout, help)
			return 0
		}
		fmt.Fprintf(stderr, "teller-temporal: unknown argument %q; settings come from the environment, see teller-temporal --help\n", args[0])
		return 2
	}
	if err := serve(ctx, getenv, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "teller-temporal: %v\n", err)
		return 1
	}
	return 0
}

// serve runs the server until ctx ends.
func serve(ctx context.Context, getenv func(string) string, stdout, stderr io.Writer) error {
	s, err := readSettings(getenv)
	if err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: s.logLevel}))
	running, err := startServer(starting, s, log)
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while starting
		}
		return err
	}
	slog.New(slog.NewTextHandler(stdout, nil)).Info("teller-temporal ready",
		"temporal", s.temporal.listen(), "ui", uiURL(s), "namespace", s.namespace, "database", s.databasePath())
	<-ctx.Done()
	return running.stop()
}
