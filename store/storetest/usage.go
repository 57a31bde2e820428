package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"teller/store"
)

func usage(t *testing.T, db Database) {
	s := Open(t, db.Config)
	day := time.Date(2026, 3, 1, 23, 59, 59, 0, time.UTC)
	cost := int64(2_500_000)
	for _, u := range []store.Usage{
		{TurnID: "1", Tenant: "a", Model: "custom", Outcome: "ok", At: day, LatencyMs: 10, PromptTokens: 5, CompletionTokens: 7},
		{TurnID: "2", Tenant: "a", Model: "gemini", Outcome: "ok", At: day, LatencyMs: 20, PromptTokens: 50, CompletionTokens: 70, CostNanoUSD: &cost},
		{TurnID: "3", Tenant: "a", Model: "gemini", Outcome: "ok", At: day.Add(2 * time.Second), LatencyMs: 1, PromptTokens: 1, CompletionTokens: 1, CostNanoUSD: &cost},
		{TurnID: "4", Tenant: "a", Model: "gemini", Outcome: "timeout", At: day.Add(2 * time.Second), LatencyMs: 60_000},
		{TurnID: "5", Tenant: "b", Model: "custom", Outcome: "ok", At: day, LatencyMs: 3, PromptTokens: 2, CompletionTokens: 2},
	} {
		require.NoError(t, s.RecordUsage(t.Context(), u))
		u.PromptTokens = 1000
		require.NoError(t, s.RecordUsage(t.Context(), u), "a second row of a turn changes nothing")
	}
	sums, err := s.SumUsage(t.Context(), store.UsageQuery{Tenant: "a"})
	require.NoError(t, err)
	require.Equal(t, []store.UsageSum{
		{Tenant: "a", Model: "gemini", Day: "2026-03-02", Turns: 2, Failed: 1, PromptTokens: 1, CompletionTokens: 1, CostUSD: 0.0025, LatencyMs: 60_001},
		{Tenant: "a", Model: "custom", Day: "2026-03-01", Turns: 1, PromptTokens: 5, CompletionTokens: 7, Unpriced: 1, LatencyMs: 10},
		{Tenant: "a", Model: "gemini", Day: "2026-03-01", Turns: 1, PromptTokens: 50, CompletionTokens: 70, CostUSD: 0.0025, LatencyMs: 20},
	}, sums)
	sums, err = s.SumUsage(t.Context(), store.UsageQuery{})
	require.NoError(t, err)
	require.Len(t, sums, 4)
	sums, err = s.SumUsage(t.Context(), store.UsageQuery{Model: "gemini", From: day.Add(time.Second), To: day.Add(time.Hour)})
	require.NoError(t, err)
	require.Len(t, sums, 1)
	require.EqualValues(t, 2, sums[0].Turns)
}

// usageGivesWay records rows of one turn one after the other, and says which one stands: that whose call, or decision, began last.
func usageGivesWay(t *testing.T, db Database) {
	s := Open(t, db.Config)
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	row := func(model, outcome string, callBegan, at time.Duration) store.Usage {
		u := store.Usage{Tenant: "a", Conversation: "c", Model: model, Outcome: outcome, At: began.Add(at)}
		if callBegan > 0 {
			u.CallBegan = began.Add(callBegan)
		}
		return u
	}
	for name, c := range map[string]struct {
		rows  []store.Usage
		model string // of the row that stands
		turns int64  // of the conversation
	}{
		"the same call twice":                          {[]store.Usage{row("m", "ok", time.Second, 5*time.Second), row("m", "ok", time.Second, 5*time.Second)}, "m", 1},
		"an answer was lost, another model answered":   {[]store.Usage{row("lost", "ok", time.Millisecond, time.Second), row("m", "ok", 4*time.Second, 5*time.Second)}, "m", 1},
		"an answer was lost, the turn failed":          {[]store.Usage{row("lost", "ok", time.Millisecond, time.Second), row("m", "timeout", 0, 9*time.Second)}, "m", 0},
		"a turn was cancelled, its call went on":       {[]store.Usage{row("m", "canceled", 0, 2*time.Second), row("late", "ok", time.Second, 3*time.Second)}, "m", 0},
		"a lost call went on while another answered":   {[]store.Usage{row("m", "ok", 4*time.Second, 5*time.Second), row("late", "ok", time.Second, 6*time.Second)}, "m", 1},
		"a failed turn was tried again":                {[]store.Usage{row("failed", "timeout", 0, time.Second), row("m", "ok", 2*time.Second, 3*time.Second)}, "m", 1},
		"a failure waited for the store, then a retry": {[]store.Usage{row("m", "ok", 2*time.Second, 3*time.Second), row("failed", "timeout", 0, time.Second)}, "m", 1},
	} {
		t.Run(name, func(t *testing.T) {
			before, _, err := s.Chats(t.Context())
			require.NoError(t, err)
			for _, u := range c.rows {
				u.TurnID, u.Tenant = name, name
				require.NoError(t, s.RecordUsage(t.Context(), u))
			}
			sums, err := s.SumUsage(t.Context(), store.UsageQuery{Tenant: name})
			require.NoError(t, err)
			require.Len(t, sums, 1)
			require.Equal(t, c.model, sums[0].Model)
			require.EqualValues(t, 1, sums[0].Turns)
			require.EqualValues(t, 1-c.turns, sums[0].Failed)
			page, _, err := s.Conversations(t.Context(), name, "", 1)
			require.NoError(t, err)
			require.Equal(t, c.turns, page[0].Turns)
			after, _, err := s.Chats(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.turns, after-before)
		})
	}
}

