// Package activities holds what can fail: the calls to models. Each activity runs one call, reports
// its progress to Temporal, and says of every failure whether trying again makes sense. It decides
// nothing about routes and keeps no state; the workflows do.
package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"teller/llm"
	"teller/stream"
)

// Models finds a configured model by name. A model that is not there is an *llm.Error.
type Models interface {
	Model(name string) (llm.Model, error)
}

// StreamTarget says where the pieces of a turn's reply go while they come.
type StreamTarget = stream.Target

// Streams sends the pieces of a reply on. What it gives returns at once and loses what cannot be sent.
type Streams interface {
	// Open begins an attempt at a turn. attempt grows from one to the next.
	Open(to StreamTarget, attempt int64) func(llm.Delta)
}

// Activities are what the workers register. They are safe for concurrent use.
type Activities struct {
	Models  Models
	Streams Streams // nil: replies come with their results only
	Ledger  Ledger
	Prices  Prices
	// Measurements are what benchmarks need; only workers of the main queue have them.
	Measurements Measurements
}

// heartbeatEvery is how often a running call reports to Temporal. A caller's cancellation comes back
// with a heartbeat, so this is also how long a cancelled model call goes on.
const heartbeatEvery = time.Second

// maxReplyBytes keeps a reply well inside Temporal's 2 MiB for a payload: a larger one would be
// retried for ever.
const maxReplyBytes = 1 << 20

// CompleteInput asks one model for one completion.
type CompleteInput struct {
	Model   string      `json:"model"`
	Request llm.Request `json:"request"`
	// Turn is whose usage is recorded with the reply; nil where no turn is answered.
	Turn *CompletedTurn `json:"turn,omitempty"`
	// Patience is the longest Retry-After that is worth waiting for. A longer one ends the retries,
	// so that the workflow can turn to another model.
	Patience time.Duration `json:"patience"`
	// Stream is where somebody reads the reply while it comes; nil when nobody does.
	Stream *StreamTarget `json:"stream,omitempty"`
	// Measure has the call's time taken.
	Measure bool `json:"measure,omitempty"`
}

// CompleteOutput is the reply, with what became of the turn's usage.
type CompleteOutput struct {
	llm.Completion
	Stored UsageState `json:"stored,omitempty"`
}

// Complete calls the model once, and records what the turn used where its worker has a store. Its errors are Temporal application errors
// whose type is an llm.Code; FromTemporal turns them back.
func (a *Activities) Complete(ctx context.Context, in CompleteInput) (CompleteOutput, error) {
	began := time.Now()
	model, err := a.Models.Model(in.Model)
	if err != nil {
		return CompleteOutput{}, toTemporal(ctx, err, in.Patience)
	}
	emit := a.emitter(ctx, in.Stream)
	var watch stopwatch
	if in.Measure {
		emit = watch.start()
	}
	stop := heartbeat(ctx)
	out, err := model.Complete(ctx, in.Request, emit)
	stop()
	if err == nil && in.Measure {
		out.Timing = watch.timing(out)
	}
	if err == nil {
		err = checkSize(in.Model, out)
	}
	if err != nil {
		logFailure(ctx, in.Model, err)
		return CompleteOutput{}, toTemporal(ctx, err, in.Patience)
	}
	return CompleteOutput{Completion: out, Stored: a.recordCompleted(ctx, in, out, began)}, nil
}

// checkSize refuses a reply that Temporal could not carry.
func checkSize(model string, out llm.Completion) error {
	if len(out.Text) > maxReplyBytes {
		return &llm.Error{Code: llm.Internal, Message: fmt.Sprintf("the reply of %q is over %d bytes: lower max_tokens", model, maxReplyBytes)}
	}
	if len(out.LogProbs) == 0 {
		return nil
	}
	// With the most probable alternatives, a token of a few bytes becomes a kilobyte.
	probabilities, err := json.Marshal(out.LogProbs)
	if err != nil {
		return &llm.Error{Code: llm.BadReply, Message: fmt.Sprintf("%q gave a log-probability that is no number", model), Cause: err}
	}
	if len(out.Text)+len(probabilities) > maxReplyBytes {
		return &llm.Error{Code: llm.InvalidRequest, Message: fmt.Sprintf("the log-probabilities of the reply are over %d bytes: lower max_tokens or top_logprobs", maxReplyBytes)}
	}
	return nil
}

// emitter gives what takes the pieces of this attempt's reply; nil when nobody reads them.
func (a *Activities) emitter(ctx context.Context, to *StreamTarget) func(llm.Delta) {
	if a.Streams == nil || to == nil {
		return nil
	}
	// By the server's clock: the attempt's number starts again with each activity of the turn.
	return a.Streams.Open(*to, activity.GetInfo(ctx).StartedTime.UnixNano())
}

// CheckInput names the model to check.
type CheckInput struct {
	Model string `json:"model"`
}

// CheckOutput is what a check found. A model that would not answer is a finding, not a failure of
// the check.
type CheckOutput struct {
	Status llm.Status `json:"status"`
	Code   llm.Code   `json:"code,omitempty"`   // why the model would not answer; "" when it would
	Reason string     `json:"reason,omitempty"` // the same in words
}

// Check tells whether the model would answer now. It costs no tokens and never fails.
func (a *Activities) Check(ctx context.Context, in CheckInput) (CheckOutput, error) {
	model, err := a.Models.Model(in.Model)
	if err != nil {
		return unhealthy(err), nil
	}
	status, err := model.Check(ctx)
	if err != nil {
		return unhealthy(err), nil
	}
	return CheckOutput{Status: status}, nil
}

func unhealthy(err error) CheckOutput {
	e := asError(err)
	return CheckOutput{Code: e.Code, Reason: e.Message}
}

// heartbeat reports from a ticker, before the first token too, until the returned function is called.
func heartbeat(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		ticker := time.NewTicker(heartbeatEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-ticker.C:
				activity.RecordHeartbeat(ctx)
			}
		}
	}()
	return func() { close(done); <-finished }
}

// logFailure writes the cause, which never leaves the worker, beside the code, which does.
func logFailure(ctx context.Context, model string, err error) {
	if llm.CodeOf(err) == llm.Canceled {
		return
	}
	activity.GetLogger(ctx).Warn("model call failed", "model", model, "code", llm.CodeOf(err), "error", err)
}
