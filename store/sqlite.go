package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	sqliteFile = "teller.db"
	// startLockFile is an empty SQLite file whose lock lets one process at a time open the store: a
	// first start with several processes would race to create the schema and to enter WAL mode. The
	// lock goes when its process dies.
	startLockFile = "teller.db.lock"

	// busyTimeout bounds the wait for another process's transaction; ours take milliseconds.
	busyTimeout = 10 * time.Second
	// maxCheckedBytes bounds the file size up to which every page is verified at start (about a
	// second's work). Damage in a larger file shows when its page is read.
	maxCheckedBytes = 64 << 20
)

func openSQLite(ctx context.Context, dir string) (*Store, error) {
	path := filepath.Join(dir, sqliteFile)
	fail := func(err error) (*Store, error) {
		if damaged(err) {
			err = fmt.Errorf("the file is damaged or no SQLite database: restore it from a backup, "+
				"or move it and its -wal and -shm files away to begin with an empty store: %w", err)
		}
		return nil, fmt.Errorf("open the store %s: %w", path, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	unlock, err := lockStart(ctx, filepath.Join(dir, startLockFile))
	if err != nil {
		return fail(fmt.Errorf("wait for other processes to open it: %w", err))
	}
	defer unlock()
	db, err := prepareSQLite(ctx, path)
	if err != nil {
		return fail(err)
	}
	fast, err := sql.Open("sqlite", sqliteURL(path, "journal_mode(wal)", "foreign_keys(on)", "synchronous(normal)"))
	if err != nil {
		return fail(errors.Join(err, db.Close()))
	}
	fast.SetMaxOpenConns(1)
	return &Store{db: db, fast: fast}, nil
}

func prepareSQLite(ctx context.Context, path string) (_ *sql.DB, err error) {
	// SQLite gives the -wal and -shm files the mode of the main file.
	if err := makePrivate(path); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", sqliteURL(path, "journal_mode(wal)", "foreign_keys(on)"))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			db.Close()
		}
	}()
	// One connection: SQLite has one writer at a time anyway, and callers that queue here are served
	// in order, which its own busy-wait does not promise.
	db.SetMaxOpenConns(1)
	if err := verify(ctx, db, path); err != nil {
		return nil, err
	}
	return db, migrate(ctx, db, goose.DialectSQLite3)
}

// sqliteURL leaves `synchronous` at its default, full, unless a pragma says otherwise: a switch that was confirmed
// outlives a power cut. Write transactions take their lock when they begin, since one that first reads cannot wait
// for another writer later.
func sqliteURL(path string, pragmas ...string) string {
	q := url.Values{"_txlock": {"immediate"}}
	for _, p := range append(pragmas, fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds())) {
		q.Add("_pragma", p)
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// makePrivate makes the file when it is missing, and its mode 0600.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	return f.Chmod(0o600)
}

// lockStart holds path's exclusive lock until unlock is called.
func lockStart(ctx context.Context, path string) (unlock func(), err error) {
	if err := makePrivate(path); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", sqliteURL(path))
	if err != nil {
		return nil, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		db.Close()
		return nil, err
	}
	return func() {
		tx.Rollback()
		db.Close()
	}, nil
}

// verify reads the whole of a small file and the head of a large one.
func verify(ctx context.Context, db *sql.DB, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	check := "PRAGMA quick_check(1)"
	if info.Size() > maxCheckedBytes {
		check = "PRAGMA schema_version"
	}
	var found string
	if err := db.QueryRowContext(ctx, check).Scan(&found); err != nil {
		return err
	}
	if info.Size() <= maxCheckedBytes && found != "ok" {
		return &damage{found}
	}
	return nil
}

// damage is what SQLite's own check found.
type damage struct{ found string }

func (d *damage) Error() string { return d.found }

func damaged(err error) bool {
	var d *damage
	if errors.As(err, &d) {
		return true
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	primary := e.Code() & 0xff // the low byte is the primary result code: https://sqlite.org/rescode.html
	return primary == sqlite3.SQLITE_CORRUPT || primary == sqlite3.SQLITE_NOTADB
}
