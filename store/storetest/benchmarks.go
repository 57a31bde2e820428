package storetest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/store"
)

func benchmarks(t *testing.T, db Database) {
	s := Open(t, db.Config)
	ctx := t.Context()
	cases := []json.RawMessage{[]byte(`{"id":"a"}`), []byte(`{"id":"b"}`), []byte(`{"id":"c"}`)}
	for range 2 {
		require.NoError(t, s.KeepSuite(ctx, "hash", "banking", cases))
	}
	got, err := s.SuiteCases(ctx, "hash", []int{2, 0})
	require.NoError(t, err)
	require.Equal(t, []json.RawMessage{cases[2], cases[0]}, got)
	_, err = s.SuiteCases(ctx, "hash", []int{3})
	require.Error(t, err)

	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i := range 3 {
		run := store.BenchmarkRun{ID: fmt.Sprint("r", i), Suite: "banking", SuiteHash: "hash", Cause: "api", StartedAt: at.Add(time.Duration(i) * time.Hour)}
		require.NoError(t, s.BeginRun(ctx, run))
		run.Cause = "another"
		require.NoError(t, s.BeginRun(ctx, run), "a run begins once")
	}
	first, err := s.EndRun(ctx, "r1", at.Add(90*time.Minute), json.RawMessage(`{"winner":"custom"}`))
	require.NoError(t, err)
	require.True(t, first)
	again, err := s.EndRun(ctx, "r1", at, json.RawMessage(`{"winner":"other"}`))
	require.NoError(t, err)
	require.False(t, again)
	run, err := s.Run(ctx, "r1")
	require.NoError(t, err)
	require.Equal(t, store.BenchmarkRun{ID: "r1", Suite: "banking", SuiteHash: "hash", Cause: "api", StartedAt: at.Add(time.Hour),
		EndedAt: at.Add(90 * time.Minute), Summary: json.RawMessage(`{"winner":"custom"}`)}, run)
	_, err = s.Run(ctx, "none")
	require.ErrorIs(t, err, store.ErrNoRun)
	runs, err := s.Runs(ctx, "", false, 2)
	require.NoError(t, err)
	require.Len(t, runs, 2)
	require.Equal(t, "r2", runs[0].ID)
	runs, err = s.Runs(ctx, "hash", true, 10)
	require.NoError(t, err)
	require.Len(t, runs, 1)

	_, err = s.RunBefore(ctx, "r1")
	require.ErrorIs(t, err, store.ErrNoRun)
	before, err := s.RunBefore(ctx, "r2")
	require.NoError(t, err)
	require.Equal(t, "r1", before.ID)
	name, n, err := s.Suite(ctx, "hash")
	require.NoError(t, err)
	require.Equal(t, "banking", name)
	require.Equal(t, 3, n)
	_, _, err = s.Suite(ctx, "other")
	require.ErrorIs(t, err, store.ErrNoSuite)

	const results = 2500 // more than two pages
	var rows []store.CaseRow
	for i := range results {
		rows = append(rows, store.CaseRow{Model: "custom", CaseID: fmt.Sprintf("%04d", i), Body: json.RawMessage(`{"pass":true}`)})
	}
	require.NoError(t, s.KeepResults(ctx, "r1", rows))
	require.NoError(t, s.KeepResults(ctx, "r1", []store.CaseRow{{Model: "custom", CaseID: "0000", Body: json.RawMessage(`{"pass":false}`)},
		{Model: "gemini", CaseID: "0000", Body: json.RawMessage(`{"pass":false}`)}}))
	count := map[string]int{}
	for row, err := range s.Results(ctx, "r1", "") {
		require.NoError(t, err)
		count[row.Model]++
		require.JSONEq(t, fmt.Sprintf(`{"pass":%t}`, row.Model == "custom"), string(row.Body), "a result that is there stays")
	}
	require.Equal(t, map[string]int{"custom": results, "gemini": 1}, count)
	recorded, err := s.Recorded(ctx, "r1")
	require.NoError(t, err)
	require.Equal(t, count, recorded)
	for row, err := range s.Results(ctx, "r1", "gemini") {
		require.NoError(t, err)
		require.Equal(t, "gemini", row.Model)
	}
}

func chats(t *testing.T, db Database) {
	s, second := Open(t, db.Config), Open(t, db.Config)
	answered, benchmarked, err := s.Chats(t.Context())
	require.NoError(t, err)
	require.Zero(t, answered)
	require.Zero(t, benchmarked)
	for i, outcome := range []string{"ok", "timeout", "ok", "ok"} {
		u := store.Usage{TurnID: fmt.Sprint(i), Tenant: "a", Model: "m", Outcome: outcome, At: time.Now()}
		require.NoError(t, s.RecordUsage(t.Context(), u))
		require.NoError(t, second.RecordUsage(t.Context(), u))
	}
	// Both processes have seen that a run is due since no chat was; the same run begins once, however often.
	begin := func(in *store.Store, id string, last int64) bool {
		due, err := in.BeginDueRun(t.Context(), store.BenchmarkRun{ID: id, Cause: "requests", StartedAt: time.Now()}, last, 2)
		require.NoError(t, err)
		return due
	}
	require.True(t, begin(s, "due-1", 0))
	require.True(t, begin(second, "due-1", 0))
	require.False(t, begin(second, "due-2", 0), "another run has begun since")
	_, err = s.Run(t.Context(), "due-2")
	require.ErrorIs(t, err, store.ErrNoRun)
	answered, benchmarked, err = second.Chats(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, answered)
	require.EqualValues(t, 2, benchmarked)
}
