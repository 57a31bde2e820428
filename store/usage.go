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
	// CallBegan is when the call began that gave the answer; zero is At, that of a decision. The turn's row is the last to have begun.
	CallBegan time.Time `json:"-"`

	LatencyMs int64 `json:"latency_ms"`

	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	// CostNanoUSD is in billionths of a US dollar; nil where the model has no price.
	CostNanoUSD *int64 `json:"cost_nano_usd"`
}

// turnStatements are parsed once: SQLite would take as long to parse them each time as to run them.
type turnStatements struct{ use, count, converse *sql.Stmt }

func (t *turnStatements) prepare(ctx context.Context, db *sql.DB) (err error) {
	for statement, text := range map[**sql.Stmt]string{
		&t.use: `INSERT INTO turn_usage (turn_id, tenant, conversation, model, fallback_from, outcome, at_us,
				latency_ms, prompt_tokens, completion_tokens, cost_nano_usd) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			ON CONFLICT (turn_id) DO NOTHING`,
		&t.count: `INSERT INTO counter (name, value) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET value = counter.value + excluded.value`,
		&t.converse: `INSERT INTO conversation (tenant, id, created_at_us, updated_at_us, turns) VALUES ($1, $2, $3, $3, $4)
			ON CONFLICT (tenant, id) DO UPDATE SET turns = conversation.turns + excluded.turns, updated_at_us = CASE
				WHEN conversation.updated_at_us < excluded.updated_at_us THEN excluded.updated_at_us ELSE conversation.updated_at_us END`,
	} {
		*statement, err = db.PrepareContext(ctx, text) //nolint:sqlclosecheck // closed with db
		if err != nil {
			return err
		}
	}
	return nil
}

// RecordUsage stores the row of a turn and moves its conversation up in the list. A turn has one row, however often this is called.
// One that stands keeps its place against the same row again and against what began before it was there: a call that outlived its
// turn, a row that waited for the store. It gives way to what began after it: another try of a turn that had failed, or another call
// of one whose answer was lost with its worker.
func (s *Store) RecordUsage(ctx context.Context, u Usage) error {
	began := u.CallBegan
	if began.IsZero() {
		began = u.At
	}
	answered := 0
	if u.Outcome == "ok" {
		answered = 1
	}
	err := inTx(ctx, s.fast, func(tx *sql.Tx) error {
		at := u.At.UnixMicro()
		inserted, err := changed(runIn(ctx, tx, s.turn.use, u.TurnID, u.Tenant, u.Conversation, u.Model, u.FallbackFrom, u.Outcome, at,
			u.LatencyMs, u.PromptTokens, u.CompletionTokens, u.CostNanoUSD))
		if err != nil {
			return err
		}
		more := answered
		if !inserted {
			before, replaced, err := replaceUsage(ctx, tx, u, began)
			if err != nil || !replaced {
				return err
			}
			more -= before
		}
		_, err = runIn(ctx, tx, s.turn.count, chatsCounter, more)
		if err != nil || u.Conversation == "" {
			return err
		}
		_, err = runIn(ctx, tx, s.turn.converse, u.Tenant, u.Conversation, at, more)
		return err
	})
	if err != nil {
		return fmt.Errorf("record what turn %s used: %w", u.TurnID, err)
	}
	return nil
}

// runIn runs a prepared statement in the transaction.
func runIn(ctx context.Context, tx *sql.Tx, prepared *sql.Stmt, args ...any) (sql.Result, error) {
	statement := tx.StmtContext(ctx, prepared)
	defer statement.Close() // the transaction's own; the prepared one stays
	return statement.ExecContext(ctx, args...)
}

// replaceUsage puts u in the place of the turn's row, if that stood before u's call began. answered is 1 if the row that went was of an
// answer, else 0: one statement for each, since no statement of both databases gives what a row was before.
func replaceUsage(ctx context.Context, tx *sql.Tx, u Usage, began time.Time) (answered int, replaced bool, err error) {
	for answered := range 2 {
		replaced, err := changed(tx.ExecContext(ctx, `UPDATE turn_usage SET model = $1, fallback_from = $2, outcome = $3, at_us = $4,
				latency_ms = $5, prompt_tokens = $6, completion_tokens = $7, cost_nano_usd = $8
			WHERE turn_id = $9 AND at_us < $10 AND CASE WHEN outcome = 'ok' THEN 1 ELSE 0 END = $11`,
			u.Model, u.FallbackFrom, u.Outcome, u.At.UnixMicro(), u.LatencyMs, u.PromptTokens, u.CompletionTokens, u.CostNanoUSD,
			u.TurnID, began.UnixMicro(), answered))
		if err != nil || replaced {
			return answered, replaced, err
		}
	}
	return 0, false, nil
}

// changed tells whether a statement changed a row.
func changed(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
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
