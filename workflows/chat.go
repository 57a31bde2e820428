package workflows

import (
	"go.temporal.io/sdk/workflow"

	"teller/llm"
)

// Chat answers one message that stands alone.
func Chat(ctx workflow.Context, in TurnInput) (Answer, error) {
	return answer(ctx, in, func(Target) ([]llm.Message, int) { return nil, 0 }, &labels{})
}
