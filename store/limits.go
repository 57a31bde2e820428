package store

import (
	"context"
	"fmt"
	"time"
)

// Spent is what a key has used of the present minute, by all processes together.
type Spent struct {
	Requests, Tokens int64
	Ends             time.Time // when the minute ends and the counts begin anew
}

// Spend adds requests and tokens to what a key has used in the minute of at, and gives the sums. Minutes are those of the clock, so
// a caller can use up two minutes' worth around their border; in return one row holds for all processes.
func (s *Store) Spend(ctx context.Context, keyID string, requests, tokens int, at time.Time) (Spent, error) {
	minute := at.Unix() / 60
	spent := Spent{Ends: time.Unix((minute+1)*60, 0).UTC()}
	err := s.fast.QueryRowContext(ctx, `INSERT INTO key_window (key_id, minute, requests, tokens) VALUES ($1, $2, $3, $4)
		ON CONFLICT (key_id) DO UPDATE SET
			requests = CASE WHEN key_window.minute = excluded.minute THEN key_window.requests ELSE 0 END + excluded.requests,
			tokens = CASE WHEN key_window.minute = excluded.minute THEN key_window.tokens ELSE 0 END + excluded.tokens,
			minute = excluded.minute
		RETURNING requests, tokens`, keyID, minute, requests, tokens).Scan(&spent.Requests, &spent.Tokens)
	if err != nil {
		return Spent{}, fmt.Errorf("count what a key has used: %w", err)
	}
	return spent, nil
}
