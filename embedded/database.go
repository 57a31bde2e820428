package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"go.temporal.io/server/common/config"
	serverlog "go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	persistencesql "go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/resolver"
	sqlitedriver "modernc.org/sqlite"
)

// busy is SQLite's primary result code SQLITE_BUSY: another process holds the file's lock.
const busy = 5

// prepareDatabase makes the file or checks the one that is there, and returns how the server is to open it.
func prepareDatabase(ctx context.Context, s settings) (*config.SQL, error) {
	cfg, err := upgradeFile(ctx, s)
	if failure := new(sqlitedriver.Error); errors.As(err, &failure) && failure.Code()&0xff == busy {
		return nil, fmt.Errorf("TELLER_DATA_DIR: %s is in use by another process; stop that one or set TELLER_DATA_DIR to another directory",
			s.databasePath())
	}
	if err != nil {
		return nil, fmt.Errorf("TELLER_DATA_DIR: %w", err)
	}
	if err := ensureNamespace(ctx, cfg, s.namespace, s.retention); err != nil {
		return nil, fmt.Errorf("namespace %s in %s: %w", s.namespace, s.databasePath(), err)
	}
	return cfg, nil
}

// upgradeFile gives the file, which need not exist, the schema of this server version.
func upgradeFile(ctx context.Context, s settings) (*config.SQL, error) {
	if err := os.MkdirAll(s.dataDir, 0o700); err != nil {
		return nil, err
	}
	path, err := filepath.Abs(s.databasePath())
	if err != nil {
		return nil, err
	}
	// What customers wrote is in this file: nobody else on the machine reads it. SQLite gives its -wal file the same mode.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	cfg := &config.SQL{
		PluginName:   sqlite.PluginName,
		DatabaseName: (&url.URL{Path: path}).EscapedPath(),
		// More connections than one meet SQLITE_BUSY, which the server takes for a failure of the store.
		MaxConns:     1,
		MaxIdleConns: 1,
		ConnectAttributes: map[string]string{
			"mode":         "rw",
			"journal_mode": "wal",
			"synchronous":  s.synchronous,
			// A second server on the same file would undo this one's work; so the first one keeps it locked.
			"locking_mode": "exclusive",
			// At 10000 pages (40 MB) instead of 1000 the log is written back a tenth as often, and a page that changed many
			// times goes back once. Everybody waits while it happens.
			"wal_autocheckpoint": "10000",
		},
	}
	if err := upgradeSchema(ctx, cfg.DatabaseName); err != nil {
		return nil, fmt.Errorf("%s: %w", s.databasePath(), err)
	}
	return cfg, nil
}

// referenceDatabase is an in-memory database to which the server library itself gives the schema of its version.
var referenceDatabase = config.SQL{
	PluginName:        sqlite.PluginName,
	DatabaseName:      "teller-schema",
	ConnectAttributes: map[string]string{"mode": "memory", "cache": "shared"},
}

