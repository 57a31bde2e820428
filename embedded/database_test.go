package main

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	persistencespb "go.temporal.io/server/api/persistence/v1"
)

func databaseSettings(t *testing.T) settings {
	t.Helper()
	s, err := readSettings(lookup(map[string]string{"TELLER_DATA_DIR": filepath.Join(t.TempDir(), "data")}))
	require.NoError(t, err)
	return s
}

// edit changes the file behind the server's back.
func edit(t *testing.T, s settings, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", s.databasePath())
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	for _, statement := range statements {
		_, err := db.Exec(statement)
		require.NoError(t, err, statement)
	}
}

func schemaOf(t *testing.T, s settings) map[string]string {
	t.Helper()
	db, err := sql.Open("sqlite", s.databasePath())
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	rows, err := db.Query("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	all := map[string]string{}
	for rows.Next() {
		var name, create string
		require.NoError(t, rows.Scan(&name, &create))
		all[name] = create
	}
	require.NoError(t, rows.Err())
	return all
}

func TestUpgradeFile(t *testing.T) {
	ctx := context.Background()
	prepare := func(s settings) error {
		_, err := upgradeFile(ctx, s)
		return err
	}
	t.Run("a new file is for its owner only", func(t *testing.T) {
		s := databaseSettings(t)
		require.NoError(t, prepare(s))
		dir, err := os.Stat(s.dataDir)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), dir.Mode().Perm())
		file, err := os.Stat(s.databasePath())
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), file.Mode().Perm())
	})
	t.Run("a second time changes nothing", func(t *testing.T) {
		s := databaseSettings(t)
		require.NoError(t, prepare(s))
		before := schemaOf(t, s)
		require.NotEmpty(t, before)
		require.NoError(t, prepare(s))
		require.Equal(t, before, schemaOf(t, s))
	})
	t.Run("what an older or half-made file lacks is created", func(t *testing.T) {
		s := databaseSettings(t)
		require.NoError(t, prepare(s))
		before := schemaOf(t, s)
		edit(t, s, "DROP TABLE nexus_endpoints", "DROP TABLE namespace_metadata", "DROP TABLE executions_visibility_fts_text",
			"DROP INDEX default_idx", "DROP TRIGGER executions_visibility_ai")
		require.NotEqual(t, before, schemaOf(t, s))
		require.NoError(t, prepare(s))
		require.Equal(t, before, schemaOf(t, s))
	})
	for name, statement := range map[string]string{
		"a missing column":   "ALTER TABLE executions DROP COLUMN data_encoding",
		"an unknown column":  "ALTER TABLE executions ADD COLUMN surprise INT",
		"a column's changed": "ALTER TABLE executions RENAME COLUMN data TO information",
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			s := databaseSettings(t)
			require.NoError(t, prepare(s))
			edit(t, s, statement)
			before := schemaOf(t, s)
			err := prepare(s)
			require.ErrorContains(t, err, "tables executions are different")
			require.ErrorContains(t, err, "TELLER_DATA_DIR")
			require.Equal(t, before, schemaOf(t, s))
		})
	}
	t.Run("a file that is no database is refused and kept", func(t *testing.T) {
		s := databaseSettings(t)
		require.NoError(t, os.MkdirAll(s.dataDir, 0o700))
		require.NoError(t, os.WriteFile(s.databasePath(), []byte("my notes, which are longer than a header"), 0o600))
		require.ErrorContains(t, prepare(s), "not a database")
		kept, err := os.ReadFile(s.databasePath())
		require.NoError(t, err)
		require.Equal(t, "my notes, which are longer than a header", string(kept))
	})
	t.Run("indexes of a file from elsewhere that cost more than they give are dropped", func(t *testing.T) {
		s := databaseSettings(t)
		require.NoError(t, prepare(s))
		before := schemaOf(t, s)
		require.Contains(t, before, "default_idx")
		edit(t, s, "CREATE INDEX by_status ON executions_visibility (namespace_id, status)")
		require.NoError(t, prepare(s))
		require.Equal(t, before, schemaOf(t, s))
	})
	t.Run("any directory name will do", func(t *testing.T) {
		s := databaseSettings(t)
		s.dataDir = filepath.Join(s.dataDir, "50% of what? #1 ü&=;")
		require.NoError(t, prepare(s))
		require.FileExists(t, s.databasePath())
		info, err := os.Stat(s.databasePath())
		require.NoError(t, err)
		require.Positive(t, info.Size())
	})
}

func TestPrepareDatabaseNamesItsVariable(t *testing.T) {
	s := databaseSettings(t)
	require.NoError(t, os.WriteFile(s.dataDir, nil, 0o600))
	_, err := prepareDatabase(context.Background(), s)
	require.ErrorContains(t, err, "TELLER_DATA_DIR")
}

func TestEnsureNamespace(t *testing.T) {
	ctx := context.Background()
	s := databaseSettings(t)
	cfg, err := prepareDatabase(ctx, s)
	require.NoError(t, err)
	db, err := openStore(cfg)
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	for range 2 { // a restart with another retention, and one with the same
		require.NoError(t, ensureNamespace(ctx, cfg, s.namespace, 48*time.Hour))
		_, detail, err := readNamespace(ctx, db, s.namespace)
		require.NoError(t, err)
		require.Equal(t, 48*time.Hour, detail.Config.Retention.AsDuration())
		require.Equal(t, map[string]string{
			"Keyword01": "TellerModel", "Keyword02": "TellerConversation", "Keyword03": "TellerTenant",
			"Keyword04": "TellerOutcome", "Int01": "TellerLatencyMs",
		}, detail.Config.CustomSearchAttributeAliases)
	}
}

func TestAddSearchAttributes(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after map[string]string
		fails         string
	}{
		{"beside a user's own", map[string]string{"Keyword02": "Mine", "Int01": "TellerLatencyMs"}, map[string]string{
			"Keyword02": "Mine", "Int01": "TellerLatencyMs", "Keyword01": "TellerModel", "Keyword03": "TellerConversation",
			"Keyword04": "TellerTenant", "Keyword05": "TellerOutcome",
		}, ""},
		{"of another type", map[string]string{"Text01": "TellerModel"}, nil, "TellerModel is there as Text"},
		{"no room", map[string]string{"Int01": "a", "Int02": "b", "Int03": "c"}, nil, "TellerLatencyMs: all columns of type Int"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := &persistencespb.NamespaceConfig{CustomSearchAttributeAliases: c.before}
			err := addSearchAttributes(cfg)
			if c.fails != "" {
				require.ErrorContains(t, err, c.fails)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.after, cfg.CustomSearchAttributeAliases)
		})
	}
}
