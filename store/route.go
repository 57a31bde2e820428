package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Route says which models answer.
type Route struct {
	// Active is the model that answers.
	Active string `json:"active"`
	// Fallbacks are tried in this order when a model fails. The active model may stand among them, so
	// that the list can stay as it is while Active changes.
	Fallbacks []string `json:"fallbacks"`
	// Split is an A/B split: the percent of conversations by model; they add up to 100. Empty: all
	// conversations go to Active.
	Split map[string]int `json:"split"`
	// Version goes up by one with each change. It starts at 1.
	Version   int64     `json:"version"`
	UpdatedAt time.Time `json:"updated_at"` // UTC, to the microsecond
	UpdatedBy string    `json:"updated_by"`
	Reason    string    `json:"reason"`
}

// Change is one change of the route.
type Change struct {
	Actor  string // who asked for it; required
	Reason string // why; may be empty
	// Edit changes Active, Fallbacks and Split of the stored route; an error from it leaves the route
	// as it is and comes back as it is. It runs while the route is locked: it must be quick and must
	// not call the store.
	Edit func(*Route) error
}

// ErrNoRoute means that no API process has started on this store yet.
var ErrNoRoute = errors.New("no route is stored yet: it appears when the first API process starts")

// routeColumns are what scanRoute reads, in its order.
const routeColumns = `active, fallbacks, split, version, updated_at_us, updated_by, reason, model_version`

// Start stores the defaults at the first start ever, with modelVersion as the active model. Later
// starts keep the stored route, unless modelVersion differs from that of the last start: then it
// becomes active and a split ends, because whoever changed it in the environment expects to see it
// answer.
func (s *Store) Start(ctx context.Context, modelVersion string, defaults Route) (Route, error) {
	first := Route{
		Active: modelVersion, Fallbacks: defaults.Fallbacks, Split: defaults.Split,
		UpdatedBy: "start", Reason: "first start with MODEL_VERSION=" + modelVersion,
	}
	if err := first.check(); err != nil {
		return Route{}, fmt.Errorf("start with MODEL_VERSION %q: %w", modelVersion, err)
	}
	var route Route
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		// The insert decides which process was first; the others wait for it here and then find the row.
		stored, err := insertFirst(ctx, tx, first, modelVersion)
		if err != nil || stored.Version == 1 {
			route = stored
			return err
		}
		before, last, err := lockRoute(ctx, tx)
		if err != nil {
			return err
		}
		route = before
		if last == modelVersion {
			return nil
		}
		route.Active, route.Split = modelVersion, nil
		route.UpdatedBy = "start"
		route.Reason = fmt.Sprintf("MODEL_VERSION changed from %s to %s", last, modelVersion)
		return replaceRoute(ctx, tx, before, &route, modelVersion, "route.start")
	})
	if err != nil {
		return Route{}, fmt.Errorf("start with MODEL_VERSION %q: %w", modelVersion, err)
	}
	return route, nil
}

// Route reads the stored route. It fails with ErrNoRoute before the first Start.
func (s *Store) Route(ctx context.Context) (Route, error) {
	r, _, err := scanRoute(s.db.QueryRowContext(ctx, `SELECT `+routeColumns+` FROM route WHERE id = 1`))
	if err != nil {
		return Route{}, fmt.Errorf("read the route: %w", err)
	}
	return r, nil
}

// SwitchRoute changes the stored route and its audit in one transaction. Changes made at the same
// time, by other processes too, happen one after the other.
func (s *Store) SwitchRoute(ctx context.Context, c Change) (Route, error) {
	if c.Actor == "" {
		return Route{}, errors.New("switch the route: the change names no actor")
	}
	var route Route
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		before, modelVersion, err := lockRoute(ctx, tx)
		if err != nil {
			return err
		}
		route = before
		route.Fallbacks, route.Split = slices.Clone(before.Fallbacks), maps.Clone(before.Split)
		if err := c.Edit(&route); err != nil {
			return err
		}
		route.UpdatedBy, route.Reason = c.Actor, c.Reason
		return replaceRoute(ctx, tx, before, &route, modelVersion, "route.switch")
	})
	if err != nil {
		return Route{}, fmt.Errorf("switch the route: %w", err)
	}
	return route, nil
}

// routeVersion is the cheapest question that sees a change; 0 when no route is stored.
func (s *Store) routeVersion(ctx context.Context) (int64, error) {
	var version int64
	err := s.db.QueryRowContext(ctx, `SELECT version FROM route WHERE id = 1`).Scan(&version)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return version, err
}

