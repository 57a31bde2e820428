// Package store keeps the rows that outlive a process: the route and the audit of its changes, the keys of callers,
// what each turn used, the list of conversations and the turns that must not run twice. They
// live in one SQLite file by default and in PostgreSQL when a URL is given; the same statements and
// the same migrations serve both. It knows no model, no HTTP and no Temporal.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Config says where the rows live.
type Config struct {
	// DatabaseURL names a PostgreSQL database ("postgres://user@host/name"). Empty means SQLite.
	DatabaseURL string
	// DataDir is the folder of the SQLite file teller.db. It is made when it is missing. It must be on
	// a local disk: SQLite's write-ahead log does not work on network file systems.
	DataDir string
}

// Store is an open database. It is safe for concurrent use, and so is the database itself for
// several processes at once.
type Store struct {
	db *sql.DB // what it commits outlives a power cut
	// fast is the same database for the rows that every turn writes. What it commits outlives the process, not a power
	// cut: waiting for the disk would cost each turn some milliseconds.
	fast *sql.DB
	// turn are the statements of fast that every turn runs.
	turn turnStatements
}

// Open opens the database and brings its schema up to date. It refuses a damaged file and a schema
// newer than this program's.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	open := func() (*Store, error) { return openSQLite(ctx, cfg.DataDir) }
	if cfg.DatabaseURL != "" {
		open = func() (*Store, error) { return openPostgres(ctx, cfg.DatabaseURL) }
	}
	s, err := open()
	if err != nil {
		return nil, err
	}
	if err := s.turn.prepare(ctx, s.fast); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the store's statements: %w", err), s.Close())
	}
	return s, nil
}

// Ping tells whether the database can be reached and holds our tables.
func (s *Store) Ping(ctx context.Context) error {
	if _, err := s.routeVersion(ctx); err != nil {
		return fmt.Errorf("reach the store: %w", err)
	}
	return nil
}

// Close ends all connections. Calls under way fail.
func (s *Store) Close() error { return errors.Join(s.fast.Close(), s.db.Close()) }

// inTx runs do in one transaction. With SQLite it holds the write lock from the start; with
// PostgreSQL do must begin with a statement that locks what it is about to decide on.
func (s *Store) inTx(ctx context.Context, do func(*sql.Tx) error) error { return inTx(ctx, s.db, do) }

func inTx(ctx context.Context, db *sql.DB, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// now is the time at the resolution that is stored.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
