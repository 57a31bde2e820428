package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/activities"
	"teller/llm"
	"teller/store"
	"teller/turns"
	"teller/workflows"
)

// canary stands in causes: callers must never see it, and the log must.
const canary = "CANARY-8841"

func failWith(err error) func(workflows.TurnInput) (workflows.Answer, error) {
	return func(workflows.TurnInput) (workflows.Answer, error) { return workflows.Answer{}, err }
}

func (r reply) requireNoCanary(t testing.TB) {
	t.Helper()
	require.NotContains(t, string(r.body), canary)
	for name, values := range r.header {
		require.NotContains(t, fmt.Sprint(name, values), canary)
	}
}

func TestAFailedTurnSaysWhatFailed(t *testing.T) {
	for _, c := range []struct {
		code       llm.Code
		retryAfter time.Duration // as the provider named it
		status     int
		kind       string
		says       string // the Retry-After header
	}{
		{llm.InvalidRequest, 0, 400, "invalid_request_error", ""},
		{llm.ContextTooLong, 0, 400, "invalid_request_error", ""},
		{llm.NotSupported, 0, 400, "invalid_request_error", ""},
		{llm.Refused, 0, 400, "invalid_request_error", ""},
		{llm.RateLimited, 0, 429, "rate_limit_error", "2"},
		{llm.RateLimited, 7500 * time.Millisecond, 429, "rate_limit_error", "8"},
		{llm.Overloaded, 0, 503, "server_error", "2"},
		{llm.Overloaded, time.Millisecond, 503, "server_error", "1"},
		{llm.NoWorker, 0, 503, "server_error", "2"},
		{llm.Unavailable, time.Second, 503, "server_error", "1"},
		{llm.NotConfigured, 0, 503, "server_error", "2"},
		{llm.Timeout, time.Second, 504, "server_error", ""},
		{llm.Unauthenticated, 0, 502, "server_error", ""},
		{llm.NotFound, 0, 502, "server_error", ""},
		{llm.BadReply, 0, 502, "server_error", ""},
		{llm.EmptyReply, 0, 502, "server_error", ""},
		{llm.Canceled, 0, 499, "invalid_request_error", ""},
		{llm.Internal, 0, 500, "server_error", ""},
	} {
		failure := &llm.Error{Code: c.code, Message: "safe words", RetryAfter: c.retryAfter, Cause: errors.New(canary)}
		for _, way := range []struct {
			name string
			err  error
		}{
			{"directly", fmt.Errorf("wrapped: %w", failure)},
			{"through Temporal", activities.TurnFailure(failure, "nonce")},
		} {
			t.Run(fmt.Sprintf("%s %s %s", c.code, c.retryAfter, way.name), func(t *testing.T) {
				f := start(t)
				f.turns.answer = failWith(way.err)
				got := f.chat(t, `{"message":"hello"}`)
				e := got.requireError(t, c.status, string(c.code))
				require.Equal(t, c.kind, e.Type)
				require.Equal(t, "safe words", e.Message)
				require.Nil(t, e.Param)
				require.Equal(t, c.says, got.header.Get("Retry-After"))
				got.requireNoCanary(t)
				require.Contains(t, f.log.String(), got.header.Get("x-request-id"))
				if way.name == "directly" {
					require.Contains(t, f.log.String(), canary)
				}
			})
		}
	}
}

func TestAnErrorThatNobodyNamedIsInternal(t *testing.T) {
	f := start(t)
	f.turns.answer = failWith(errors.New(canary))
	got := f.chat(t, `{"message":"hello"}`)
	require.Equal(t, "server_error", got.requireError(t, http.StatusInternalServerError, "internal").Type)
	got.requireNoCanary(t)
	require.Contains(t, f.log.String(), canary)
}

