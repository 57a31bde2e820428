package store

import (
	"context"
	"fmt"
	"time"
)

// Claim ties an Idempotency-Key of a tenant to the turn that it stands for.
type Claim struct {
	TurnID string
	Digest string // of the request
}

// ClaimKey ties key to c, unless the tenant has used it before: then it gives the claim that came first. Of several processes
// that claim one key at a time exactly one is first. The key itself is stored as its SHA-256.
func (s *Store) ClaimKey(ctx context.Context, tenant, key string, c Claim) (Claim, error) {
	first := c
	// The update changes nothing; it makes the statement return the row that was there.
	err := s.fast.QueryRowContext(ctx, `INSERT INTO idempotency (tenant, key_sha256, digest, turn_id, at_us) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (tenant, key_sha256) DO UPDATE SET digest = idempotency.digest
		RETURNING digest, turn_id`, tenant, digest(key), c.Digest, c.TurnID, now().UnixMicro()).Scan(&first.Digest, &first.TurnID)
	if err != nil {
		return Claim{}, fmt.Errorf("claim an idempotency key: %w", err)
	}
	return first, nil
}

// ForgetKeys drops the claims made before a time.
func (s *Store) ForgetKeys(ctx context.Context, before time.Time) error {
	if _, err := s.fast.ExecContext(ctx, `DELETE FROM idempotency WHERE at_us < $1`, before.UnixMicro()); err != nil {
		return fmt.Errorf("forget idempotency keys: %w", err)
	}
	return nil
}
