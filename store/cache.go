package store

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// pollTimeout bounds one poll, so that a database that hangs is noticed as one that is gone.
const pollTimeout = 2 * time.Second

// RouteCache holds the route in memory for the hot path and follows changes that other processes
// make. While the store is out of reach it goes on with the last route.
type RouteCache struct {
	store    *Store
	interval time.Duration
	log      *slog.Logger
	route    atomic.Pointer[Route]
}

// NewRouteCache reads the route once; a Run then follows it, looking every interval (250 to 500 ms
// shows a switch within a second and costs one row read).
func NewRouteCache(ctx context.Context, s *Store, interval time.Duration, log *slog.Logger) (*RouteCache, error) {
	route, err := s.Route(ctx)
	if err != nil {
		return nil, err
	}
	c := &RouteCache{store: s, interval: interval, log: log}
	c.route.Store(&route)
	return c, nil
}

// Route gives the current route without locking or I/O. Its slice and map are shared: don't change
// them.
func (c *RouteCache) Route() Route { return *c.route.Load() }

// SwitchRoute changes the stored route; this process sees the change at once.
func (c *RouteCache) SwitchRoute(ctx context.Context, change Change) (Route, error) {
	route, err := c.store.SwitchRoute(ctx, change)
	if err != nil {
		return Route{}, err
	}
	for {
		// A later switch may have stored its result already.
		current := c.route.Load()
		if current.Version >= route.Version || c.route.CompareAndSwap(current, &route) {
			return route, nil
		}
	}
}

// Run follows the stored route until ctx ends. It logs the begin and the end of an outage, not each
// failed look.
func (c *RouteCache) Run(ctx context.Context) {
	tick := time.NewTicker(c.interval)
	defer tick.Stop()
	var out bool
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := c.refresh(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !out:
			c.log.Warn("the store is out of reach; going on with the last route",
				"error", err, "active", c.Route().Active, "version", c.Route().Version)
		case err == nil && out:
			c.log.Info("the store is back", "active", c.Route().Active, "version", c.Route().Version)
		}
		out = err != nil
	}
}

// refresh takes over the stored route when its version is not the one in memory; a lower one is
// taken too, since a restored backup brings it.
func (c *RouteCache) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	current := c.route.Load()
	version, err := c.store.routeVersion(ctx)
	if err != nil || version == current.Version {
		return err
	}
	route, err := c.store.Route(ctx)
	if err != nil {
		return err
	}
	// When a switch of this process came in between, what was read may be older than it.
	if c.route.CompareAndSwap(current, &route) && c.log.Enabled(ctx, slog.LevelInfo) {
		c.log.Info("the route changed", "active", route.Active, "version", route.Version, "by", route.UpdatedBy)
	}
	return nil
}
