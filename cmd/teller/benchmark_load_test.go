package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/benchmark"
	"teller/benchmark/openloop"
)

func TestALoadAsksTheSuitesQuestions(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Message, Model string
			MaxTokens      int `json:"max_tokens"`
			Choices        []string
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		mu.Lock()
		asked[body.Message]++
		count := len(asked)
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		switch {
		case body.Model != "qlora" || (body.MaxTokens > 0) == (len(body.Choices) > 0):
			w.WriteHeader(http.StatusBadRequest)
		case count%4 == 0:
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = w.Write([]byte(`{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":"rate_limited"}}`))
		default:
			_, _ = w.Write([]byte(`{"response":"so"}`))
		}
	}))
	defer server.Close()
	suite, err := benchmark.Shipped("smoke")
	require.NoError(t, err)
	r := &remote{url: server.URL, http: server.Client()}
	options := openloop.Options{Rate: 100, Duration: time.Second, Objective: time.Minute, InFlight: 100, Seed: 2}
	got, err := openloop.Run(t.Context(), options, asks(r, "qlora", suite, 2))
	require.NoError(t, err)
	require.Len(t, asked, len(suite.Cases), "all of them, again and again")
	require.Positive(t, got.Errors["rate_limited"])
	require.Equal(t, got.Offered, got.Answered+got.Errors["rate_limited"])

	var text strings.Builder
	require.NoError(t, printLoad(&text, loadBenchmarkCmd{Objective: time.Minute, InFlight: 100}, got))
	require.Contains(t, text.String(), "rate_limited")
	require.Contains(t, text.String(), "p99")
}
