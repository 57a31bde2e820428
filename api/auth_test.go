package api_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/store"
)

// key makes a key and gives the header that carries it.
func key(t *testing.T, rows *store.Store, k store.Key) (store.Key, []string) {
	t.Helper()
	made, text, err := rows.CreateKey(t.Context(), k, "test")
	require.NoError(t, err)
	return made, []string{"Authorization", "Bearer " + text}
}

func TestACallerNeedsAKeyOnceThereIsOne(t *testing.T) {
	f := start(t)
	rows := f.keep(t)
	made, header := key(t, rows, store.Key{Tenant: "retail", Role: store.RoleChat})
	for name, headers := range map[string][]string{
		"none": nil, "empty": {"Authorization", ""}, "another scheme": {"Authorization", "Basic " + header[1][7:]},
		"no text": {"Authorization", "Bearer "}, "another key": {"Authorization", "Bearer tlr_0123_x"}, "not a key": {"Authorization", "Bearer sk-1"},
		"cut": {"Authorization", header[1][:len(header[1])-1]},
	} {
		t.Run(name, func(t *testing.T) {
			got := f.chat(t, `{"message":"hello"}`, headers...)
			got.requireError(t, http.StatusUnauthorized, "invalid_api_key")
			require.NotEmpty(t, got.header.Get("WWW-Authenticate"))
		})
	}
	require.Empty(t, f.turns.submitted())
	require.Equal(t, "retail", f.submit(t, `{"message":"hello"}`, header...).in.Tenant)
	require.Equal(t, http.StatusOK, f.get(t, "/livez").status, "health needs no key")

	f.do(t, http.MethodPost, "/model/switch/qlora", "", header...).requireError(t, http.StatusForbidden, "admin_key_required")
	_, admin := key(t, rows, store.Key{Tenant: "ops", Role: store.RoleAdmin})
	require.Equal(t, http.StatusOK, f.do(t, http.MethodPost, "/model/switch/qlora", "", admin...).status)
	changes := f.routes.changed()
	require.Contains(t, changes[len(changes)-1].Actor, "key ")

	_, err := rows.RevokeKey(t.Context(), made.ID, "test")
	require.NoError(t, err)
	eventually(t, func() bool {
		return f.chat(t, `{"message":"hello"}`, header...).status == http.StatusUnauthorized
	})
}

func TestTenantsShareNothing(t *testing.T) {
	f := start(t)
	rows := f.keep(t)
	_, a := key(t, rows, store.Key{Tenant: "a", Role: store.RoleChat})
	_, b := key(t, rows, store.Key{Tenant: "b", Role: store.RoleChat})
	_, admin := key(t, rows, store.Key{Tenant: "ops", Role: store.RoleAdmin})

	t.Run("idempotency keys", func(t *testing.T) {
		mine := f.submit(t, `{"message":"hello"}`, append([]string{"Idempotency-Key", "k"}, a...)...)
		theirs := f.submit(t, `{"message":"another"}`, append([]string{"Idempotency-Key", "k"}, b...)...)
		require.NotEqual(t, mine.in.ID, theirs.in.ID)
	})
	require.NoError(t, rows.RecordUsage(t.Context(), store.Usage{TurnID: "1", Tenant: "a", Conversation: "c", Model: "custom", Outcome: "ok",
		At: time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC), LatencyMs: 8, PromptTokens: 3, CompletionTokens: 4}))
	t.Run("conversations", func(t *testing.T) {
		got := f.do(t, http.MethodGet, "/api/v1/conversations", "", a...)
		require.Contains(t, string(got.body), `"conversation_id":"c"`)
		f.do(t, http.MethodGet, "/api/v1/conversations?limit=5", "", b...).requireJSON(t, `{"conversations":[]}`)
	})
	t.Run("usage", func(t *testing.T) {
		row := `{"usage":[{"tenant":"a","model":"custom","day":"2026-03-02","turns":1,"failed":0,"prompt_tokens":3,"completion_tokens":4,
			"cost_usd":0,"unpriced_turns":1,"latency_ms":8,"avg_latency_ms":8}]}`
		f.do(t, http.MethodGet, "/api/v1/usage", "", a...).requireJSON(t, row)
		f.do(t, http.MethodGet, "/api/v1/usage?tenant=a", "", b...).requireJSON(t, `{"usage":[]}`)
		f.do(t, http.MethodGet, "/api/v1/usage", "", admin...).requireJSON(t, row)
		f.do(t, http.MethodGet, "/api/v1/usage?tenant=b", "", admin...).requireJSON(t, `{"usage":[]}`)
		f.do(t, http.MethodGet, "/api/v1/usage?from=2026-03-02&to=2026-03-02", "", a...).requireJSON(t, row)
		f.do(t, http.MethodGet, "/api/v1/usage?from=2026-03-03", "", a...).requireJSON(t, `{"usage":[]}`)
	})
	for path, param := range map[string]string{
		"/api/v1/usage?from=yesterday": "from", "/api/v1/usage?to=2026-02-30": "to", "/api/v1/conversations?limit=0": "limit",
		"/api/v1/conversations?limit=x": "limit", "/api/v1/conversations?cursor=%3F": "cursor",
	} {
		t.Run(path, func(t *testing.T) {
			e := f.do(t, http.MethodGet, path, "", a...).requireError(t, http.StatusBadRequest, "invalid_request")
			require.Equal(t, param, e.Param)
		})
	}
}