func TestAReusedKeyIsRefused(t *testing.T) {
	for _, body := range []string{`{"message":"hello"}`, `{"message":"hello","conversation_id":"chat-1"}`} {
		f := start(t)
		f.turns.answer = failWith(fmt.Errorf("%s: %w", canary, turns.ErrOtherRequest))
		got := f.chat(t, body, "Idempotency-Key", "k")
		e := got.requireError(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
		require.Equal(t, "invalid_request_error", e.Type)
		require.Equal(t, "Idempotency-Key", e.Param)
		require.Contains(t, e.Message, "send a new key")
		got.requireNoCanary(t)
	}
}

func TestAMissingConversation(t *testing.T) {
	f := start(t)
	missing := fmt.Errorf("%s: %w", canary, turns.ErrNoConversation)
	f.turns.transcript = func(string) (workflows.Transcript, error) { return workflows.Transcript{}, missing }
	f.turns.erase = func(string) error { return missing }
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		got := f.do(t, method, "/api/v1/conversations/chat-1", "")
		e := got.requireError(t, http.StatusNotFound, "not_found")
		require.Equal(t, "invalid_request_error", e.Type)
		require.Nil(t, e.Param)
		require.Equal(t, "there is no such conversation", e.Message)
		got.requireNoCanary(t)
	}
}

func TestTemporalIsDown(t *testing.T) {
	down := &llm.Error{Code: llm.Unavailable, Message: "the workflow service cannot be reached", RetryAfter: time.Second, Cause: errors.New(canary)}
	f := start(t)
	f.turns.answer = failWith(down)
	f.turns.transcript = func(string) (workflows.Transcript, error) { return workflows.Transcript{}, down }
	f.turns.erase = func(string) error { return down }
	f.turns.check = func(context.Context, []workflows.Target) ([]workflows.Health, error) { return nil, down }
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/api/v1/chat", `{"message":"hello"}`},
		{"GET", "/api/v1/conversations/chat-1", ""},
		{"DELETE", "/api/v1/conversations/chat-1", ""},
		{"GET", "/models", ""},
		{"POST", "/model/switch/qlora", ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			got := f.do(t, c.method, c.path, c.body, "Content-Type", "application/json")
			e := got.requireError(t, http.StatusServiceUnavailable, "unavailable")
			require.Equal(t, "server_error", e.Type)
			require.Equal(t, "the workflow service cannot be reached", e.Message)
			require.Equal(t, "1", got.header.Get("Retry-After"))
			got.requireNoCanary(t)
		})
	}
	require.Empty(t, f.routes.changed())
}

func TestTheServerOutlivesAPanic(t *testing.T) {
	f := start(t)
	f.turns.answer = func(workflows.TurnInput) (workflows.Answer, error) { panic(canary) }
	f.turns.transcript = func(string) (workflows.Transcript, error) { panic(canary) }
	f.turns.erase = func(string) error { panic(canary) }
	f.turns.check = func(context.Context, []workflows.Target) ([]workflows.Health, error) { panic(canary) }
	f.turns.ping = func() error { panic(canary) }
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/api/v1/chat", `{"message":"hello"}`},
		{"GET", "/api/v1/conversations/chat-1", ""},
		{"DELETE", "/api/v1/conversations/chat-1", ""},
		{"GET", "/models", ""},
		{"POST", "/model/switch/qlora", ""},
		{"GET", "/readyz", ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			got := f.do(t, c.method, c.path, c.body, "Content-Type", "application/json")
			require.Equal(t, "server_error", got.requireError(t, http.StatusInternalServerError, "internal").Type)
			got.requireNoCanary(t)
			require.Contains(t, f.log.String(), "request_id="+got.header.Get("x-request-id"))
		})
	}
	require.Contains(t, f.log.String(), canary)

	f.turns.answer, f.turns.check = nil, nil
	f.submit(t, `{"message":"hello"}`)
	require.Equal(t, http.StatusOK, f.get(t, "/models").status)
}

func TestARouteWithoutConfiguredModels(t *testing.T) {
	f := start(t)
	f.routes.set(store.Route{Active: "elsewhere", Fallbacks: []string{"nowhere"}})
	got := f.chat(t, `{"message":"hello"}`)
	e := got.requireError(t, http.StatusServiceUnavailable, "not_configured")
	require.Equal(t, "server_error", e.Type)
	require.Contains(t, e.Message, "POST /model/switch/")
	require.Equal(t, "2", got.header.Get("Retry-After"))
	require.Empty(t, f.turns.submitted())
}
