package telemetry

import (
	"context"
	"log/slog"
)

// ForTemporal quietens the logger that the Temporal SDK gets: what it tells of its own running is for
// debugging, and the failure of an activity is logged by the activity, with its cause.
func ForTemporal(logger *slog.Logger) *slog.Logger {
	return slog.New(sdkHandler{logger.Handler()})
}

type sdkHandler struct{ slog.Handler }

func (h sdkHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level == slog.LevelInfo || r.Message == "Activity error." {
		r.Level = slog.LevelDebug
		if !h.Enabled(ctx, r.Level) {
			return nil
		}
	}
	return h.Handler.Handle(ctx, r)
}

func (h sdkHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sdkHandler{h.Handler.WithAttrs(attrs)}
}

func (h sdkHandler) WithGroup(name string) slog.Handler { return sdkHandler{h.Handler.WithGroup(name)} }
