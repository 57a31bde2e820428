package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"teller/internal/pgtest"
	"teller/store"
	"teller/store/storetest"
)

// writerEnv turns the test binary into a process that switches the route for ever; its value is the
// folder of the SQLite file, or the PostgreSQL URL behind "url:".
const writerEnv = "TELLER_STORE_TEST_WRITER"

func TestMain(m *testing.M) {
	if at := os.Getenv(writerEnv); at != "" {
		fmt.Fprintln(os.Stderr, writeForEver(at))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Database { return sqliteDatabase(t.TempDir()) })
}

func TestPostgreSQL(t *testing.T) {
	server := pgtest.Start(t)
	storetest.Run(t, func(t *testing.T) storetest.Database { return postgresDatabase(server.Database(t)) })

	t.Run("the cache serves while the server is down", func(t *testing.T) {
		db := postgresDatabase(server.Database(t))
		s := storetest.Open(t, db.Config)
		_, err := s.Start(t.Context(), "custom", store.Route{})
		require.NoError(t, err)
		cache, log := storetest.Follow(t, s)
		server.Stop()
		eventually(t, func() bool { return log.Count("out of reach") == 1 })
		require.Equal(t, "custom", cache.Route().Active)
		require.Error(t, s.Ping(t.Context()))
		server.Run(t)
		eventually(t, func() bool { return log.Count("store is back") == 1 })
		require.NoError(t, s.Ping(t.Context()))
	})
	t.Run("killed writers leave it whole", func(t *testing.T) {
		url := server.Database(t)
		killWriters(t, "url:"+url, postgresDatabase(url).Config)
	})
}

func TestSQLiteKilledWritersLeaveItWhole(t *testing.T) {
	dir := t.TempDir()
	killWriters(t, dir, store.Config{DataDir: dir})
	var found string
	require.NoError(t, openFile(t, dir).QueryRow("PRAGMA integrity_check").Scan(&found))
	require.Equal(t, "ok", found)
}

func TestSQLiteHoldsNobodyBeyondTheirTime(t *testing.T) {
	dir := t.TempDir()
	s := storetest.Open(t, store.Config{DataDir: dir})
	other, err := openFile(t, dir).Conn(t.Context())
	require.NoError(t, err)
	defer other.Close()
	_, err = other.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	// SQLite itself would wait for 10 s, and then say that the file is locked.
	require.ErrorIs(t, s.RecordUsage(ctx, store.Usage{TurnID: "1", Outcome: "ok", At: time.Now()}), context.DeadlineExceeded)
	_, err = other.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	require.NoError(t, s.RecordUsage(t.Context(), store.Usage{TurnID: "1", Outcome: "ok", At: time.Now()}))
}

func TestSQLiteFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "data # 100%?")
	s := storetest.Open(t, store.Config{DataDir: dir})
	_, err := s.Start(t.Context(), "custom", store.Route{})
	require.NoError(t, err)
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.EqualValues(t, 0o700, info.Mode().Perm())
	for _, name := range []string{"teller.db", "teller.db-wal", "teller.db-shm", "teller.db.lock"} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.EqualValues(t, 0o600, info.Mode().Perm(), name)
	}

	t.Run("a relative folder", func(t *testing.T) {
		t.Chdir(t.TempDir())
		storetest.Open(t, store.Config{DataDir: ".teller"})
		require.FileExists(t, ".teller/teller.db")
	})
	t.Run("a file that others could read is closed to them", func(t *testing.T) {
		open := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(open, "teller.db"), nil, 0o644))
		storetest.Open(t, store.Config{DataDir: open})
		info, err := os.Stat(filepath.Join(open, "teller.db"))
		require.NoError(t, err)
		require.EqualValues(t, 0o600, info.Mode().Perm())
	})
}

func TestSQLiteDamagedFileIsRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, path string)
	}{
		{"not a database", func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, []byte("these bytes were never a database, whatever the name says"), 0o600))
		}},
		{"overwritten in the middle", func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			require.NoError(t, err)
			defer f.Close()
			info, err := f.Stat()
			require.NoError(t, err)
			const page = 4096
			require.Greater(t, info.Size(), int64(3*page))
			for at := int64(2 * page); at < info.Size(); at += page { // leaves the header and the schema
				_, err = f.WriteAt([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), at)
				require.NoError(t, err)
			}
		}},
		{"cut short", func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 5000)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := store.Open(t.Context(), store.Config{DataDir: dir})
			require.NoError(t, err)
			_, err = s.Start(t.Context(), "custom", store.Route{})
			require.NoError(t, err)
			require.NoError(t, s.Close()) // merges the write-ahead log into the file
			path := filepath.Join(dir, "teller.db")
			test.damage(t, path)
			_, err = store.Open(t.Context(), store.Config{DataDir: dir})
			require.ErrorContains(t, err, path)
			require.ErrorContains(t, err, "restore it from a backup")
		})
	}
}

func TestWrongPlaceIsNamed(t *testing.T) {
	t.Run("data folder is a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		_, err := store.Open(t.Context(), store.Config{DataDir: file})
		require.ErrorContains(t, err, file)
	})
	for name, url := range map[string]string{
		"another database": "mysql://user:hunter2@host/db",
		"no host there":    "postgres://user:hunter2@127.0.0.1:1/db",
		"wrong option":     "postgres://user:hunter2@127.0.0.1/db?sslmode=perhaps",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := store.Open(t.Context(), store.Config{DatabaseURL: url})
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	require.Eventually(t, done, 20*time.Second, 10*time.Millisecond)
}

func sqliteDatabase(dir string) storetest.Database {
	return storetest.Database{
		Config: store.Config{DataDir: dir},
		Exec: func(t *testing.T, statement string) {
			_, err := openFile(t, dir).ExecContext(t.Context(), statement)
			require.NoError(t, err)
		},
	}
}

func openFile(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "teller.db")+"?_pragma=busy_timeout(10000)")
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func postgresDatabase(url string) storetest.Database {
	return storetest.Database{
		Config: store.Config{DatabaseURL: url},
		Exec: func(t *testing.T, statement string) {
			db, err := sql.Open("pgx", url)
			require.NoError(t, err)
			defer db.Close()
			_, err = db.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		},
	}
}

// killWriters kills two processes in the middle of their writes, several times, and checks that
// everything they were told is stored, and nothing else is half there.
func killWriters(t *testing.T, at string, cfg store.Config) {
	var confirmed int64
	for range 3 {
		var writers []*exec.Cmd
		for range 2 {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), writerEnv+"="+at)
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			t.Cleanup(func() { cmd.Process.Kill() })
			lines := bufio.NewScanner(out)
			for range 10 {
				require.True(t, lines.Scan(), "the writer ended early")
				version, err := strconv.ParseInt(lines.Text(), 10, 64)
				require.NoError(t, err)
				confirmed = max(confirmed, version)
			}
			writers = append(writers, cmd)
		}
		for _, cmd := range writers {
			require.NoError(t, cmd.Process.Kill())
			require.Error(t, cmd.Wait())
		}
	}
	s := storetest.Open(t, cfg)
	route, err := s.Route(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, route.Version, confirmed)
	storetest.RequireWholeAudit(t, s, int(route.Version))
}

// writeForEver switches the route and prints each version once it is confirmed. It returns only
// what went wrong.
func writeForEver(at string) error {
	ctx := context.Background()
	cfg := store.Config{DataDir: at}
	if url, ok := strings.CutPrefix(at, "url:"); ok {
		cfg = store.Config{DatabaseURL: url}
	}
	s, err := store.Open(ctx, cfg)
	if err != nil {
		return err
	}
	if _, err := s.Start(ctx, "custom", store.Route{}); err != nil {
		return err
	}
	for i := 0; ; i++ {
		r, err := s.SwitchRoute(ctx, store.Change{Actor: "writer", Edit: func(r *store.Route) error {
			r.Active = fmt.Sprintf("model-%d-%d", os.Getpid(), i)
			return nil
		}})
		if err != nil {
			return err
		}
		fmt.Println(r.Version)
		// Reading gives the other writer its turn: SQLite's lock goes to whoever asks first.
		if _, err := s.Audit(ctx, 1000); err != nil {
			return err
		}
	}
}
