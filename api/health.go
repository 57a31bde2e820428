package api

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"teller/workflows"
)

const (
	// healthFor is how long a check of all models stands. People and dashboards ask often.
	healthFor = time.Second
	// checkWithin bounds a check, which no caller's hanging up ends.
	checkWithin = 5 * time.Second
)

// healthCache keeps the last check of all models. Callers who come while a check runs share it.
type healthCache struct {
	turns  Turns
	flight singleflight.Group

	mu    sync.Mutex
	at    time.Time
	found []workflows.Health
}

func newHealthCache(turns Turns) *healthCache { return &healthCache{turns: turns} }

// check gives a finding for each target, in their order. Others may hold the same slice: don't change it.
func (h *healthCache) check(ctx context.Context, targets []workflows.Target) ([]workflows.Health, error) {
	found, err, _ := h.flight.Do("", func() (any, error) {
		if found, ok := h.last(); ok {
			return found, nil
		}
		// The first caller may hang up while others wait for the same check.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkWithin)
		defer cancel()
		found, err := h.turns.Check(ctx, targets)
		if err == nil {
			h.keep(found)
		}
		return found, err
	})
	if err != nil {
		return nil, err
	}
	return found.([]workflows.Health), nil
}

func (h *healthCache) last() ([]workflows.Health, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.found, time.Since(h.at) < healthFor
}

func (h *healthCache) keep(found []workflows.Health) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at, h.found = time.Now(), found
}
