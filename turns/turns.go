// Package turns is the client's side of the workflows: it submits a turn to Temporal and waits for
// its answer, reads transcripts, cancels, erases and checks. It knows no HTTP and no models.
package turns

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"teller/activities"
	"teller/llm"
	"teller/workflows"
)

const (
	// acceptWithin is how long Temporal may take to accept a turn. It covers a restart of the
	// server, and leaves room in the 5 s after which a caller is told that it is down.
	acceptWithin = 4 * time.Second
	// grace is how long an answer may be late: the workflow names the failure that used up the time.
	grace = 2 * time.Second
	// cancelWithin bounds the call that tells a workflow that its caller has gone.
	cancelWithin = 5 * time.Second
	// decideWithin is how long a process may hold a decision: one that is killed with it is noticed
	// then. Temporal's default of 10 s is long for somebody who waits for an answer.
	decideWithin = 3 * time.Second
)

// Client submits turns. It is safe for concurrent use.
type Client struct {
	temporal  client.Client
	namespace string
	idle      time.Duration
}

// New makes a client. A conversation that it starts ends after idle without a turn.
func New(c client.Client, namespace string, idle time.Duration) *Client {
	return &Client{temporal: c, namespace: namespace, idle: idle}
}

// What a caller got wrong about ids.
var (
	ErrOtherRequest   = errors.New("the Idempotency-Key was used with another request")
	ErrNoConversation = errors.New("there is no such conversation")
	ErrNoTurn         = errors.New("there is no such turn")
)

// Ask submits a turn that stands alone and waits for its answer. A turn of the same id that is
// running or was answered is joined, not run again. When ctx ends, the turn is cancelled unless
// durable is set. Errors are *llm.Error or ErrOtherRequest.
func (c *Client) Ask(ctx context.Context, in workflows.TurnInput, durable bool) (workflows.Answer, error) {
	// Once submitted, the turn's fate is known only by waiting: the caller's hanging up must not
	// leave it half submitted.
	accept, cancel := context.WithTimeout(context.WithoutCancel(ctx), acceptWithin)
	defer cancel()
	run, err := c.temporal.ExecuteWorkflow(accept, client.StartWorkflowOptions{
		ID:                       chatPrefix + in.ID,
		TaskQueue:                workflows.QueueMain,
		EnableEagerStart:         true,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
		WorkflowTaskTimeout:      decideWithin,
		WorkflowExecutionTimeout: in.Timeout + time.Minute, // a backstop: the workflow keeps the deadline itself
		Priority:                 temporal.Priority{PriorityKey: workflows.PriorityChat},
		StaticSummary:            "Chat, route " + routeText(in.Route),
		TypedSearchAttributes:    temporal.NewSearchAttributes(keyTenant.ValueSet(in.Tenant), keyModel.ValueSet(in.Route[0].Model)),
	}, workflows.Chat, in)
	if err != nil {
		return workflows.Answer{}, fromService(err)
	}
	wait, cancel := context.WithTimeout(ctx, in.Timeout+grace)
	defer cancel()
	answer, err := hedgedGet[workflows.Answer](wait, run)
	if ctx.Err() != nil && !durable {
		c.detached(ctx, func(ctx context.Context) error {
			return c.temporal.CancelWorkflow(ctx, run.GetID(), run.GetRunID())
		})
	}
	return checked(answer, in, err)
}

// Converse submits a turn of a conversation, which it starts when there is none, and waits for its
// answer. It treats ids, ctx and durable as Ask does.
func (c *Client) Converse(ctx context.Context, conversationID string, in workflows.TurnInput, durable bool) (workflows.Answer, error) {
	id := workflowID(in.Tenant, conversationID)
	for attempt := 0; ; attempt++ {
		answer, err := c.update(ctx, id, updateID(in.ID, attempt), in, durable)
		// The same update id gives the same failure for ever. A caller who tries again with the key
		// of a turn that had failed wants a new try, as with Ask.
		if nonce := activities.NonceOf(err); nonce != "" && nonce != in.Nonce && attempt < maxAttempts {
			continue
		}
		return checked(answer, in, err)
	}
}

// maxAttempts bounds the failed tries of one turn id that are looked through.
const maxAttempts = 20

