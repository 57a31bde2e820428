// Package workflows holds the decisions: which model answers a turn, when to try the next one, how a
// conversation keeps its order. It is deterministic (workflowcheck and the replayed histories in
// testdata/histories hold that) and does nothing itself: activities do.
package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"teller/activities"
	"teller/llm"
)

// The task queues. Models of kind transformer are called on QueueGPU, all others on QueueMain.
const (
	QueueMain = "teller"     // workflows, and calls to models across the network
	QueueGPU  = "teller-gpu" // calls to our own transformer, polled by GPU workers only
)

// PriorityChat puts a caller's turn before background work on the same queues (1 is highest, 5
// lowest, 3 what everything else has).
const PriorityChat = 2

// Target is a model and the task queue on which it is called.
type Target struct {
	Model string `json:"model"`
	Queue string `json:"queue"`
	// HistoryBytes bounds what is sent of a conversation's earlier turns: about as much as the model's window holds. 0 is
	// the bound for a model whose window nobody has configured.
	HistoryBytes int `json:"history_bytes,omitempty"`
}

// TurnInput is one message of a caller, with all that is decided before a workflow sees it.
type TurnInput struct {
	ID     string `json:"id"`
	Tenant string `json:"tenant"` // whose turn it is: nobody else may read it
	// Conversation is the caller's id of the conversation; "" for a turn that stands alone.
	Conversation string `json:"conversation,omitempty"`
	Digest       string `json:"digest"` // of the caller's request: tells another request with the same Idempotency-Key
	Nonce        string `json:"nonce"`  // of this submission: tells its own failure from an earlier one's
	// Route are the models to try, in this order.
	Route []Target `json:"route"`
	// Timeout is how long the turn may take, counted from its arrival in the workflow.
	Timeout time.Duration `json:"timeout"`
	// Stream is where the caller reads the reply while it comes; nil when it waits for the whole.
	Stream *activities.StreamTarget `json:"stream,omitempty"`

	// Messages are what the caller says: a system message, if any, then the dialogue, which ends with the user's message
	// to answer. In a conversation what was said before goes between the two.
	Messages []llm.Message `json:"messages"`
	llm.Options
}

// message is the user's message to answer.
func (in TurnInput) message() string { return in.Messages[len(in.Messages)-1].Text }

// Answer is what became of a turn.
type Answer struct {
	TurnID       string `json:"turn_id"`
	Tenant       string `json:"tenant"`
	Digest       string `json:"digest"`
	Conversation string `json:"conversation,omitempty"` // as in TurnInput
	Model        string `json:"model"`
	FallbackFrom string `json:"fallback_from,omitempty"` // the model that should have answered
	// Completion is the model's reply. Its OmittedMessages count those of a conversation's earlier turns that were not sent
	// at all, too.
	Completion llm.Completion `json:"completion"`
	// StartedAt is when the turn arrived in the workflow.
	StartedAt time.Time `json:"started_at,omitzero"`
	// LatencyMs is the turn's time in the workflow, so that a repeated request gets the same figure.
	LatencyMs int64 `json:"latency_ms"`
}

const (
	// startWithin is how long a call waits for a worker. It covers a short burst; more means that
	// nobody polls the queue, which the caller should learn soon.
	startWithin = 4 * time.Second
	// heartbeatWithin is when a worker that was killed is noticed.
	heartbeatWithin = 3 * time.Second
	// shareBeforeFallback is the part of a turn's time that a model may use while others stand behind it.
	shareBeforeFallback = 2.0 / 3
	// patienceBeforeFallback is the longest Retry-After worth waiting for while others stand behind.
	patienceBeforeFallback = time.Second
	attemptsBeforeFallback = 2
	attemptsUntilDeadline  = 0 // no bound but the turn's timeout
)

var (
	acts *activities.Activities // for the method names only

	keyModel   = temporal.NewSearchAttributeKeyKeyword("TellerModel")
	keyOutcome = temporal.NewSearchAttributeKeyKeyword("TellerOutcome")
	keyLatency = temporal.NewSearchAttributeKeyInt64("TellerLatencyMs")
)

// labels are a turn's outcome as the Web UI's filters find it.
type labels struct{ model, outcome string }

// history gives what a model is told of the turns before, and how many of their messages are left out.
type history func(Target) (said []llm.Message, omitted int)

