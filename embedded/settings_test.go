package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func lookup(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

func TestReadSettings(t *testing.T) {
	s, err := readSettings(lookup(nil))
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:7233", s.temporal.listen())
	require.Equal(t, "127.0.0.1:8233", s.ui.listen())
	require.Equal(t, ".teller/temporal.db", s.databasePath())
	require.Equal(t, "default", s.namespace)
	require.Equal(t, 7*24*time.Hour, s.retention)
	require.Equal(t, "normal", s.synchronous)
	require.Equal(t, slog.LevelWarn, s.logLevel)

	for _, c := range []struct{ name, variable, value string }{
		{"no port", "TELLER_TEMPORAL_ADDR", "127.0.0.1"},
		{"no host", "TELLER_TEMPORAL_ADDR", ":7233"},
		{"port is a word", "TELLER_TEMPORAL_ADDR", "127.0.0.1:http"},
		{"port 0", "TELLER_UI_ADDR", "127.0.0.1:0"},
		{"port too large", "TELLER_UI_ADDR", "127.0.0.1:65536"},
		{"IPv6 without brackets", "TELLER_UI_ADDR", "::1:8233"},
		{"a URL", "TELLER_UI_ADDR", "http://127.0.0.1:8233"},
		{"unknown host", "TELLER_UI_ADDR", "no-such-host.invalid:8233"},
		{"the server's namespace", "TELLER_TEMPORAL_NAMESPACE", "temporal-system"},
		{"no duration", "TELLER_TEMPORAL_RETENTION", "7d"},
		{"too short", "TELLER_TEMPORAL_RETENTION", "59m"},
		{"negative", "TELLER_TEMPORAL_RETENTION", "-168h"},
		{"unknown mode", "TELLER_TEMPORAL_SYNCHRONOUS", "sometimes"},
		{"unknown level", "TELLER_LOG_LEVEL", "loud"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readSettings(lookup(map[string]string{c.variable: c.value}))
			require.ErrorContains(t, err, c.variable)
			require.ErrorContains(t, err, c.value)
		})
	}
}

func TestAddress(t *testing.T) {
	for _, c := range []struct{ value, listen, dial string }{
		{"127.0.0.1:7233", "127.0.0.1:7233", "127.0.0.1:7233"},
		{"0.0.0.0:7233", "0.0.0.0:7233", "127.0.0.1:7233"},
		{"[::]:7233", "[::]:7233", "[::1]:7233"},
		{"[::1]:7233", "[::1]:7233", "[::1]:7233"},
	} {
		t.Run(c.value, func(t *testing.T) {
			a, err := parseAddress("TELLER_UI_ADDR", c.value)
			require.NoError(t, err)
			require.Equal(t, c.listen, a.listen())
			require.Equal(t, c.dial, a.dial())
		})
	}
}

// What is wrong with the settings is said in one line, before anything is started or written.
func TestRunRefuses(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = busy.Close() }()
	free := freeAddress(t)
	for _, c := range []struct {
		name string
		env  map[string]string
		says []string
	}{
		{"busy server address", map[string]string{"TELLER_TEMPORAL_ADDR": busy.Addr().String(), "TELLER_UI_ADDR": free},
			[]string{busy.Addr().String(), "in use", "TELLER_TEMPORAL_ADDR=127.0.0.1:"}},
		{"busy UI address", map[string]string{"TELLER_TEMPORAL_ADDR": free, "TELLER_UI_ADDR": busy.Addr().String()},
			[]string{busy.Addr().String(), "in use", "TELLER_UI_ADDR=127.0.0.1:"}},
		{"the same address twice", map[string]string{"TELLER_TEMPORAL_ADDR": free, "TELLER_UI_ADDR": free},
			[]string{free, "in use", "TELLER_UI_ADDR=127.0.0.1:"}},
		{"an address of another machine", map[string]string{"TELLER_TEMPORAL_ADDR": "192.0.2.1:7233", "TELLER_UI_ADDR": free},
			[]string{"TELLER_TEMPORAL_ADDR", "cannot assign"}},
		{"malformed", map[string]string{"TELLER_UI_ADDR": "8233"}, []string{"TELLER_UI_ADDR", "host:port"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir() + "/data"
			c.env["TELLER_DATA_DIR"] = dir
			var stdout, stderr bytes.Buffer
			require.Equal(t, 1, run(context.Background(), nil, lookup(c.env), &stdout, &stderr))
			for _, says := range c.says {
				require.Contains(t, stderr.String(), says)
			}
			require.Equal(t, 1, bytes.Count(stderr.Bytes(), []byte("\n")), stderr.String())
			require.Empty(t, stdout.String())
			require.NoDirExists(t, dir)
		})
	}
}

func TestArguments(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.Equal(t, 0, run(context.Background(), []string{"--help"}, lookup(nil), &stdout, &stderr))
	for _, variable := range []string{"TELLER_TEMPORAL_ADDR", "TELLER_UI_ADDR", "TELLER_DATA_DIR", "TELLER_TEMPORAL_NAMESPACE",
		"TELLER_TEMPORAL_RETENTION", "TELLER_TEMPORAL_SYNCHRONOUS", "TELLER_LOG_LEVEL"} {
		require.Contains(t, stdout.String(), variable)
	}
	require.Equal(t, 2, run(context.Background(), []string{"--port=1"}, lookup(nil), &stdout, &stderr))
	require.Contains(t, stderr.String(), "--port=1")
}
