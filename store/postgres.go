package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// openPostgres opens the database that url names. No error of it holds the password: pgx blanks it.
func openPostgres(ctx context.Context, url string) (*Store, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL is no PostgreSQL URL (postgres://user:password@host:5432/database): %w", err)
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "teller"
	}
	// One second is the shortest period at which goose asks for its lock again.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDB(*cfg)
	limit(db)
	if err := migrate(ctx, db, goose.DialectPostgres, goose.WithSessionLocker(locker)); err != nil {
		return nil, errors.Join(fmt.Errorf("open the store in PostgreSQL (%s, database %s): %w", cfg.Host, cfg.Database, err), db.Close())
	}
	relaxed := cfg.Copy()
	relaxed.RuntimeParams["synchronous_commit"] = "off"
	fast := stdlib.OpenDB(*relaxed)
	limit(fast)
	return &Store{db: db, fast: fast}, nil
}

// limit bounds a pool. A process needs few connections: its statements take a millisecond. The bound leaves room for
// others on a server with PostgreSQL's default of 100.
func limit(db *sql.DB) {
	db.SetMaxOpenConns(6)
	db.SetMaxIdleConns(6)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(30 * time.Minute)
}
