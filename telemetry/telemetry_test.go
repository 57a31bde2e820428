package telemetry_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/telemetry"
)

func TestTheLogKeepsItsLevelAndFormat(t *testing.T) {
	t.Run("json", func(t *testing.T) {
		var out bytes.Buffer
		log := telemetry.NewLogger(&out, "warn", "json")
		log.Info("not this")
		log.Warn("turn failed", "code", "timeout")
		var line map[string]any
		require.NoError(t, json.Unmarshal(out.Bytes(), &line), "one line of JSON: %s", out.String())
		delete(line, "time")
		require.Equal(t, map[string]any{"level": "WARN", "msg": "turn failed", "code": "timeout"}, line)
	})
	t.Run("text", func(t *testing.T) {
		var out bytes.Buffer
		telemetry.NewLogger(&out, "debug", "text").Debug("request", "status", 200)
		require.Contains(t, out.String(), "level=DEBUG msg=request status=200\n")
	})
}

func TestMetrics(t *testing.T) {
	m := telemetry.NewMetrics()
	m.Request("POST", "/api/v1/chat", "200", 20*time.Millisecond)
	m.Turn("custom", "ok", false, 20*time.Millisecond)
	m.Turn("qlora", "ok", true, 2*time.Second)
	m.Tokens("custom", 11, 24)
	m.Tokens("custom", 1, 0)
	m.Benchmark("custom", 0.75, false)
	m.Benchmark("gemini", 0.5, true)

	got := httptest.NewRecorder()
	m.Handler().ServeHTTP(got, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, got.Code)
	for _, line := range []string{
		`teller_http_request_seconds_count{method="POST",route="/api/v1/chat",status="200"} 1`,
		`teller_turn_seconds_sum{fallback="no",model="custom",outcome="ok"} 0.02`,
		`teller_turn_seconds_bucket{fallback="yes",model="qlora",outcome="ok",le="1"} 0`,
		`teller_turn_seconds_bucket{fallback="yes",model="qlora",outcome="ok",le="2.5"} 1`,
		`teller_tokens_total{direction="prompt",model="custom"} 12`,
		`teller_tokens_total{direction="completion",model="custom"} 24`,
		`teller_benchmark_accuracy{model="gemini"} 0.5`,
		`teller_benchmark_regressed{model="custom"} 0`,
		`teller_benchmark_regressed{model="gemini"} 1`,
	} {
		require.Contains(t, got.Body.String(), line+"\n")
	}
	for _, name := range []string{"go_goroutines ", "process_resident_memory_bytes "} {
		require.Contains(t, got.Body.String(), "\n"+name, "the process's own figures")
	}
}

func TestTwoSetsOfMetricsLiveSideBySide(t *testing.T) {
	require.NotPanics(t, func() { telemetry.NewMetrics(); telemetry.NewMetrics() })
}
