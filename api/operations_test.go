package api_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/llm"
	"teller/turns"
	"teller/workflows"
)

func TestLiveAndReady(t *testing.T) {
	f := start(t)
	f.get(t, "/livez").requireJSON(t, `{"status":"ok"}`)
	f.get(t, "/readyz").requireJSON(t, `{"status":"ready"}`)
}

func TestNotReady(t *testing.T) {
	for _, part := range []string{"temporal", "store"} {
		t.Run(part, func(t *testing.T) {
			f := start(t)
			if part == "temporal" {
				f.turns.ping = func() error { return errors.New(canary) }
			} else {
				f.store.failure = errors.New(canary)
			}
			got := f.get(t, "/readyz")
			e := got.requireError(t, http.StatusServiceUnavailable, "unavailable")
			require.Equal(t, "server_error", e.Type)
			require.Equal(t, part+" cannot be reached", e.Message)
			require.Equal(t, "2", got.header.Get("Retry-After"))
			got.requireNoCanary(t)
			require.Contains(t, f.log.String(), canary)
			f.get(t, "/livez").requireJSON(t, `{"status":"ok"}`)
		})
	}
}

func TestMetricsCountTurns(t *testing.T) {
	f := start(t)
	f.submit(t, `{"message":"hello"}`)
	f.submit(t, `{"message":"hello","conversation_id":"chat-1"}`)
	f.turns.answer = func(in workflows.TurnInput) (workflows.Answer, error) {
		a := answered(in)
		a.Model, a.FallbackFrom = "qlora", "custom"
		return a, nil
	}
	f.submit(t, `{"message":"hello"}`)
	f.turns.answer = failWith(&llm.Error{Code: llm.RateLimited, Message: "slow down"})
	f.chat(t, `{"message":"hello","model":"gemini"}`).requireError(t, http.StatusTooManyRequests, "rate_limited")
	f.turns.answer = failWith(turns.ErrOtherRequest)
	f.chat(t, `{"message":"hello"}`, "Idempotency-Key", "k").requireError(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
	f.chat(t, `{}`).requireError(t, http.StatusBadRequest, "invalid_request")
	f.do(t, "BREW-8841", "/api/v1/chat", "")
	f.get(t, "/nowhere-8841")

	got := f.get(t, "/metrics")
	require.Equal(t, http.StatusOK, got.status)
	text := string(got.body)
	for _, line := range []string{
		`teller_turn_seconds_count{fallback="no",model="custom",outcome="ok"} 2`,
		`teller_turn_seconds_count{fallback="yes",model="qlora",outcome="ok"} 1`,
		`teller_turn_seconds_count{fallback="no",model="gemini",outcome="rate_limited"} 1`,
		`teller_turn_seconds_count{fallback="no",model="custom",outcome="idempotency_key_reused"} 1`,
		`teller_tokens_total{direction="prompt",model="custom"} 22`,
		`teller_tokens_total{direction="completion",model="custom"} 48`,
		`teller_tokens_total{direction="prompt",model="qlora"} 11`,
		`teller_http_request_seconds_count{method="POST",route="/api/v1/chat",status="200"} 3`,
		`teller_http_request_seconds_count{method="POST",route="/api/v1/chat",status="400"} 1`,
		`teller_http_request_seconds_count{method="none",route="none",status="404"} 1`,
		`teller_http_request_seconds_count{method="none",route="none",status="405"} 1`,
	} {
		require.Contains(t, text, line+"\n")
	}
	require.NotContains(t, text, "8841", "labels never hold what a caller wrote")
	require.NotContains(t, text, "chat-1")
}

// Without keys, loopback is what protects the API, and a page of any site reaches loopback.
func TestPagesOfOtherSitesAreRefused(t *testing.T) {
	f := start(t)
	for _, foreign := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Origin", "https://elsewhere.example"},
	} {
		f.do(t, http.MethodPost, "/model/switch/qlora", "", foreign...).requireError(t, http.StatusForbidden, "cross_origin")
		f.do(t, http.MethodDelete, "/api/v1/conversations/chat-1", "", foreign...).requireError(t, http.StatusForbidden, "cross_origin")
		f.chat(t, `{"message":"hello"}`, foreign...).requireError(t, http.StatusForbidden, "cross_origin")
	}
	require.Empty(t, f.turns.submitted())
}
