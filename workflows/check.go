package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"teller/activities"
	"teller/llm"
)

// CheckInput names the models to check.
type CheckInput struct {
	Targets []Target `json:"targets"`
}

// Health is what a check found, in the order of CheckInput.Targets.
type Health struct {
	Model   string     `json:"model"`
	Status  llm.Status `json:"status"`
	Healthy bool       `json:"healthy"`
	Code    llm.Code   `json:"code,omitempty"`   // why not
	Reason  string     `json:"reason,omitempty"` // the same in words
}

// Check asks each model, on the way a turn would take, whether it would answer now.
func Check(ctx workflow.Context, in CheckInput) ([]Health, error) {
	checks := make([]workflow.Future, len(in.Targets))
	for i, target := range in.Targets {
		ctx := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			TaskQueue:              target.Queue,
			ScheduleToStartTimeout: 1500 * time.Millisecond,
			StartToCloseTimeout:    3 * time.Second,
			Summary:                target.Model,
			RetryPolicy:            &temporal.RetryPolicy{MaximumAttempts: 1},
		})
		checks[i] = workflow.ExecuteActivity(ctx, acts.Check, activities.CheckInput{Model: target.Model})
	}
	found := make([]Health, len(in.Targets))
	for i, check := range checks {
		var out activities.CheckOutput
		if err := check.Get(ctx, &out); err != nil {
			failure := activities.FromTemporal(err)
			out = activities.CheckOutput{Code: failure.Code, Reason: failure.Message}
		}
		found[i] = Health{Model: in.Targets[i].Model, Status: out.Status, Healthy: out.Code == "", Code: out.Code, Reason: out.Reason}
	}
	return found, nil
}
