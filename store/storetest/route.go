package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"teller/store"
)

var defaults = store.Route{Fallbacks: []string{"qlora", "custom"}, Split: map[string]int{"custom": 80, "gemini": 20}}

func firstStart(t *testing.T, db Database) {
	s := Open(t, db.Config)
	begin := time.Now()
	got, err := s.Start(t.Context(), "custom", defaults)
	require.NoError(t, err)
	require.Equal(t, "custom", got.Active)
	require.Equal(t, defaults.Fallbacks, got.Fallbacks)
	require.Equal(t, defaults.Split, got.Split)
	require.EqualValues(t, 1, got.Version)
	require.WithinRange(t, got.UpdatedAt, begin.Truncate(time.Microsecond), time.Now())

	stored, err := s.Route(t.Context())
	require.NoError(t, err)
	require.Equal(t, got, stored)

	audit, err := s.Audit(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, audit, 1)
	require.Equal(t, "route.start", audit[0].Action)
	require.Equal(t, "start", audit[0].Actor)
	require.Equal(t, "null", string(audit[0].Before))
	require.Equal(t, got, decode(t, audit[0].After))
}

func laterStarts(t *testing.T, db Database) {
	s := Open(t, db.Config)
	_, err := s.Start(t.Context(), "custom", defaults)
	require.NoError(t, err)
	switched, err := s.SwitchRoute(t.Context(), to("gemini"))
	require.NoError(t, err)

	again := Open(t, db.Config)
	got, err := again.Start(t.Context(), "custom", store.Route{Fallbacks: []string{"other"}})
	require.NoError(t, err)
	require.Equal(t, switched, got, "new defaults don't replace what is stored")
}

func changedModelVersion(t *testing.T, db Database) {
	s := Open(t, db.Config)
	_, err := s.Start(t.Context(), "custom", defaults)
	require.NoError(t, err)
	_, err = s.SwitchRoute(t.Context(), to("qlora"))
	require.NoError(t, err)

	got, err := s.Start(t.Context(), "gemini", defaults)
	require.NoError(t, err)
	require.Equal(t, "gemini", got.Active)
	require.Empty(t, got.Split, "a split would keep the new model from answering everything")
	require.Equal(t, defaults.Fallbacks, got.Fallbacks)
	require.EqualValues(t, 3, got.Version)
	require.Contains(t, got.Reason, "custom to gemini")

	again, err := s.Start(t.Context(), "gemini", defaults)
	require.NoError(t, err)
	require.Equal(t, got, again, "the same MODEL_VERSION again changes nothing")
	stored, err := s.Route(t.Context())
	require.NoError(t, err)
	require.Equal(t, got, stored)
}

func concurrentStarts(t *testing.T, db Database) {
	const processes = 4
	got := make([]store.Route, processes)
	var group errgroup.Group
	for i := range processes {
		group.Go(func() error {
			s, err := store.Open(t.Context(), db.Config)
			if err != nil {
				return err
			}
			got[i], err = s.Start(t.Context(), "custom", defaults)
			return errors.Join(err, s.Close())
		})
	}
	require.NoError(t, group.Wait())
	for _, r := range got {
		require.Equal(t, got[0], r)
	}
	audit, err := Open(t, db.Config).Audit(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, audit, 1)
}

func switchRoute(t *testing.T, db Database) {
	s := Open(t, db.Config)
	before, err := s.Start(t.Context(), "custom", defaults)
	require.NoError(t, err)
	got, err := s.SwitchRoute(t.Context(), store.Change{Actor: "operator", Reason: "benchmark", Edit: func(r *store.Route) error {
		r.Active = "gemini"
		r.Fallbacks = append(r.Fallbacks[:0], "custom")
		r.Split["custom"], r.Split["gemini"] = 50, 50
		r.Version = 99 // not the caller's to set
		return nil
	}})
	require.NoError(t, err)
	require.Equal(t, store.Route{
		Active: "gemini", Fallbacks: []string{"custom"}, Split: map[string]int{"custom": 50, "gemini": 50},
		Version: 2, UpdatedAt: got.UpdatedAt, UpdatedBy: "operator", Reason: "benchmark",
	}, got)
	stored, err := Open(t, db.Config).Route(t.Context())
	require.NoError(t, err)
	require.Equal(t, got, stored)

	audit, err := s.Audit(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, audit, 1)
	require.Equal(t, "route.switch", audit[0].Action)
	require.Equal(t, "operator", audit[0].Actor)
	require.Equal(t, got.UpdatedAt, audit[0].At)
	require.Equal(t, before, decode(t, audit[0].Before), "an edit does not reach the audited state")
	require.Equal(t, got, decode(t, audit[0].After))
}

