package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// AuditEntry records one change of what operators control.
type AuditEntry struct {
	ID     string          `json:"id"`
	At     time.Time       `json:"at"` // UTC, to the microsecond
	Actor  string          `json:"actor"`
	Action string          `json:"action"` // "route.start", "route.switch", "key.create", "key.revoke"
	Before json.RawMessage `json:"before"` // a Route or a Key; null where there was none
	After  json.RawMessage `json:"after"`  // a Route or a Key
}

// Audit lists the latest changes, newest first, at most limit of them.
func (s *Store) Audit(ctx context.Context, limit int) ([]AuditEntry, error) {
	entries, err := s.audit(ctx, limit)
	if err != nil {
		return nil, fmt.Errorf("read the audit: %w", err)
	}
	return entries, nil
}

func (s *Store) audit(ctx context.Context, limit int) ([]AuditEntry, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, at_us, actor, action, before_state, after_state
		FROM audit ORDER BY at_us DESC, id DESC LIMIT $1`, max(limit, 0))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	entries := []AuditEntry{}
	for rows.Next() {
		var e AuditEntry
		var at int64
		var before, after string
		if err := rows.Scan(&e.ID, &at, &e.Actor, &e.Action, &before, &after); err != nil {
			return nil, err
		}
		e.At = time.UnixMicro(at).UTC()
		e.Before, e.After = json.RawMessage(before), json.RawMessage(after)
		entries = append(entries, e)
	}
	return entries, rows.Err()
}

// appendAudit records a change in the transaction that makes it.
func appendAudit(ctx context.Context, tx *sql.Tx, at time.Time, actor, action string, before, after any) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	b, err := json.Marshal(before)
	if err != nil {
		return err
	}
	a, err := json.Marshal(after)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO audit (id, at_us, actor, action, before_state, after_state)
		VALUES ($1, $2, $3, $4, $5, $6)`, id.String(), at.UnixMicro(), actor, action, string(b), string(a))
	return err
}
