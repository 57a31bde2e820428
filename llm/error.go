package llm

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Code names a kind of failure. Codes are part of the HTTP API and of workflow histories: they are
// never renamed.
type Code string

// The codes, with what each one means for the caller.
const (
	InvalidRequest  Code = "invalid_request"  // the request itself is wrong; no model can answer it
	ContextTooLong  Code = "context_too_long" // the dialogue exceeds this model's window
	NotSupported    Code = "not_supported"    // this model cannot do what the request asks; another one may
	Refused         Code = "refused"          // the provider's content filter blocked prompt or reply
	Unauthenticated Code = "unauthenticated"  // the provider did not accept our key
	NotFound        Code = "model_not_found"  // the provider does not serve this model
	NotConfigured   Code = "not_configured"   // the model lacks its key, URL or weights
	RateLimited     Code = "rate_limited"     // the provider asks us to slow down
	Overloaded      Code = "overloaded"       // all slots are taken; trying later helps
	NoWorker        Code = "no_worker"        // no worker polls the model's task queue
	Unavailable     Code = "unavailable"      // the provider failed or could not be reached
	Timeout         Code = "timeout"          // no reply in time
	BadReply        Code = "bad_reply"        // the reply was not what the protocol promises
	EmptyReply      Code = "empty_reply"      // the reply held no text
	Canceled        Code = "canceled"         // the caller gave up
	Internal        Code = "internal"         // a defect of ours
)

// Known tells whether c is one of the codes above. A failure from elsewhere may carry any text.
func (c Code) Known() bool {
	switch c {
	case InvalidRequest, ContextTooLong, NotSupported, Refused, Unauthenticated, NotFound, NotConfigured, RateLimited,
		Overloaded, NoWorker, Unavailable, Timeout, BadReply, EmptyReply, Canceled, Internal:
		return true
	default:
		return false
	}
}

// Retryable tells whether the same call to the same model may succeed a little later.
func (c Code) Retryable() bool {
	switch c {
	case RateLimited, Overloaded, Unavailable, Timeout, BadReply, EmptyReply:
		return true
	default:
		return false
	}
}

// AnotherModelMayHelp tells whether the same request may succeed on a different model. A refusal
// does not count: falling back around a content filter would defeat it.
func (c Code) AnotherModelMayHelp() bool {
	switch c {
	case InvalidRequest, Refused, Canceled:
		return false
	default:
		return true
	}
}

// Error is the one error type that crosses packages.
type Error struct {
	Code Code
	// Message is safe to show to a caller: it holds no upstream body, key, address or customer text.
	Message string
	// RetryAfter is how long the provider asked us to wait; 0 when it did not say.
	RetryAfter time.Duration
	// Cause is for the log only. It may be nil.
	Cause error
}

// Error includes the cause, so it is for logs; show Message to callers.
func (e *Error) Error() string {
	if e.Cause == nil {
		return fmt.Sprintf("%s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Cause)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// CodeOf gives the code of the first *Error in err's chain. Context errors have codes of their own;
// everything else is Internal.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	default:
		return Internal
	}
}