func concurrentSwitches(t *testing.T, db Database) {
	const processes, each = 3, 10
	first := Open(t, db.Config)
	_, err := first.Start(t.Context(), "custom", defaults)
	require.NoError(t, err)
	var group errgroup.Group
	for p := range processes {
		s := Open(t, db.Config)
		group.Go(func() error {
			for i := range each {
				if _, err := s.SwitchRoute(t.Context(), to(fmt.Sprintf("model-%d-%d", p, i))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	RequireWholeAudit(t, first, 1+processes*each)
}

// RequireWholeAudit checks that the audit tells every one of the changes, each beginning where the
// one before it ended, up to the route that is stored.
func RequireWholeAudit(t *testing.T, s *store.Store, changes int) {
	t.Helper()
	audit, err := s.Audit(t.Context(), changes+1)
	require.NoError(t, err)
	require.Len(t, audit, changes)
	route, err := s.Route(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, changes, route.Version)
	after := route
	for _, e := range audit {
		require.Equal(t, after, decode(t, e.After))
		if e.Action == "route.switch" {
			after = decode(t, e.Before)
		}
	}
	require.EqualValues(t, 1, after.Version)
}

func clockSetBack(t *testing.T, db Database) {
	s := Open(t, db.Config)
	_, err := s.Start(t.Context(), "custom", defaults)
	require.NoError(t, err)
	ahead := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	db.Exec(t, fmt.Sprintf(`UPDATE route SET updated_at_us = %d`, ahead.UnixMicro()))
	db.Exec(t, fmt.Sprintf(`UPDATE audit SET at_us = %d`, ahead.UnixMicro()))
	got, err := s.SwitchRoute(t.Context(), to("gemini"))
	require.NoError(t, err)
	require.True(t, got.UpdatedAt.After(ahead))
	audit, err := s.Audit(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, []string{"route.switch", "route.start"}, []string{audit[0].Action, audit[1].Action})
}

func wrongRoute(t *testing.T, db Database) {
	s := Open(t, db.Config)
	_, err := s.Start(t.Context(), "", defaults)
	require.ErrorContains(t, err, "no active model")
	before, err := s.Start(t.Context(), "custom", defaults)
	require.NoError(t, err)
	refused := errors.New("not that one")
	for _, test := range []struct {
		want string
		edit func(*store.Route) error
	}{
		{"no active model", func(r *store.Route) error { r.Active = ""; return nil }},
		{`"custom" is listed twice`, func(r *store.Route) error { r.Fallbacks = []string{"custom", "custom"}; return nil }},
		{"fallback has no name", func(r *store.Route) error { r.Fallbacks = []string{""}; return nil }},
		{"adds up to 90 percent", func(r *store.Route) error { r.Split = map[string]int{"custom": 90}; return nil }},
		{"-10 percent", func(r *store.Route) error { r.Split = map[string]int{"custom": -10}; return nil }},
		{"not that one", func(*store.Route) error { return refused }},
	} {
		t.Run(test.want, func(t *testing.T) {
			_, err := s.SwitchRoute(t.Context(), store.Change{Actor: "operator", Edit: test.edit})
			require.ErrorContains(t, err, test.want)
		})
	}
	_, err = s.SwitchRoute(t.Context(), store.Change{Actor: "operator", Edit: func(*store.Route) error { return refused }})
	require.ErrorIs(t, err, refused)
	_, err = s.SwitchRoute(t.Context(), store.Change{Edit: func(*store.Route) error { return nil }})
	require.ErrorContains(t, err, "no actor")

	stored, err := s.Route(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, stored)
	RequireWholeAudit(t, s, 1)
}

func noRoute(t *testing.T, db Database) {
	s := Open(t, db.Config)
	require.NoError(t, s.Ping(t.Context()))
	_, err := s.Route(t.Context())
	require.ErrorIs(t, err, store.ErrNoRoute)
	_, err = s.SwitchRoute(t.Context(), to("gemini"))
	require.ErrorIs(t, err, store.ErrNoRoute)
	audit, err := s.Audit(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, audit)
}

func canceledCall(t *testing.T, db Database) {
	s := Open(t, db.Config)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Ping(ctx), context.Canceled)
	_, err := s.Start(ctx, "custom", defaults)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Route(t.Context())
	require.ErrorIs(t, err, store.ErrNoRoute, "nothing half done stays")
}

func newerSchema(t *testing.T, db Database) {
	Open(t, db.Config)
	db.Exec(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`)
	_, err := store.Open(t.Context(), db.Config)
	require.ErrorContains(t, err, "the schema is version 9999")
	require.ErrorContains(t, err, "a newer Teller wrote it")
}

// to makes model the active one.
func to(model string) store.Change {
	return store.Change{Actor: "operator", Reason: "test", Edit: func(r *store.Route) error {
		r.Active = model
		return nil
	}}
}

func decode(t *testing.T, state json.RawMessage) store.Route {
	t.Helper()
	var r store.Route
	require.NoError(t, json.Unmarshal(state, &r))
	return r
}