// upgradeSchema brings a new, a half-made or an older file to the schema of this server version, in one transaction.
//
// The library creates a schema but neither records its version in the file nor upgrades it. So the file is compared
// with a schema fresh from the library: what is missing as a whole (tables, indexes, triggers) is created, which is all
// that a new file needs and most of what versions add. A table that is there with other columns is refused.
func upgradeSchema(ctx context.Context, file string) error {
	reference, err := persistencesql.NewSQLAdminDB(sqlplugin.DbKindUnknown, &referenceDatabase,
		resolver.NewNoopResolver(), serverlog.NewNoopLogger(), metrics.NoopMetricsHandler)
	if err != nil {
		return fmt.Errorf("schema of this version: %w", err)
	}
	defer func() { _ = reference.Close() }()

	pool, err := sql.Open("sqlite", "file:"+file+"?mode=rw&_pragma=journal_mode(wal)")
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close() }()
	conn, err := pool.Conn(ctx) // ATTACH belongs to one connection
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, "ATTACH 'file:"+referenceDatabase.DatabaseName+"?mode=memory&cache=shared' AS reference"); err != nil {
		return err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := dropUnwanted(ctx, tx); err != nil {
		return err
	}
	if err := createMissing(ctx, tx); err != nil {
		return err
	}
	differing, err := queryStrings(ctx, tx, `
		WITH
		wanted(t, c) AS (SELECT m.name, x.name || ' ' || x.type || x."notnull" || x.pk || x.hidden
			FROM reference.sqlite_master m, pragma_table_xinfo(m.name, 'reference') x WHERE m.type = 'table'),
		present(t, c) AS (SELECT m.name, x.name || ' ' || x.type || x."notnull" || x.pk || x.hidden
			FROM reference.sqlite_master m, pragma_table_xinfo(m.name, 'main') x WHERE m.type = 'table')
		SELECT DISTINCT t FROM (SELECT * FROM (SELECT * FROM wanted EXCEPT SELECT * FROM present)
			UNION SELECT * FROM (SELECT * FROM present EXCEPT SELECT * FROM wanted)) ORDER BY t`)
	if err != nil {
		return err
	}
	if len(differing) > 0 {
		return fmt.Errorf("was written by another version of the Temporal server (its tables %s are different); "+
			"run that version, or set TELLER_DATA_DIR to another directory to begin with an empty one", strings.Join(differing, ", "))
	}
	return tx.Commit()
}

// unwanted selects the schema's indexes that this server does without. The table that the Web UI lists and searches comes
// with some sixty, one for each thing to sort by, and each turn changes all of them several times; all else waits
// meanwhile for the one connection. Without them turns per second double, and a search reads the table, which here
// holds a week's turns of one machine.
const unwanted = `type = 'index' AND tbl_name = 'executions_visibility' AND sql IS NOT NULL AND name NOT IN ('default_idx', 'by_workflow_id')`

func dropUnwanted(ctx context.Context, tx *sql.Tx) error {
	names, err := queryStrings(ctx, tx, "SELECT name FROM main.sqlite_master WHERE "+unwanted)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := tx.ExecContext(ctx, `DROP INDEX main."`+name+`"`); err != nil {
			return fmt.Errorf("drop %s: %w", name, err)
		}
	}
	return nil
}

// createMissing creates what the reference has and the file lacks. A table that it creates gets the rows that the
// reference has in it.
func createMissing(ctx context.Context, tx *sql.Tx) error {
	// A virtual table brings its own shadow tables along, so it goes first; triggers go last, when their tables are there.
	missing, err := queryStrings(ctx, tx, `SELECT name FROM reference.sqlite_master WHERE sql IS NOT NULL
		AND name NOT IN (SELECT name FROM main.sqlite_master) AND NOT (`+unwanted+`)
		ORDER BY type = 'trigger', sql NOT LIKE 'CREATE VIRTUAL%', type = 'index', rowid`)
	if err != nil {
		return err
	}
	for _, name := range missing {
		var there, isTable bool
		var create string
		if err := tx.QueryRowContext(ctx, `SELECT name IN (SELECT name FROM main.sqlite_master), type = 'table', sql
			FROM reference.sqlite_master WHERE name = ?`, name).Scan(&there, &isTable, &create); err != nil {
			return err
		}
		if there {
			continue
		}
		if _, err := tx.ExecContext(ctx, create); err != nil {
			return fmt.Errorf("create %s: %w", name, err)
		}
		if !isTable {
			continue
		}
		var hasRows bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM reference."`+name+`")`).Scan(&hasRows); err != nil {
			return err
		}
		if hasRows {
			if _, err := tx.ExecContext(ctx, `INSERT INTO main."`+name+`" SELECT * FROM reference."`+name+`"`); err != nil {
				return fmt.Errorf("fill %s: %w", name, err)
			}
		}
	}
	return nil
}

func queryStrings(ctx context.Context, tx *sql.Tx, query string) ([]string, error) {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
