package upstream

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"teller/llm"
)

// CodeOf gives the code of an HTTP status that is no success.
func CodeOf(status int) llm.Code {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return llm.Unauthenticated
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone:
		return llm.NotFound
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return llm.Timeout
	case http.StatusTooManyRequests, http.StatusPaymentRequired: // 402 is how some say that a quota is used up
		return llm.RateLimited
	case http.StatusRequestEntityTooLarge:
		return llm.ContextTooLong
	case http.StatusConflict, http.StatusLocked, http.StatusTooEarly, 499: // 499: the server saw us leave, but we did not
		return llm.Unavailable
	}
	switch {
	case status >= 500:
		return llm.Unavailable
	case status >= 400:
		return llm.InvalidRequest
	case status >= 300:
		return llm.NotConfigured
	default:
		return llm.BadReply
	}
}

// Say gives the message of a code that a provider's response has led to.
func Say(who string, code llm.Code) string {
	switch code {
	case llm.Unauthenticated:
		return who + " did not accept the API key"
	case llm.NotFound:
		return who + " does not serve the configured model"
	case llm.NotConfigured:
		return who + " answers with a redirect, which is not followed: configure its final address"
	case llm.RateLimited:
		return who + " asks to slow down"
	case llm.ContextTooLong:
		return "the dialogue is longer than the model's context window"
	case llm.InvalidRequest:
		return who + " refused the request as invalid"
	case llm.Refused:
		return "the content filter of " + who + " blocked the request"
	case llm.Timeout:
		return who + " did not answer in time"
	case llm.EmptyReply:
		return who + " sent a reply without text"
	case llm.BadReply:
		return who + " sent a reply that cannot be read"
	default:
		return who + " is not available"
	}
}

// Classify gives the error of a response that has led to code.
func (c *Call) Classify(who string, code llm.Code, label string) *llm.Error {
	c.mu.Lock()
	status, header, received := c.status, c.header, c.received
	c.mu.Unlock()
	e := &llm.Error{Code: code, Message: Say(who, code), Cause: fmt.Errorf("HTTP status %d%s", status, label)}
	switch code {
	case llm.RateLimited, llm.Unavailable, llm.Timeout:
		e.RetryAfter = RetryAfter(header, received)
	}
	return e
}

// Label makes what a log may have of a provider's error code, type or status: a short word of letters
// and underscores, never free text, which may repeat the request, nor digits, which a key has.
func Label(words ...string) string {
	var b strings.Builder
	for _, w := range words {
		if w != "" && len(w) <= 48 && strings.IndexFunc(w, notLetter) < 0 {
			b.WriteString(", " + w)
		}
	}
	return b.String()
}

func notLetter(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_'
}

// MaxRetryAfter bounds what a provider may ask for: one that says more is misconfigured or hostile.
const MaxRetryAfter = 24 * time.Hour

// RetryAfter reads how long the provider asked to wait: retry-after-ms, or Retry-After in seconds or as
// a date (against the response's own Date, so that no clock matters; else against received). 0 when
// it did not say.
func RetryAfter(header http.Header, received time.Time) time.Duration {
	if d, ok := number(header.Get("Retry-After-Ms"), time.Millisecond); ok {
		return d
	}
	value := strings.TrimSpace(header.Get("Retry-After"))
	if d, ok := number(value, time.Second); ok {
		return d
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if now, err := http.ParseTime(header.Get("Date")); err == nil {
		received = now
	}
	return min(max(until.Sub(received), 0), MaxRetryAfter)
}

// number reads a count of units, which may have a fraction.
func number(value string, unit time.Duration) (time.Duration, bool) {
	n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || math.IsNaN(n) {
		return 0, false
	}
	return time.Duration(min(max(n*float64(unit), 0), float64(MaxRetryAfter))), true
}
