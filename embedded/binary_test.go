package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
)

// The tests run the real binary, as users do. They are not run with -race: the detector would compile the whole Temporal
// server a second time, which takes many minutes, to look into code that is not ours.

// patience is how long a condition may take on a machine under load before a test fails.
const patience = 60 * time.Second

// binary is the path of teller-temporal: TELLER_TEMPORAL_BIN when set, else built once.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("TELLER_TEMPORAL_BIN"); path != "" {
		return filepath.Abs(path)
	}
	dir, err := os.MkdirTemp("", "teller-temporal")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "teller-temporal")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// process is a running teller-temporal.
type process struct {
	cmd    *exec.Cmd
	stderr *bytes.Buffer // to be read after the process has ended
	stdout <-chan string // all that it printed, sent when it has ended
	ended  bool
}

// environment is what a server of its own needs: free addresses and an empty directory.
func environment(t testing.TB) map[string]string {
	t.Helper()
	return map[string]string{
		"TELLER_TEMPORAL_ADDR": freeAddress(t),
		"TELLER_UI_ADDR":       freeAddress(t),
		"TELLER_DATA_DIR":      filepath.Join(t.TempDir(), "data"),
	}
}

// lastPort is the port that freeAddress gave last: each only once, and none that the server takes for its inside.
var lastPort atomic.Int32

func init() { lastPort.Store(10000 + rand.Int32N(8000)) }

func freeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", lastPort.Add(1))); err == nil {
			_ = l.Close()
			return l.Addr().String()
		}
	}
	require.FailNow(t, "no port is free")
	return ""
}

// command prepares the binary with only these variables of ours set.
func command(t testing.TB, env map[string]string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	cmd := exec.Command(path, args...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "TELLER_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// start starts the binary and waits for its ready line.
func start(t testing.TB, env map[string]string) *process {
	t.Helper()
	p := &process{cmd: command(t, env), stderr: new(bytes.Buffer)}
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		if !p.ended {
			p.kill(t)
		}
	})
	all, ready := make(chan string, 1), make(chan struct{})
	p.stdout = all
	go func() {
		reader := bufio.NewReader(stdout)
		line, _ := reader.ReadString('\n')
		if strings.Contains(line, "teller-temporal ready") {
			close(ready)
		}
		rest, _ := io.ReadAll(reader)
		all <- line + string(rest)
	}()
	select {
	case <-ready:
	case out := <-all:
		p.ended = true
		_ = p.cmd.Wait()
		require.FailNow(t, "teller-temporal ended before it was ready", "%s%s", out, p.stderr)
	case <-time.After(patience):
		require.FailNow(t, "teller-temporal is not ready")
	}
	return p
}

// kill ends the process as a power cut of the process would: SIGKILL.
func (p *process) kill(t testing.TB) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Kill())
	<-p.stdout
	_ = p.cmd.Wait() // reports the kill
	p.ended = true
}

// stop sends the signal and returns what the process wrote, and how it ended.
func (p *process) stop(t testing.TB, signal os.Signal) (stdout, stderr string, err error) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(signal))
	timer := time.AfterFunc(patience, func() { _ = p.cmd.Process.Signal(syscall.SIGKILL) })
	defer timer.Stop()
	stdout = <-p.stdout
	err = p.cmd.Wait()
	p.ended = true
	return stdout, p.stderr.String(), err
}

// dial connects to the server of env.
func dial(t testing.TB, env map[string]string) client.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{
		HostPort: env["TELLER_TEMPORAL_ADDR"],
		Logger:   sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(t, err)
	return c
}
