// Package telemetry sets up what operators watch: the log and the metrics.
package telemetry

import (
	"io"
	"log/slog"
)

// NewLogger writes lines of the given level and above as text or json. config has checked both words.
func NewLogger(w io.Writer, level, format string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: l}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