// usageRaces records the same turns from several processes at once: each turn is there once.
func usageRaces(t *testing.T, db Database) {
	const processes, turns = 4, 25
	var group errgroup.Group
	for range processes {
		s := Open(t, db.Config)
		group.Go(func() error {
			for i := range turns {
				err := s.RecordUsage(t.Context(), store.Usage{TurnID: fmt.Sprint("t", i), Tenant: "a", Conversation: "c", Model: "m",
					Outcome: "ok", At: time.Now(), PromptTokens: 1})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	s := Open(t, db.Config)
	page, _, err := s.Conversations(t.Context(), "a", "", 10)
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.EqualValues(t, turns, page[0].Turns)
}

func conversations(t *testing.T, db Database) {
	s := Open(t, db.Config)
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	record := func(turn, tenant, conversation string, at time.Duration) {
		require.NoError(t, s.RecordUsage(t.Context(), store.Usage{TurnID: turn, Tenant: tenant, Conversation: conversation, Model: "m", Outcome: "ok", At: began.Add(at)}))
	}
	for i := range 5 {
		record(fmt.Sprint("t", i), "a", fmt.Sprint("c", i), time.Second) // the same moment: the id decides
	}
	record("again", "a", "c0", time.Minute)
	record("late", "a", "c0", 0) // was answered before the others and is recorded after them
	record("alone", "a", "", time.Hour)
	record("theirs", "b", "c0", time.Hour)

	var ids []string
	cursor := ""
	for pages := 0; ; pages++ {
		require.Less(t, pages, 4)
		page, next, err := s.Conversations(t.Context(), "a", cursor, 2)
		require.NoError(t, err)
		for _, c := range page {
			ids = append(ids, c.ID)
		}
		if cursor = next; next == "" {
			break
		}
	}
	require.Equal(t, []string{"c0", "c4", "c3", "c2", "c1"}, ids)
	page, _, err := s.Conversations(t.Context(), "a", "", 1)
	require.NoError(t, err)
	require.Equal(t, store.Conversation{ID: "c0", CreatedAt: began.Add(time.Second), UpdatedAt: began.Add(time.Minute), Turns: 3}, page[0])

	failed := store.Usage{TurnID: "tried twice", Tenant: "c", Conversation: "c0", Model: "m", Outcome: "timeout", At: began}
	require.NoError(t, s.RecordUsage(t.Context(), failed))
	page, _, err = s.Conversations(t.Context(), "c", "", 1)
	require.NoError(t, err)
	require.Zero(t, page[0].Turns)
	answered := failed
	answered.Outcome, answered.At = "ok", began.Add(time.Second)
	for range 2 {
		require.NoError(t, s.RecordUsage(t.Context(), answered))
		require.NoError(t, s.RecordUsage(t.Context(), failed))
	}
	page, _, err = s.Conversations(t.Context(), "c", "", 1)
	require.NoError(t, err)
	require.EqualValues(t, 1, page[0].Turns)
	counted, err := s.SumUsage(t.Context(), store.UsageQuery{Tenant: "c"})
	require.NoError(t, err)
	require.Zero(t, counted[0].Failed)

	require.NoError(t, s.ForgetConversation(t.Context(), "a", "c0"))
	page, _, err = s.Conversations(t.Context(), "a", "", 10)
	require.NoError(t, err)
	require.Len(t, page, 4)
	page, _, err = s.Conversations(t.Context(), "b", "", 10)
	require.NoError(t, err)
	require.Len(t, page, 1)
	sums, err := s.SumUsage(t.Context(), store.UsageQuery{Tenant: "a"})
	require.NoError(t, err)
	require.EqualValues(t, 8, sums[0].Turns, "what was used stays counted")

	for _, cursor := range []string{"?", "AAAA", "MTIz"} {
		_, _, err := s.Conversations(t.Context(), "a", cursor, 10)
		require.ErrorIs(t, err, store.ErrBadCursor)
	}
}