func (c *Client) update(ctx context.Context, workflowID, updateID string, in workflows.TurnInput, durable bool) (workflows.Answer, error) {
	accept, cancel := context.WithTimeout(context.WithoutCancel(ctx), acceptWithin)
	defer cancel()
	var handle client.WorkflowUpdateHandle
	for {
		start := c.temporal.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
			ID:                       workflowID,
			TaskQueue:                workflows.QueueMain,
			WorkflowTaskTimeout:      decideWithin,
			WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
			Priority:                 temporal.Priority{PriorityKey: workflows.PriorityChat},
			StaticSummary:            "Conversation",
			TypedSearchAttributes: temporal.NewSearchAttributes(keyTenant.ValueSet(in.Tenant),
				keyModel.ValueSet(in.Route[0].Model), keyConversation.ValueSet(strings.TrimPrefix(workflowID, conversationPrefix))),
		}, workflows.Conversation, workflows.ConversationInput{Idle: c.idle})
		var err error
		handle, err = c.temporal.UpdateWithStartWorkflow(accept, client.UpdateWithStartWorkflowOptions{
			StartWorkflowOperation: start,
			UpdateOptions: client.UpdateWorkflowOptions{
				UpdateID:     updateID,
				WorkflowID:   workflowID,
				UpdateName:   workflows.UpdateTurn,
				Args:         []any{in},
				WaitForStage: client.WorkflowUpdateStageAccepted,
			},
		})
		if err == nil {
			err = rejection(handle)
		}
		if err == nil {
			break
		}
		if !movesOn(err) || !pause(accept) {
			return workflows.Answer{}, fromService(err)
		}
	}
	wait, cancel := context.WithTimeout(ctx, in.Timeout+grace)
	defer cancel()
	var answer workflows.Answer
	err := handle.Get(wait, &answer)
	if ctx.Err() != nil && !durable {
		c.detached(ctx, func(ctx context.Context) error {
			return c.temporal.SignalWorkflow(ctx, workflowID, "", workflows.SignalCancelTurn, in.ID)
		})
	}
	return answer, err
}

// detached makes a call that must outlive the caller who has gone.
func (c *Client) detached(ctx context.Context, call func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelWithin)
	defer cancel()
	// A turn that has ended meanwhile needs no cancelling, and one that cannot be reached ends by its
	// own timeout.
	_ = call(ctx)
}

// checked turns what Temporal says into what a caller is told.
func checked(a workflows.Answer, in workflows.TurnInput, err error) (workflows.Answer, error) {
	switch {
	case err != nil:
		return workflows.Answer{}, fromService(err)
	case a.Digest != in.Digest:
		return workflows.Answer{}, ErrOtherRequest
	}
	return a, nil
}

// fromService names the failures of Temporal itself; a turn's own keep their code.
func fromService(err error) error {
	var unavailable *serviceerror.Unavailable
	var deadline *serviceerror.DeadlineExceeded
	var canceled *serviceerror.Canceled
	switch {
	case errors.As(err, &unavailable), errors.As(err, &deadline):
		return &llm.Error{Code: llm.Unavailable, RetryAfter: time.Second, Cause: err,
			Message: "the workflow service cannot be reached: the turn may not have been accepted"}
	case errors.As(err, &canceled):
		return &llm.Error{Code: llm.Canceled, Message: "the turn was cancelled", Cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &llm.Error{Code: llm.Timeout, Message: "the turn was not answered in time", Cause: err}
	}
	return activities.FromTemporal(err)
}

// movesOn tells whether the conversation is on its way to a new run, which will take the update.
func movesOn(err error) bool {
	var app *temporal.ApplicationError
	if errors.As(err, &app) && app.Type() == workflows.RollingOver {
		return true
	}
	// The run that was to take the update ended between its admission and its acceptance.
	var notFound *serviceerror.NotFound
	var aborted *serviceerror.Aborted
	var notReady *serviceerror.WorkflowNotReady
	return errors.As(err, &notFound) || errors.As(err, &aborted) || errors.As(err, &notReady)
}

// rejection gives the validator's error of an update that is complete already; nil otherwise.
func rejection(handle client.WorkflowUpdateHandle) error {
	now, cancel := context.WithCancel(context.Background())
	cancel() // a handle that has its outcome gives it without a call
	var app *temporal.ApplicationError
	if err := handle.Get(now, nil); errors.As(err, &app) && app.Type() == workflows.RollingOver {
		return err
	}
	return nil
}

// pause waits a moment; false when ctx ended.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(20 * time.Millisecond):
		return true
	}
}

func updateID(turnID string, attempt int) string {
	if attempt == 0 {
		return turnID
	}
	return turnID + "." + string(rune('a'+attempt-1))
}

const (
	chatPrefix         = "chat-"
	conversationPrefix = "conversation-"
)

// workflowID hides the conversation's id: a caller's text never stands in a workflow id.
func workflowID(tenant, conversationID string) string {
	return conversationPrefix + conversationHash(tenant, conversationID)
}

func conversationHash(tenant, conversationID string) string {
	return Hash("conversation", tenant, conversationID)
}

// Hash gives 32 hexadecimal digits for the parts, each of which keeps its place.
func Hash(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		inner := sha256.Sum256([]byte(part))
		h.Write(inner[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func routeText(route []workflows.Target) string {
	names := make([]string, len(route))
	for i, t := range route {
		names[i] = t.Model
	}
	return strings.Join(names, " → ")
}

var (
	keyTenant       = temporal.NewSearchAttributeKeyKeyword("TellerTenant")
	keyConversation = temporal.NewSearchAttributeKeyKeyword("TellerConversation")
	keyModel        = temporal.NewSearchAttributeKeyKeyword("TellerModel")
)
