package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Usage is what one turn used: figures, never text.
type Usage struct {
	TurnID       string    `json:"turn_id"`
	Tenant       string    `json:"tenant"`
	Conversation string    `json:"conversation,omitempty"` // the caller's id of it; "" for a turn that stands alone
	Model        string    `json:"model"`                  // that answered, or that should have
	FallbackFrom string    `json:"fallback_from,omitempty"`
	Outcome      string    `json:"outcome"` // "ok" or an error code
	At           time.Time `json:"at"`      // when the turn ended
	LatencyMs    int64     `json:"latency_ms"`

	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	// CostNanoUSD is in billionths of a US dollar; nil where the model has no price.
	CostNanoUSD *int64 `json:"cost_nano_usd"`
}

// RecordUsage stores the row of a turn and moves its conversation up in the list, once however often it is called. A
// turn that has a row keeps it, unless it had failed and was answered when its caller tried again.
func (s *Store) RecordUsage(ctx context.Context, u Usage) error {
	err := inTx(ctx, s.fast, func(tx *sql.Tx) error {
		at, answered := u.At.UnixMicro(), 0
		if u.Outcome == "ok" {
			answered = 1
		}
		result, err := tx.ExecContext(ctx, `INSERT INTO turn_usage (turn_id, tenant, conversation, model, fallback_from, outcome, at_us,
			latency_ms, prompt_tokens, completion_tokens, cost_nano_usd) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			ON CONFLICT (turn_id) DO UPDATE SET model = excluded.model, fallback_from = excluded.fallback_from, outcome = excluded.outcome,
				at_us = excluded.at_us, latency_ms = excluded.latency_ms, prompt_tokens = excluded.prompt_tokens,
				completion_tokens = excluded.completion_tokens, cost_nano_usd = excluded.cost_nano_usd
			WHERE turn_usage.outcome <> 'ok' AND excluded.outcome = 'ok'`, u.TurnID, u.Tenant, u.Conversation, u.Model, u.FallbackFrom, u.Outcome, at,
			u.LatencyMs, u.PromptTokens, u.CompletionTokens, u.CostNanoUSD)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO counter (name, value) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET value = counter.value + excluded.value`, chatsCounter, answered)
		if err != nil || u.Conversation == "" {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO conversation (tenant, id, created_at_us, updated_at_us, turns) VALUES ($1, $2, $3, $3, $4)
			ON CONFLICT (tenant, id) DO UPDATE SET turns = conversation.turns + excluded.turns, updated_at_us = CASE
				WHEN conversation.updated_at_us < excluded.updated_at_us THEN excluded.updated_at_us ELSE conversation.updated_at_us END`,
			u.Tenant, u.Conversation, at, answered)
		return err
	})
	if err != nil {
		return fmt.Errorf("record what turn %s used: %w", u.TurnID, err)
	}
	return nil
}

// UsageQuery selects turns. Zero fields select everything.
type UsageQuery struct {
	Tenant, Model string
	From, To      time.Time // turns that ended at or after From, and before To
}

// UsageSum is what a tenant's turns on one model used on one day.
type UsageSum struct {
	Tenant string `json:"tenant"`
	Model  string `json:"model"`
	Day    string `json:"day"` // UTC, 2006-01-02

	Turns            int64 `json:"turns"`
	Failed           int64 `json:"failed"` // of Turns
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
	// CostUSD sums the turns whose model has a price; Unpriced counts the answered others.
	CostUSD   float64 `json:"cost_usd"`
	Unpriced  int64   `json:"unpriced_turns"`
	LatencyMs int64   `json:"latency_ms"` // of all turns together
}

const dayUs = 24 * 60 * 60 * 1_000_000

// SumUsage sums turns up per tenant, model and day, newest day first.
func (s *Store) SumUsage(ctx context.Context, q UsageQuery) ([]UsageSum, error) {
	from, to := int64(0), int64(1<<62)
	if !q.From.IsZero() {
		from = q.From.UnixMicro()
	}
	if !q.To.IsZero() {
		to = q.To.UnixMicro()
	}
	rows, err := s.fast.QueryContext(ctx, `SELECT tenant, model, at_us / $1 AS day, COUNT(*),
			SUM(CASE WHEN outcome = 'ok' THEN 0 ELSE 1 END), SUM(prompt_tokens), SUM(completion_tokens),
			COALESCE(SUM(cost_nano_usd), 0), SUM(CASE WHEN outcome = 'ok' AND cost_nano_usd IS NULL THEN 1 ELSE 0 END), SUM(latency_ms)
		FROM turn_usage WHERE at_us >= $2 AND at_us < $3 AND ($4 = '' OR tenant = $4) AND ($5 = '' OR model = $5)
		GROUP BY tenant, model, day ORDER BY day DESC, tenant, model`, int64(dayUs), from, to, q.Tenant, q.Model)
	if err != nil {
		return nil, fmt.Errorf("sum usage up: %w", err)
	}
	defer rows.Close()
	sums := []UsageSum{}
	for rows.Next() {
		var u UsageSum
		var day, cost int64
		if err := rows.Scan(&u.Tenant, &u.Model, &day, &u.Turns, &u.Failed, &u.PromptTokens, &u.CompletionTokens, &cost, &u.Unpriced, &u.LatencyMs); err != nil {
			return nil, fmt.Errorf("sum usage up: %w", err)
		}
		u.Day = time.UnixMicro(day * dayUs).UTC().Format(time.DateOnly)
		u.CostUSD = float64(cost) / 1e9
		sums = append(sums, u)
	}
	return sums, rows.Err()
}