// insertFirst stores r as version 1 unless a route exists; then it returns the zero Route.
func insertFirst(ctx context.Context, tx *sql.Tx, r Route, modelVersion string) (Route, error) {
	r.Version = 1
	r.UpdatedAt = now()
	fallbacks, split, err := r.lists()
	if err != nil {
		return Route{}, err
	}
	result, err := tx.ExecContext(ctx, `INSERT INTO route (id, `+routeColumns+`)
		VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING`,
		r.Active, fallbacks, split, r.Version, r.UpdatedAt.UnixMicro(), r.UpdatedBy, r.Reason, modelVersion)
	if err != nil {
		return Route{}, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return Route{}, err
	}
	return r, appendAudit(ctx, tx, r.UpdatedAt, r.UpdatedBy, "route.start", nil, r)
}

// lockRoute reads the route and the MODEL_VERSION of the last start, and holds the row until the
// transaction ends. An update that changes nothing locks on both databases; SELECT FOR UPDATE is
// unknown to SQLite.
func lockRoute(ctx context.Context, tx *sql.Tx) (Route, string, error) {
	return scanRoute(tx.QueryRowContext(ctx, `UPDATE route SET id = id WHERE id = 1 RETURNING `+routeColumns))
}

// replaceRoute stores after in the place of before, which must be locked, and sets after's version
// and time.
func replaceRoute(ctx context.Context, tx *sql.Tx, before Route, after *Route, modelVersion, action string) error {
	if err := after.check(); err != nil {
		return err
	}
	after.Version = before.Version + 1
	after.UpdatedAt = now()
	// Clocks of several hosts disagree and clocks are set back; the audit stays in the order of the
	// changes all the same.
	if earliest := before.UpdatedAt.Add(time.Microsecond); after.UpdatedAt.Before(earliest) {
		after.UpdatedAt = earliest
	}
	fallbacks, split, err := after.lists()
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE route SET active = $1, fallbacks = $2, split = $3, version = $4,
		updated_at_us = $5, updated_by = $6, reason = $7, model_version = $8 WHERE id = 1`,
		after.Active, fallbacks, split, after.Version,
		after.UpdatedAt.UnixMicro(), after.UpdatedBy, after.Reason, modelVersion); err != nil {
		return err
	}
	return appendAudit(ctx, tx, after.UpdatedAt, after.UpdatedBy, action, before, after)
}

// check tells what is wrong with the route in itself. Whether its models exist is for the caller to
// know.
func (r Route) check() error {
	if r.Active == "" {
		return errors.New("the route names no active model")
	}
	for i, m := range r.Fallbacks {
		if m == "" {
			return errors.New("a fallback has no name")
		}
		if slices.Contains(r.Fallbacks[:i], m) {
			return fmt.Errorf("the fallback %q is listed twice", m)
		}
	}
	if len(r.Split) == 0 {
		return nil
	}
	sum := 0
	for m, percent := range r.Split {
		if m == "" || percent < 0 || percent > 100 {
			return fmt.Errorf("the split gives %d percent to %q: want a model's name and 0 to 100", percent, m)
		}
		sum += percent
	}
	if sum != 100 {
		return fmt.Errorf("the split adds up to %d percent, not 100", sum)
	}
	return nil
}

// lists encodes Fallbacks and Split as they are stored.
func (r *Route) lists() (fallbacks, split string, err error) {
	if r.Fallbacks == nil {
		r.Fallbacks = []string{}
	}
	if r.Split == nil {
		r.Split = map[string]int{}
	}
	f, err := json.Marshal(r.Fallbacks)
	if err != nil {
		return "", "", err
	}
	s, err := json.Marshal(r.Split)
	return string(f), string(s), err
}

func scanRoute(row *sql.Row) (r Route, modelVersion string, err error) {
	var fallbacks, split string
	var at int64
	err = row.Scan(&r.Active, &fallbacks, &split, &r.Version, &at, &r.UpdatedBy, &r.Reason, &modelVersion)
	if errors.Is(err, sql.ErrNoRows) {
		return Route{}, "", ErrNoRoute
	}
	if err != nil {
		return Route{}, "", err
	}
	r.UpdatedAt = time.UnixMicro(at).UTC()
	if err := json.Unmarshal([]byte(fallbacks), &r.Fallbacks); err != nil {
		return Route{}, "", fmt.Errorf("stored fallbacks: %w", err)
	}
	if err := json.Unmarshal([]byte(split), &r.Split); err != nil {
		return Route{}, "", fmt.Errorf("stored split: %w", err)
	}
	return r, modelVersion, nil
}
