package activities

import (
	"context"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"teller/llm"
)

// attemptsOnBadReplies bounds the retries of failures that say more about the model than about the
// moment: a server that sends garbage twice will send it again.
const attemptsOnBadReplies = 2

// toTemporal turns a model's failure into what Temporal understands: whether to retry, and when.
func toTemporal(ctx context.Context, err error, patience time.Duration) error {
	if ctx.Err() != nil {
		if stopping(ctx) {
			// The worker is going away, not the caller: the next worker takes the call at once.
			return temporal.NewApplicationErrorWithOptions("the worker is shutting down", string(llm.Unavailable),
				temporal.ApplicationErrorOptions{NextRetryDelay: time.Millisecond})
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return temporal.NewCanceledError()
		}
	}
	failure := asError(err)
	return Failure(failure, !failure.Code.Retryable() ||
		failure.RetryAfter > patience ||
		(repliedBadly(failure.Code) && activity.GetInfo(ctx).Attempt >= attemptsOnBadReplies))
}

// Failure is an *llm.Error as a Temporal application error. The cause stays behind: it may hold what
// no history should.
func Failure(e *llm.Error, final bool) error {
	options := temporal.ApplicationErrorOptions{NonRetryable: final, Details: []any{detail{RetryAfter: e.RetryAfter}}}
	if !final {
		options.NextRetryDelay = e.RetryAfter
	}
	return temporal.NewApplicationErrorWithOptions(e.Message, string(e.Code), options)
}

// TurnFailure is the final failure of a turn. The nonce says whose submission failed.
func TurnFailure(e *llm.Error, nonce string) error {
	return temporal.NewApplicationErrorWithOptions(e.Message, string(e.Code), temporal.ApplicationErrorOptions{
		NonRetryable: true, Details: []any{detail{RetryAfter: e.RetryAfter, Nonce: nonce}}})
}

// NonceOf gives the nonce of the submission that failed with err, or "".
func NonceOf(err error) string {
	var app *temporal.ApplicationError
	var d detail
	if errors.As(err, &app) && app.HasDetails() && app.Details(&d) == nil {
		return d.Nonce
	}
	return ""
}

// detail is what a failure carries beside its code and message.
type detail struct {
	RetryAfter time.Duration `json:"retry_after,omitempty"`
	Nonce      string        `json:"nonce,omitempty"`
}

// FromTemporal gives the *llm.Error behind the failure of an activity, a workflow or an update.
func FromTemporal(err error) *llm.Error {
	var known *llm.Error
	if errors.As(err, &known) {
		return known
	}
	var canceled *temporal.CanceledError
	if errors.As(err, &canceled) {
		return &llm.Error{Code: llm.Canceled, Message: "the turn was cancelled", Cause: err}
	}
	// A timeout carries the failure of the attempt before it, which says more than the timeout.
	var app *temporal.ApplicationError
	if errors.As(err, &app) && app.Type() != "" {
		e := &llm.Error{Code: llm.Code(app.Type()), Message: app.Message(), Cause: err}
		var d detail
		if app.HasDetails() && app.Details(&d) == nil {
			e.RetryAfter = d.RetryAfter
		}
		if !e.Code.Known() {
			return &llm.Error{Code: llm.Internal, Message: "the turn failed", Cause: err}
		}
		return e
	}
	var timeout *temporal.TimeoutError
	if errors.As(err, &timeout) {
		switch timeout.TimeoutType() {
		case enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START:
			return &llm.Error{Code: llm.NoWorker, Message: "no worker took the call in time: none is running for this model, or all are busy", Cause: err}
		case enumspb.TIMEOUT_TYPE_HEARTBEAT:
			return &llm.Error{Code: llm.Unavailable, Message: "the worker that ran the call was lost", Cause: err}
		default:
			return &llm.Error{Code: llm.Timeout, Message: "the model did not answer in time", Cause: err}
		}
	}
	return asError(err)
}

// WorkerLost tells whether a call failed because the worker that had taken it was gone and no other
// came. It is known by the failure behind the timeout: a call that no worker ever took has none.
func WorkerLost(err error) bool {
	var timeout *temporal.TimeoutError
	return errors.As(err, &timeout) && timeout.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START &&
		errors.Unwrap(timeout) != nil
}

func asError(err error) *llm.Error {
	var e *llm.Error
	if errors.As(err, &e) {
		return e
	}
	switch code := llm.CodeOf(err); code {
	case llm.Timeout:
		return &llm.Error{Code: code, Message: "the model did not answer in time", Cause: err}
	case llm.Canceled:
		return &llm.Error{Code: code, Message: "the turn was cancelled", Cause: err}
	default:
		return &llm.Error{Code: llm.Internal, Message: "the turn failed", Cause: err}
	}
}

func repliedBadly(c llm.Code) bool { return c == llm.BadReply || c == llm.EmptyReply }

func stopping(ctx context.Context) bool {
	select {
	case <-activity.GetWorkerStopChannel(ctx):
		return true
	default:
		return false
	}
}