func TestAKeyReusedForAnotherRequestIsRefused(t *testing.T) {
	f := start(t)
	f.keep(t)
	header := []string{"Idempotency-Key", "k"}
	first := f.submit(t, `{"message":"hello"}`, header...)
	require.Equal(t, first.in.ID, f.submit(t, `{"message":"hello"}`, header...).in.ID)
	for _, body := range []string{`{"message":"other"}`, `{"message":"hello","conversation_id":"c"}`, `{"message":"hello","max_tokens":3}`} {
		f.chat(t, body, header...).requireError(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
	}
}

func TestAKeysLimits(t *testing.T) {
	f := start(t)
	rows := f.keep(t)
	_, requests := key(t, rows, store.Key{Tenant: "a", Role: store.RoleChat, RequestsPerMinute: 2})
	_, tokens := key(t, rows, store.Key{Tenant: "b", Role: store.RoleChat, TokensPerMinute: 50}) // a turn of the fake takes 35
	ask := func(header []string) reply { return f.chat(t, `{"message":"hello"}`, header...) }

	// The clock's minute may end in the midst of the requests: then the count begins anew, once.
	refused := func(header []string, unit string, limit string) {
		var got reply
		for range 8 {
			if got = ask(header); got.status != http.StatusOK {
				break
			}
			require.Equal(t, limit, got.header.Get("x-ratelimit-limit-"+unit))
			require.NotEmpty(t, got.header.Get("x-ratelimit-remaining-"+unit))
			require.NotEmpty(t, got.header.Get("x-ratelimit-reset-"+unit))
		}
		e := got.requireError(t, http.StatusTooManyRequests, "rate_limit_exceeded")
		require.Equal(t, "rate_limit_error", e.Type)
		require.NotEmpty(t, got.header.Get("Retry-After"))
		require.Equal(t, "0", got.header.Get("x-ratelimit-remaining-"+unit))
	}
	refused(requests, "requests", "2")
	refused(tokens, "tokens", "50")
}

// TestTheStoreIsDown holds that a turn is worth more than what is counted of it, and that nobody gets in unknown.
func TestTheStoreIsDown(t *testing.T) {
	t.Run("before keys were ever seen", func(t *testing.T) {
		f := start(t)
		f.store.failure = errors.New("the disk is full of CANARY")
		got := f.chat(t, `{"message":"hello"}`)
		e := got.requireError(t, http.StatusServiceUnavailable, "unavailable")
		require.NotContains(t, e.Message, "CANARY")
	})
	t.Run("a key that was seen goes on for a while", func(t *testing.T) {
		f := start(t)
		rows := f.keep(t)
		_, header := key(t, rows, store.Key{Tenant: "a", Role: store.RoleChat, TokensPerMinute: 1_000_000})
		f.submit(t, `{"message":"hello"}`, header...)
		f.store.Store = downStore{}
		f.submit(t, `{"message":"hello"}`, append([]string{"Idempotency-Key", "k"}, header...)...)
		f.chat(t, `{"message":"hello"}`, "Authorization", "Bearer tlr_1_2").requireError(t, http.StatusServiceUnavailable, "unavailable")
		f.do(t, http.MethodGet, "/api/v1/usage", "", header...).requireError(t, http.StatusServiceUnavailable, "unavailable")
		f.do(t, http.MethodGet, "/api/v1/conversations", "", header...).requireError(t, http.StatusServiceUnavailable, "unavailable")
		f.turns.erase = func(string) error { return nil }
		f.do(t, http.MethodDelete, "/api/v1/conversations/c", "", header...).requireError(t, http.StatusServiceUnavailable, "unavailable")
	})
}
