package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"teller/llm"
	"teller/store"
)

// limit counts a request against its key's limits and refuses it when they are used up. Limits are those of a
// minute of the clock and hold over all API processes. While the store cannot count, requests pass: a turn is worth
// more than its count.
func (s *server) limit(c *gin.Context) {
	key := caller(c)
	if key.RequestsPerMinute == 0 && key.TokensPerMinute == 0 {
		return
	}
	now := time.Now()
	spent, err := s.Store.Spend(c.Request.Context(), key.ID, 1, 0, now)
	if err != nil {
		s.Log.Error("a request was not counted", "key", key.ID, "error", err)
		return
	}
	showLimits(c, key, spent, now)
	over := ""
	switch {
	case key.RequestsPerMinute > 0 && spent.Requests > int64(key.RequestsPerMinute):
		over = fmt.Sprintf("%d requests", key.RequestsPerMinute)
	case key.TokensPerMinute > 0 && spent.Tokens >= int64(key.TokensPerMinute):
		over = fmt.Sprintf("%d tokens", key.TokensPerMinute)
	default:
		return
	}
	writeError(c, &problem{status: http.StatusTooManyRequests, kind: rateLimitType, code: "rate_limit_exceeded", retryAfter: spent.Ends.Sub(now),
		message: "the key's limit of " + over + " a minute is used up"})
}

// showLimits writes OpenAI's headers of limits, of which the key has at least one.
func showLimits(c *gin.Context, key store.Key, spent store.Spent, now time.Time) {
	reset := spent.Ends.Sub(now).Round(time.Millisecond).String()
	for _, l := range []struct {
		unit        string
		limit, used int64
	}{
		{"requests", int64(key.RequestsPerMinute), spent.Requests},
		{"tokens", int64(key.TokensPerMinute), spent.Tokens},
	} {
		if l.limit > 0 {
			c.Header("x-ratelimit-limit-"+l.unit, strconv.FormatInt(l.limit, 10))
			c.Header("x-ratelimit-remaining-"+l.unit, strconv.FormatInt(max(l.limit-l.used, 0), 10))
			c.Header("x-ratelimit-reset-"+l.unit, reset)
		}
	}
}

// spend counts a turn's tokens, which are known only afterwards.
func (s *server) spend(ctx context.Context, key store.Key, used llm.Usage) {
	if key.TokensPerMinute == 0 {
		return
	}
	if _, err := s.Store.Spend(context.WithoutCancel(ctx), key.ID, 0, used.PromptTokens+used.CompletionTokens, time.Now()); err != nil {
		s.Log.Error("tokens were not counted", "key", key.ID, "error", err)
	}
}
