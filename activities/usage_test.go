package activities_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"teller/activities"
	"teller/llm"
	"teller/prices"
	"teller/store"
)

// ledger keeps rows in memory, or does with them what the test says.
type ledger struct {
	record func(ctx context.Context) error

	mu   sync.Mutex
	rows []store.Usage
}

func (l *ledger) RecordUsage(ctx context.Context, u store.Usage) error {
	l.mu.Lock()
	l.rows = append(l.rows, u)
	l.mu.Unlock()
	if l.record == nil {
		return nil
	}
	return l.record(ctx)
}

func (l *ledger) stored() []store.Usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rows
}

func TestCompleteRecordsWhatItsTurnUsed(t *testing.T) {
	table, err := prices.Load("")
	require.NoError(t, err)
	answers := model{complete: func(context.Context) (llm.Completion, error) {
		return llm.Completion{Text: "A bank", Served: "gemini-2.5-flash", Usage: llm.Usage{PromptTokens: 1000, CompletionTokens: 100}}, nil
	}}
	run := func(t *testing.T, l activities.Ledger, m model, turn *activities.CompletedTurn) (out activities.CompleteOutput, err error) {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestActivityEnvironment()
		acts := &activities.Activities{Models: models{"gemini": m}, Ledger: l, Prices: table}
		env.RegisterActivity(acts.Complete)
		value, err := env.ExecuteActivity(acts.Complete, activities.CompleteInput{Model: "gemini", Turn: turn})
		if err != nil {
			return out, err
		}
		return out, value.Get(&out)
	}
	arrived := time.Now().Add(-time.Hour)
	turn := &activities.CompletedTurn{ID: "t", Tenant: "retail", Conversation: "c", FallbackFrom: "custom", StartedAt: arrived}

	t.Run("once, from the turn's arrival to the reply", func(t *testing.T) {
		rows := &ledger{}
		out, err := run(t, rows, answers, turn)
		require.NoError(t, err)
		require.Equal(t, activities.UsageStored, out.Stored)
		require.Equal(t, "A bank", out.Text)
		require.Len(t, rows.stored(), 1)
		row := rows.stored()[0]
		require.Equal(t, row.At.Sub(arrived).Milliseconds(), row.LatencyMs)
		require.GreaterOrEqual(t, row.LatencyMs, time.Hour.Milliseconds())
		require.True(t, row.CallBegan.After(arrived))
		cost := int64(550_000)
		require.Equal(t, store.Usage{TurnID: "t", Tenant: "retail", Conversation: "c", Model: "gemini", FallbackFrom: "custom", Outcome: "ok",
			At: row.At, CallBegan: row.CallBegan, LatencyMs: row.LatencyMs, PromptTokens: 1000, CompletionTokens: 100, CostNanoUSD: &cost}, row)
	})
	t.Run("not when no turn is answered", func(t *testing.T) {
		rows := &ledger{}
		out, err := run(t, rows, answers, nil)
		require.NoError(t, err)
		require.Empty(t, out.Stored)
		require.Empty(t, rows.stored())
	})
	t.Run("not where there is no store", func(t *testing.T) {
		out, err := run(t, nil, answers, turn)
		require.NoError(t, err)
		require.Empty(t, out.Stored)
	})
	t.Run("not when the call failed", func(t *testing.T) {
		rows := &ledger{}
		_, err := run(t, rows, failing(&llm.Error{Code: llm.Unavailable}), turn)
		require.Error(t, err)
		require.Empty(t, rows.stored(), "the turn may still be answered")
	})
	t.Run("the reply outlives a store that fails", func(t *testing.T) {
		out, err := run(t, &ledger{record: func(context.Context) error { return errors.New("down") }}, answers, turn)
		require.NoError(t, err)
		require.Equal(t, activities.UsageWaits, out.Stored)
		require.Equal(t, "A bank", out.Text)
	})
	t.Run("the reply outlives a store that hangs", func(t *testing.T) {
		out, err := run(t, &ledger{record: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}, answers, turn)
		require.NoError(t, err)
		require.Equal(t, activities.UsageWaits, out.Stored)
		require.Equal(t, "A bank", out.Text)
	})
}
