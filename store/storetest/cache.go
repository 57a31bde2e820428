package storetest

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/internal/lockedbuffer"
	"teller/store"
)

const (
	interval = 10 * time.Millisecond
	patience = 20 * time.Second // bounds a wait for what takes milliseconds
)

func cacheFollows(t *testing.T, db Database) {
	s := Open(t, db.Config)
	_, err := store.NewRouteCache(t.Context(), s, interval, slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, store.ErrNoRoute)
	_, err = s.Start(t.Context(), "custom", defaults)
	require.NoError(t, err)
	cache, _ := Follow(t, s)
	require.Equal(t, "custom", cache.Route().Active)

	other := Open(t, db.Config)
	switched, err := other.SwitchRoute(t.Context(), to("gemini"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return cache.Route().Version == 2 }, patience, interval)
	require.Equal(t, switched, cache.Route())

	db.Exec(t, `UPDATE route SET active = 'restored', version = 1`)
	require.Eventually(t, func() bool { return cache.Route().Active == "restored" }, patience, interval,
		"a backup that was restored counts though its version is lower")
}

func cacheSwitches(t *testing.T, db Database) {
	s := Open(t, db.Config)
	_, err := s.Start(t.Context(), "custom", defaults)
	require.NoError(t, err)
	cache, _ := Follow(t, s)
	for range 20 {
		for _, model := range []string{"gemini", "qlora"} {
			_, err = cache.SwitchRoute(t.Context(), to(model))
			require.NoError(t, err)
			require.Equal(t, model, cache.Route().Active, "no look at the store brings an older route back")
		}
	}
}

func cacheOutage(t *testing.T, db Database) {
	s := Open(t, db.Config)
	_, err := s.Start(t.Context(), "custom", defaults)
	require.NoError(t, err)
	cache, log := Follow(t, s)

	db.Exec(t, `ALTER TABLE route RENAME TO lost`)
	require.Eventually(t, func() bool { return log.Count("out of reach") == 1 }, patience, interval)
	require.Error(t, s.Ping(t.Context()))
	require.Equal(t, "custom", cache.Route().Active)

	db.Exec(t, `UPDATE lost SET active = 'gemini', version = 2`)
	db.Exec(t, `ALTER TABLE lost RENAME TO route`)
	require.Eventually(t, func() bool { return log.Count("store is back") == 1 }, patience, interval)
	require.Equal(t, "gemini", cache.Route().Active)
	require.Equal(t, 1, log.Count("out of reach"), "once an outage, not once a look")
	require.NoError(t, s.Ping(t.Context()))
}

// Follow runs a cache until the test ends and collects what it logs.
func Follow(t *testing.T, s *store.Store) (*store.RouteCache, *Log) {
	t.Helper()
	log := new(Log)
	cache, err := store.NewRouteCache(t.Context(), s, interval, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		cache.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return cache, log
}

// Log keeps what was written to it.
type Log struct{ lockedbuffer.Buffer }

// Count tells how often the text was logged.
func (l *Log) Count(text string) int {
	return strings.Count(l.String(), text)
}
