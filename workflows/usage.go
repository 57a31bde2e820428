package workflows

import (
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"teller/activities"
)

// recordUntil is how long a row waits for a store that is down.
const recordUntil = 7 * 24 * time.Hour

// recordUsage stores what a turn used: of one that failed, or whose model was called where there is no store. It is a local activity: it
// costs no task of Temporal's and runs where the decision is made.
func recordUsage(ctx workflow.Context, used activities.RecordUsageInput) {
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: activities.RecordWithin,
		RetryPolicy:            &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	failed := workflow.ExecuteLocalActivity(local, activities.RecordUsageName, used).Get(ctx, nil)
	if failed == nil {
		return
	}
	workflow.GetLogger(ctx).Warn("the store did not take a turn's usage at once; it will be tried again", "error", failed)
	recordUsageLater(ctx, used)
}

// recordUsageLater has a workflow of its own try until the store takes the row, so that the answer need not wait and the row is not lost.
func recordUsageLater(ctx workflow.Context, used activities.RecordUsageInput) {
	child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:        "usage-" + used.TurnID,
		TaskQueue:         QueueMain,
		ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_ABANDON,
		StaticSummary:     "Usage of a turn, to be stored when the store is back",
	})
	// A turn is worth more than its row: one that was answered is not failed because this cannot start.
	if err := workflow.ExecuteChildWorkflow(child, Usage, used).GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Error("a turn's usage is not stored", "error", err)
	}
}

// Usage stores what a turn used, however long the store is away.
func Usage(ctx workflow.Context, used activities.RecordUsageInput) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout:    10 * time.Second,
		ScheduleToCloseTimeout: recordUntil,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute},
		Summary:                "store",
	})
	return workflow.ExecuteActivity(ctx, activities.RecordUsageName, used).Get(ctx, nil)
}
