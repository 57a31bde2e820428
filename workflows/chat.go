package workflows

import "go.temporal.io/sdk/workflow"

// Chat answers one message that stands alone.
func Chat(ctx workflow.Context, in TurnInput) (Answer, error) {
	return answer(ctx, in, nil, &labels{})
}
