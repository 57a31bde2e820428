// Package pgtest gives tests a PostgreSQL server of their own: a private cluster in a temporary
// folder that listens on a Unix socket only, so it takes no port and nobody else reaches it.
package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// startTimeout is generous: a loaded machine takes seconds to make a cluster.
const startTimeout = time.Minute

// Server is a running PostgreSQL server. It ends with the test that started it, and also when the
// test binary is killed (on Linux).
type Server struct {
	bin  string // folder of postgres and initdb
	dir  string // holds the data and the socket; owned by the server's user
	user *syscall.Credential
	stop func()
}

// Start makes a cluster and runs its server. The test is skipped where PostgreSQL is not installed
// (scripts/install-postgres.sh installs it) or where root has no other user to run it as.
func Start(t *testing.T) *Server {
	t.Helper()
	s := &Server{bin: findBinaries(t), user: unprivileged(t)}
	// Not t.TempDir: its name may exceed the 107 bytes of a socket address, and its parents may be
	// closed to the server's user.
	dir, err := os.MkdirTemp("", "pgtest")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s.dir = dir
	if s.user != nil {
		require.NoError(t, os.Chown(dir, int(s.user.Uid), int(s.user.Gid)))
	}
	initdb := exec.Command(filepath.Join(s.bin, "initdb"), "--pgdata", s.data(), "--username", "postgres",
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions")
	initdb.Dir = dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: s.user}
	out, err := initdb.CombinedOutput()
	require.NoErrorf(t, err, "initdb: %s", out)
	s.Run(t)
	t.Cleanup(s.Stop)
	return s
}

// Run starts the server again after a Stop and returns when it takes connections.
func (s *Server) Run(t *testing.T) {
	t.Helper()
	logPath := filepath.Join(s.dir, "log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer log.Close()
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.data(), "-k", s.dir,
		"-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=100",
		"-c", "shared_buffers=16MB")
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.user}
	endWithParent(cmd.SysProcAttr)

	started, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		// The kernel ends the child with the thread that started it, so that thread must last as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait() // its exit status says nothing that the log does not
		}
	}()
	require.NoError(t, <-started)
	s.stop = func() {
		cmd.Process.Signal(syscall.SIGINT) // fast shutdown: connections are closed
		<-ended
	}
	deadline := time.Now().Add(startTimeout)
	for {
		ctx, cancel := context.WithDeadline(t.Context(), deadline)
		conn, err := pgx.Connect(ctx, s.url("postgres"))
		cancel()
		if err == nil {
			require.NoError(t, conn.Close(t.Context()))
			return
		}
		select {
		case <-ended:
		case <-time.After(20 * time.Millisecond):
			if time.Now().Before(deadline) {
				continue
			}
		}
		text, _ := os.ReadFile(logPath)
		require.NoErrorf(t, err, "the PostgreSQL server did not start: %s", text)
	}
}

// Stop ends the server as an outage would: open connections break. Run brings it back with its data.
func (s *Server) Stop() {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// Database makes an empty database and returns its URL.
func (s *Server) Database(t *testing.T) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.url("postgres"))
	require.NoError(t, err)
	defer conn.Close(t.Context())
	name := "test_" + strings.ToLower(rand.Text())
	// template0 is never connected to, so that copying it need not wait for others.
	_, err = conn.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE template0")
	require.NoError(t, err)
	return s.url(name)
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) url(database string) string {
	q := url.Values{"host": {s.dir}, "user": {"postgres"}}
	return "postgres:///" + database + "?" + q.Encode()
}

func findBinaries(t *testing.T) string {
	t.Helper()
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p)
	}
	// Debian keeps them out of PATH, by version.
	best, version := "", 0.0
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	for _, p := range found {
		bin := filepath.Dir(p)
		if v, err := strconv.ParseFloat(filepath.Base(filepath.Dir(bin)), 64); err == nil && v > version {
			best, version = bin, v
		}
	}
	if best == "" {
		t.Skip("PostgreSQL is not installed: run scripts/install-postgres.sh to test with it")
	}
	return best
}

// unprivileged gives the user to run as when we are root, as whom PostgreSQL refuses to run.
func unprivileged(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		cred, err := credential(u)
		require.NoError(t, err)
		return cred
	}
	t.Skip("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as")
	return nil
}

func credential(u *user.User) (*syscall.Credential, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user id of %s: %w", u.Username, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("group id of %s: %w", u.Username, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
