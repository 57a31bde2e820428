package main

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	serverlog "go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// quietWhenStopping hands the server's log lines to slog. Once the server is told to stop, its parts complain about
// one another's disappearance in warnings and errors that mean nothing to a person at the terminal; from then on only
// a debug log shows them.
type quietWhenStopping struct {
	*slog.Logger
	stopping *atomic.Bool
}

var (
	_ serverlog.Logger     = quietWhenStopping{}
	_ serverlog.WithLogger = quietWhenStopping{}
)

// warnings that nobody can act on, by their beginnings.
var harmless = []string{
	"HTTP API port has not been set.",               // at each start: Nexus, which Teller does not use, has no port
	"GetHistory page size is larger than threshold", // whenever the Web UI shows a workflow
}

func (l quietWhenStopping) write(level slog.Level, msg string, tags []tag.Tag) {
	if l.stopping.Load() || slices.ContainsFunc(harmless, func(begin string) bool { return strings.HasPrefix(msg, begin) }) {
		level = slog.LevelDebug
	}
	if l.Enabled(context.Background(), level) {
		l.LogAttrs(context.Background(), level, msg, attributes(tags)...)
	}
}

func attributes(tags []tag.Tag) []slog.Attr {
	attrs := make([]slog.Attr, len(tags))
	for i, t := range tags {
		attrs[i] = slog.Any(t.Key(), t.Value())
	}
	return attrs
}

func (l quietWhenStopping) Debug(msg string, tags ...tag.Tag) { l.write(slog.LevelDebug, msg, tags) }
func (l quietWhenStopping) Info(msg string, tags ...tag.Tag)  { l.write(slog.LevelInfo, msg, tags) }
func (l quietWhenStopping) Warn(msg string, tags ...tag.Tag)  { l.write(slog.LevelWarn, msg, tags) }
func (l quietWhenStopping) Error(msg string, tags ...tag.Tag) { l.write(slog.LevelError, msg, tags) }

// DPanic only logs: it panics in the server's own development builds, not in what users run.
func (l quietWhenStopping) DPanic(msg string, tags ...tag.Tag) { l.write(slog.LevelError, msg, tags) }

func (l quietWhenStopping) Panic(msg string, tags ...tag.Tag) {
	l.write(slog.LevelError, msg, tags)
	panic(msg)
}

// Fatal ends the process: the server calls it when it cannot go on and counts on it not to return.
func (l quietWhenStopping) Fatal(msg string, tags ...tag.Tag) {
	l.LogAttrs(context.Background(), slog.LevelError, msg, attributes(tags)...)
	os.Exit(1)
}

func (l quietWhenStopping) With(tags ...tag.Tag) serverlog.Logger {
	return quietWhenStopping{slog.New(l.Handler().WithAttrs(attributes(tags))), l.stopping}
}
