package gemini

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"teller/adapters/internal/upstream"
	"teller/llm"
)

// failure names what went wrong with the exchange, or gives nil for a response that the SDK could read.
func failure(call *upstream.Call, sdk error) error {
	if failed := call.Failure(who, sdk); failed != nil {
		return failed
	}
	if !call.OK() {
		var raw json.RawMessage
		if all := messages(call.Body()); len(all) > 0 {
			raw = all[0].Error
		}
		return rejection(raw).classify(call, call.Status())
	}
	for _, m := range messages(call.Body()) {
		if len(m.Error) > 0 && string(m.Error) != "null" {
			// A stream that breaks down ends with an error inside a response of status 200.
			return rejection(m.Error).classify(call, 0)
		}
	}
	// generative-ai-go takes an array that breaks off between two messages for a whole one.
	if sdk != nil || (!json.Valid(call.Body()) && len(events(call.Body())) == 0) {
		return call.Classify(who, llm.BadReply, "")
	}
	return nil
}

// rejected is an error object of the API (google.rpc.Status), in so far as it decides anything.
type rejected struct {
	status  string
	message string
	reasons []string
	delay   string // RetryInfo: a duration in seconds with an "s" behind it
}

// rejection reads an error object. One of another shape says nothing that the HTTP status does not.
func rejection(raw json.RawMessage) rejected {
	var in struct {
		Status  string `json:"status"`
		Message string `json:"message"`
		Details []struct {
			Type       string `json:"@type"`
			Reason     string `json:"reason"`
			RetryDelay string `json:"retryDelay"`
		} `json:"details"`
	}
	// An error leaves the fields that could be read.
	_ = json.Unmarshal(raw, &in)
	out := rejected{status: in.Status, message: in.Message}
	for _, d := range in.Details {
		if d.Reason != "" {
			out.reasons = append(out.reasons, d.Reason)
		}
		if d.RetryDelay != "" {
			out.delay = d.RetryDelay
		}
	}
	return out
}

// classify gives the error of a rejection with the HTTP status; 0 when it came inside a success.
func (r rejected) classify(call *upstream.Call, status int) *llm.Error {
	e := call.Classify(who, r.code(status), upstream.Label(append([]string{r.status}, r.reasons...)...))
	if d, err := time.ParseDuration(r.delay); err == nil && d > 0 {
		switch e.Code {
		case llm.RateLimited, llm.Unavailable, llm.Timeout:
			e.RetryAfter = min(d, upstream.MaxRetryAfter)
		}
	}
	return e
}

// code goes by the API's own word first: a wrong key, for one, has the HTTP status of a bad request.
func (r rejected) code(status int) llm.Code {
	for _, reason := range r.reasons {
		switch reason {
		case "API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED", "API_KEY_IP_ADDRESS_BLOCKED",
			"SERVICE_DISABLED", "BILLING_DISABLED", "CONSUMER_SUSPENDED", "ACCESS_TOKEN_EXPIRED":
			return llm.Unauthenticated
		case "RATE_LIMIT_EXCEEDED":
			return llm.RateLimited
		}
	}
	switch r.status {
	case "INVALID_ARGUMENT":
		if r.tooLong() {
			return llm.ContextTooLong
		}
		return llm.InvalidRequest
	case "OUT_OF_RANGE":
		return llm.InvalidRequest
	case "UNAUTHENTICATED", "PERMISSION_DENIED",
		"FAILED_PRECONDITION": // the key's project may not be served here, or has no billing
		return llm.Unauthenticated
	case "NOT_FOUND", "UNIMPLEMENTED":
		return llm.NotFound
	case "RESOURCE_EXHAUSTED":
		return llm.RateLimited
	case "DEADLINE_EXCEEDED":
		return llm.Timeout
	case "UNAVAILABLE", "INTERNAL", "UNKNOWN", "ABORTED", "CANCELLED", "DATA_LOSS":
		return llm.Unavailable
	}
	switch {
	case status == 0:
		return llm.Unavailable
	case status == http.StatusBadRequest && r.tooLong():
		return llm.ContextTooLong
	default:
		return upstream.CodeOf(status)
	}
}

// tooLong tells a prompt over the model's window from other invalid arguments.
func (r rejected) tooLong() bool {
	message := strings.ToLower(r.message)
	return strings.Contains(message, "token count") && strings.Contains(message, "exceed") ||
		strings.Contains(message, "maximum number of tokens")
}