// answer tries the route's models in turn. Its error is a temporal application error whose type is
// an llm.Code: the first model's, since that is the one the caller asked for.
func answer(ctx workflow.Context, in TurnInput, history history, before *labels) (Answer, error) {
	if len(in.Route) == 0 || len(in.Messages) == 0 {
		return Answer{}, activities.TurnFailure(&llm.Error{Code: llm.InvalidRequest, Message: "the turn names no model or holds no message"}, in.Nonce)
	}
	started := workflow.Now(ctx)
	deadline := started.Add(in.Timeout)
	var failed *llm.Error
	for i, target := range in.Route {
		left := deadline.Sub(workflow.Now(ctx))
		if left <= 0 {
			break
		}
		a := Answer{TurnID: in.ID, Tenant: in.Tenant, Digest: in.Digest, Conversation: in.Conversation, Model: target.Model, StartedAt: started}
		if i > 0 {
			a.FallbackFrom = in.Route[0].Model
		}
		said, omitted := history(target)
		out, err := complete(ctx, in.call(a, said), target, left, i == len(in.Route)-1)
		if err == nil {
			a.Completion = out.Completion
			a.Completion.OmittedMessages += omitted
			a.LatencyMs = in.record(ctx, before, a, activities.OutcomeOK, out.Stored)
			return a, nil
		}
		failure := activities.FromTemporal(err)
		if failed == nil {
			failed = failure
		}
		if !failure.Code.AnotherModelMayHelp() {
			failed = failure
			break
		}
	}
	if failed == nil {
		failed = &llm.Error{Code: llm.Timeout, Message: "the turn's time was over before a model could be asked"}
	}
	in.record(ctx, before, Answer{Model: in.Route[0].Model, StartedAt: started}, string(failed.Code), "")
	return Answer{}, activities.TurnFailure(failed, in.Nonce)
}

// complete runs one model's call. While other models stand behind it, it gets a share of the time
// and few attempts; the last one is tried until the turn's time is over.
func complete(ctx workflow.Context, in activities.CompleteInput, target Target, left time.Duration, last bool) (out activities.CompleteOutput, err error) {
	deadline := workflow.Now(ctx).Add(left)
	attempts := int32(attemptsUntilDeadline)
	in.Patience = left
	if !last {
		left = time.Duration(float64(left) * shareBeforeFallback)
		attempts = attemptsBeforeFallback
		in.Patience = min(left, patienceBeforeFallback)
	}
	call := func(startWithin, left time.Duration) error {
		ctx := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			TaskQueue:              target.Queue,
			ScheduleToStartTimeout: min(startWithin, left),
			StartToCloseTimeout:    left,
			ScheduleToCloseTimeout: left,
			HeartbeatTimeout:       heartbeatWithin,
			Summary:                target.Model,
			Priority:               temporal.Priority{PriorityKey: PriorityChat},
			RetryPolicy: &temporal.RetryPolicy{
				InitialInterval:    250 * time.Millisecond,
				BackoffCoefficient: 2,
				MaximumInterval:    5 * time.Second,
				MaximumAttempts:    attempts,
			},
		})
		return workflow.ExecuteActivity(ctx, acts.Complete, in).Get(ctx, &out)
	}
	err = call(startWithin, left)
	if last && activities.WorkerLost(err) {
		// The call was in a worker's hands: one was there, and is on its way back.
		if left = deadline.Sub(workflow.Now(ctx)); left > 0 {
			err = call(left, left)
		}
	}
	return out, err
}

// call is the turn as a model sees it: the system message first, then what was said, then what the caller says now. a is what is known
// of the answer.
func (in TurnInput) call(a Answer, history []llm.Message) activities.CompleteInput {
	messages := make([]llm.Message, 0, len(history)+len(in.Messages))
	now := in.Messages
	if now[0].Role == llm.System {
		messages, now = append(messages, now[0]), now[1:]
	}
	messages = append(append(messages, history...), now...)
	return activities.CompleteInput{
		Model: a.Model, Request: llm.Request{Messages: messages, Options: in.Options}, Stream: in.Stream,
		Turn: in.turn(a),
	}
}

// turn is what the row of the turn's usage needs.
func (in TurnInput) turn(a Answer) *activities.CompletedTurn {
	return &activities.CompletedTurn{ID: in.ID, Tenant: in.Tenant, Conversation: in.Conversation, FallbackFrom: a.FallbackFrom, StartedAt: a.StartedAt}
}

// record stores what the turn used, unless the activity has, puts its outcome into the search attributes and gives its latency in
// milliseconds. before are the labels that stand there: setting them again would cost Temporal as much as a tenth of the turn, so in a
// conversation whose turns go well the latency is that of the first.
func (in TurnInput) record(ctx workflow.Context, before *labels, a Answer, outcome string, stored activities.UsageState) int64 {
	used := in.turn(a).Used(a.Model, a.Completion, outcome, workflow.Now(ctx))
	latency := used.LatencyMs
	// On a context of its own, since the turn's may be cancelled; and not cancelled at the end, since that would end the workflow that
	// waits for the store.
	free, _ := workflow.NewDisconnectedContext(ctx)
	switch stored {
	case activities.UsageStored:
	case activities.UsageWaits:
		recordUsageLater(free, used)
	default:
		recordUsage(free, used)
	}
	now := labels{a.Model, outcome}
	if *before == now {
		return latency
	}
	*before = now
	err := workflow.UpsertTypedSearchAttributes(ctx,
		keyModel.ValueSet(now.model), keyOutcome.ValueSet(now.outcome), keyLatency.ValueSet(latency))
	if err != nil {
		// A turn is worth more than its label.
		workflow.GetLogger(ctx).Error("search attributes not set", "error", err)
	}
	return latency
}
