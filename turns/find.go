package turns

import (
	"context"
	"errors"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	workflowservice "go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"teller/workflows"
)

// Found is a turn that was submitted, by this process or another.
type Found struct {
	// Ended tells that Answer will not wait.
	Ended bool
	// Answer waits for the turn's answer. Its error is the turn's own, or ctx's.
	Answer func(ctx context.Context) (workflows.Answer, error)
}

func found(ended bool, wait func(context.Context, *workflows.Answer) error) Found {
	return Found{Ended: ended, Answer: func(ctx context.Context) (answer workflows.Answer, err error) {
		if err = wait(ctx, &answer); err != nil {
			return workflows.Answer{}, fromService(err)
		}
		return answer, nil
	}}
}

// Find looks a turn of the tenant up by its id. One that is not there, or that is another tenant's, is ErrNoTurn.
func (c *Client) Find(ctx context.Context, tenant, id string) (Found, error) {
	workflow, conversation, ok := workflowOf(id)
	if !ok {
		return Found{}, ErrNoTurn
	}
	ctx, cancel := context.WithTimeout(ctx, queryWithin)
	defer cancel()
	described, err := c.temporal.DescribeWorkflowExecution(ctx, workflow, "")
	if err != nil {
		return Found{}, turnError(err)
	}
	info := described.GetWorkflowExecutionInfo()
	var owner string
	err = converter.GetDefaultDataConverter().FromPayload(info.GetSearchAttributes().GetIndexedFields()[keyTenant.GetName()], &owner)
	// A conversation that was erased was terminated, and is deleted a little later: it is gone at once.
	if err != nil || owner != tenant || info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED {
		return Found{}, ErrNoTurn
	}
	if conversation {
		return c.findUpdate(ctx, workflow, info.GetExecution().GetRunId(), id)
	}
	return found(info.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, func(ctx context.Context, a *workflows.Answer) (err error) {
		*a, err = hedgedGet[workflows.Answer](ctx, c.temporal.GetWorkflow(ctx, workflow, ""))
		return err
	}), nil
}

// findUpdate looks a conversation's turn up: in the present run, in those before it, and at last in the transcript, which
// outlives the runs.
func (c *Client) findUpdate(ctx context.Context, workflow, run, id string) (Found, error) {
	turn, err := c.findInRun(ctx, workflow, run, id)
	if !errors.Is(err, ErrNoTurn) {
		return turn, err
	}
	runs, err := c.runs(ctx, workflow)
	if err != nil {
		return Found{}, turnError(err)
	}
	delete(runs, run)
	for earlier := range runs {
		if turn, err = c.findInRun(ctx, workflow, earlier, id); !errors.Is(err, ErrNoTurn) {
			return turn, err
		}
	}
	said, err := c.transcript(ctx, workflow)
	if errors.Is(err, ErrNoConversation) {
		return Found{}, ErrNoTurn
	}
	if err != nil {
		return Found{}, err
	}
	for _, t := range said.Turns {
		if t.Answer.TurnID == id {
			return Found{Ended: true, Answer: func(context.Context) (workflows.Answer, error) { return t.Answer, nil }}, nil
		}
	}
	return Found{}, ErrNoTurn
}

// findInRun looks for the turn's latest try in one run.
func (c *Client) findInRun(ctx context.Context, workflow, run, id string) (Found, error) {
	turn, err := Found{}, ErrNoTurn
	for try := range maxAttempts {
		ref := &updatepb.UpdateRef{
			WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: workflow, RunId: run},
			UpdateId:          updateID(id, try),
		}
		now, pollErr := c.temporal.WorkflowService().PollWorkflowExecutionUpdate(ctx, &workflowservice.PollWorkflowExecutionUpdateRequest{
			Namespace: c.namespace, UpdateRef: ref,
			WaitPolicy: &updatepb.WaitPolicy{LifecycleStage: enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED},
		})
		var notFound *serviceerror.NotFound
		if errors.As(pollErr, &notFound) {
			return turn, err
		}
		if pollErr != nil {
			return Found{}, turnError(pollErr)
		}
		handle := c.temporal.GetWorkflowUpdateHandle(client.GetWorkflowUpdateHandleOptions{WorkflowID: workflow, RunID: run, UpdateID: ref.GetUpdateId()})
		turn, err = found(now.GetOutcome() != nil, func(ctx context.Context, a *workflows.Answer) error { return handle.Get(ctx, a) }), nil
		if now.GetOutcome().GetFailure() == nil {
			break
		}
	}
	return turn, err
}

func turnError(err error) error {
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		return ErrNoTurn
	}
	return fromService(err)
}
