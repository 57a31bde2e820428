package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Role is what a key's holder may do.
type Role string

// The roles.
const (
	RoleChat  Role = "chat"  // ask, and read what belongs to the key's tenant
	RoleAdmin Role = "admin" // switch models, start benchmarks and read every tenant's usage as well
)

// Key is a caller's key, without its secret.
type Key struct {
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	Role   Role   `json:"role"`
	Name   string `json:"name,omitempty"`
	// RequestsPerMinute and TokensPerMinute bound what the key may use; 0 is no bound.
	RequestsPerMinute int       `json:"requests_per_minute"`
	TokensPerMinute   int       `json:"tokens_per_minute"`
	CreatedAt         time.Time `json:"created_at"`          // UTC, to the microsecond
	RevokedAt         time.Time `json:"revoked_at,omitzero"` // zero while the key is valid
}

// ErrNoKey means that there is no such key, that it was revoked, or that its secret is another.
var ErrNoKey = errors.New("there is no such key")

// keyPrefix begins every key, so that a scanner for leaked secrets recognises one.
const keyPrefix = "tlr_"

var tenantPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// CreateKey stores a new key of k's tenant, role, name and limits, with an audit entry for actor. It gives the key
// and the text that its holder sends: the only time that text exists outside the holder's hands. The secret in it has
// 256 random bits.
func (s *Store) CreateKey(ctx context.Context, k Key, actor string) (Key, string, error) {
	switch {
	case !tenantPattern.MatchString(k.Tenant):
		return Key{}, "", fmt.Errorf("create a key: a tenant is 1 to 63 letters, digits, '_', '.' or '-', and %q is not", k.Tenant)
	case k.Role != RoleChat && k.Role != RoleAdmin:
		return Key{}, "", fmt.Errorf("create a key: a role is %s or %s, not %q", RoleChat, RoleAdmin, k.Role)
	case k.RequestsPerMinute < 0 || k.TokensPerMinute < 0:
		return Key{}, "", errors.New("create a key: a limit is at least 0, which is no limit")
	case len(k.Name) > 200:
		return Key{}, "", errors.New("create a key: a name is at most 200 bytes long")
	}
	id, secret := make([]byte, 6), make([]byte, 32)
	rand.Read(id) // never fails
	rand.Read(secret)
	k.ID, k.CreatedAt, k.RevokedAt = hex.EncodeToString(id), now(), time.Time{}
	text := keyPrefix + k.ID + "_" + base64.RawURLEncoding.EncodeToString(secret)
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO api_key (`+keyColumns+`, secret_sha256)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8)`,
			k.ID, k.Tenant, string(k.Role), k.Name, k.RequestsPerMinute, k.TokensPerMinute, k.CreatedAt.UnixMicro(), digest(text))
		if err != nil {
			return err
		}
		return appendAudit(ctx, tx, k.CreatedAt, actor, "key.create", nil, k)
	})
	if err != nil {
		return Key{}, "", fmt.Errorf("create a key: %w", err)
	}
	return k, text, nil
}

// Keys lists all keys, the revoked ones too, oldest first.
func (s *Store) Keys(ctx context.Context) ([]Key, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT `+keyColumns+` FROM api_key ORDER BY created_at_us, id`)
	if err != nil {
		return nil, fmt.Errorf("list the keys: %w", err)
	}
	defer rows.Close()
	keys := []Key{}
	for rows.Next() {
		k, err := scanKey(rows)
		if err != nil {
			return nil, fmt.Errorf("list the keys: %w", err)
		}
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

// RevokeKey ends a key for good. One that was revoked before stays as it is. Processes that cache keys follow within
// their cache's time.
func (s *Store) RevokeKey(ctx context.Context, id, actor string) (Key, error) {
	var k Key
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		before, err := scanKey(tx.QueryRowContext(ctx, `UPDATE api_key SET id = id WHERE id = $1 RETURNING `+keyColumns, id))
		if err != nil {
			return err
		}
		k = before
		if !k.RevokedAt.IsZero() {
			return nil
		}
		k.RevokedAt = now()
		if _, err := tx.ExecContext(ctx, `UPDATE api_key SET revoked_at_us = $1 WHERE id = $2`, k.RevokedAt.UnixMicro(), id); err != nil {
			return err
		}
		return appendAudit(ctx, tx, k.RevokedAt, actor, "key.revoke", before, k)
	})
	if err != nil {
		return Key{}, fmt.Errorf("revoke the key %q: %w", id, err)
	}
	return k, nil
}

// Authenticate finds the valid key whose text a caller sent. Anything else is ErrNoKey. The stored SHA-256 is compared in
// constant time; that a secret of 256 random bits needs no slow hash is OWASP's advice for tokens.
func (s *Store) Authenticate(ctx context.Context, text string) (Key, error) {
	id, _, found := strings.Cut(strings.TrimPrefix(text, keyPrefix), "_")
	if !found || !strings.HasPrefix(text, keyPrefix) {
		return Key{}, ErrNoKey
	}
	var stored string
	k, err := scanKey(s.fast.QueryRowContext(ctx, `SELECT `+keyColumns+`, secret_sha256 FROM api_key WHERE id = $1`, id), &stored)
	if err != nil {
		return Key{}, fmt.Errorf("look a key up: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(stored), []byte(digest(text))) != 1 || !k.RevokedAt.IsZero() {
		return Key{}, ErrNoKey
	}
	return k, nil
}

// HasKeys tells whether a key was ever made: from then on callers need one, although all may be revoked.
func (s *Store) HasKeys(ctx context.Context) (bool, error) {
	var any bool
	if err := s.fast.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM api_key)`).Scan(&any); err != nil {
		return false, fmt.Errorf("look for keys: %w", err)
	}
	return any, nil
}

// keyColumns are what scanKey reads, in its order.
const keyColumns = `id, tenant, role, name, requests_per_minute, tokens_per_minute, created_at_us, revoked_at_us`

// scanner is a row of one query or the present one of several.
type scanner interface{ Scan(dest ...any) error }

func scanKey(row scanner, more ...any) (Key, error) {
	var k Key
	var created, revoked int64
	err := row.Scan(append([]any{&k.ID, &k.Tenant, &k.Role, &k.Name, &k.RequestsPerMinute, &k.TokensPerMinute, &created, &revoked}, more...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return Key{}, ErrNoKey
	}
	k.CreatedAt = time.UnixMicro(created).UTC()
	if revoked != 0 {
		k.RevokedAt = time.UnixMicro(revoked).UTC()
	}
	return k, err
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
