package turns

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowservice "go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"teller/workflows"
)

// queryWithin bounds a read: a caller is told within 5 s that Temporal is down.
const queryWithin = 4 * time.Second

// Transcript gives what was said in a conversation. One that is not there is ErrNoConversation.
func (c *Client) Transcript(ctx context.Context, tenant, conversationID string) (workflows.Transcript, error) {
	return c.transcript(ctx, workflowID(tenant, conversationID))
}

func (c *Client) transcript(ctx context.Context, workflowID string) (workflows.Transcript, error) {
	ctx, cancel := context.WithTimeout(ctx, queryWithin)
	defer cancel()
	var t workflows.Transcript
	response, err := c.temporal.QueryWorkflowWithOptions(ctx, &client.QueryWorkflowWithOptionsRequest{
		WorkflowID: workflowID,
		QueryType:  workflows.QueryTranscript,
		// An erased conversation was terminated and is deleted a little later: it is gone at once.
		QueryRejectCondition: enumspb.QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY,
	})
	switch {
	case err != nil:
		return t, conversationError(err)
	case response.QueryRejected != nil:
		return t, ErrNoConversation
	}
	return t, response.QueryResult.Get(&t)
}

// Erase ends a conversation, which is gone for its readers at once, and has Temporal delete what it
// keeps of it, the runs before the present one included, which takes it up to a minute. One that is not there is ErrNoConversation.
func (c *Client) Erase(ctx context.Context, tenant, conversationID string) error {
	ctx, cancel := context.WithTimeout(ctx, queryWithin)
	defer cancel()
	id := workflowID(tenant, conversationID)
	first, err := c.temporal.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return conversationError(err)
	}
	// Ended first, so that no turn is committed to a run that comes after those deleted here.
	var notFound *serviceerror.NotFound
	if err := c.temporal.TerminateWorkflow(ctx, id, "", "erased"); err != nil && !errors.As(err, &notFound) {
		return conversationError(err)
	}
	runs, err := c.runs(ctx, id)
	if err != nil {
		return conversationError(err)
	}
	runs[first.GetWorkflowExecutionInfo().GetExecution().GetRunId()] = true
	for run := range runs {
		_, err := c.temporal.WorkflowService().DeleteWorkflowExecution(ctx, &workflowservice.DeleteWorkflowExecutionRequest{
			Namespace:         c.namespace,
			WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: run},
		})
		if err != nil && !errors.As(err, &notFound) {
			return conversationError(err)
		}
	}
	return nil
}

// runs gives the runs of a workflow that Temporal lists: all but those that are a moment old.
func (c *Client) runs(ctx context.Context, workflowID string) (map[string]bool, error) {
	runs := map[string]bool{}
	var page []byte
	for {
		list, err := c.temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Namespace: c.namespace, Query: fmt.Sprintf("WorkflowId = '%s'", workflowID), NextPageToken: page})
		if err != nil {
			return nil, err
		}
		for _, e := range list.GetExecutions() {
			runs[e.GetExecution().GetRunId()] = true
		}
		if page = list.GetNextPageToken(); len(page) == 0 {
			return runs, nil
		}
	}
}

func conversationError(err error) error {
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		return ErrNoConversation
	}
	return fromService(err)
}

// Check asks each model, on the way a turn would take, whether it would answer now.
func (c *Client) Check(ctx context.Context, targets []workflows.Target) ([]workflows.Health, error) {
	ctx, cancel := context.WithTimeout(ctx, queryWithin)
	defer cancel()
	run, err := c.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       "check-" + uuid.NewString(),
		TaskQueue:                workflows.QueueMain,
		EnableEagerStart:         true,
		WorkflowExecutionTimeout: 10 * time.Second,
		Priority:                 temporal.Priority{PriorityKey: workflows.PriorityChat},
		StaticSummary:            "Health check, no tokens",
	}, workflows.Check, workflows.CheckInput{Targets: targets})
	if err != nil {
		return nil, fromService(err)
	}
	return hedgedGet[[]workflows.Health](ctx, run)
}

// Ping tells whether Temporal can be reached.
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, queryWithin)
	defer cancel()
	if _, err := c.temporal.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return fromService(err)
	}
	return nil
}
