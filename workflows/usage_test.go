package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"

	"teller/activities"
	"teller/llm"
	"teller/store"
	"teller/workflows"
)

func TestUsageOfATurnIsRecordedOnce(t *testing.T) {
	gemini := &fakeModel{answer: func(context.Context, llm.Request) (llm.Completion, error) {
		return llm.Completion{Text: "ok", Served: "gemini-2.5-flash", Usage: llm.Usage{PromptTokens: 1000, CompletionTokens: 100}}, nil
	}}
	models := fakeModels{"custom": fails(&llm.Error{Code: llm.NotConfigured, Message: "no weights"}, 0), "gemini": gemini}
	environment := func(t *testing.T, models fakeModels) (*testsuite.TestWorkflowEnvironment, *int) {
		env, _ := environment(t, models)
		local := 0
		env.SetOnLocalActivityStartedListener(func(*activity.Info, context.Context, []any) { local++ })
		return env, &local
	}

	t.Run("answered by a fallback", func(t *testing.T) {
		env, local := environment(t, models)
		in := turn("t1", "custom", "gemini")
		in.Tenant = "retail"
		env.ExecuteWorkflow(workflows.Chat, in)
		require.NoError(t, env.GetWorkflowError())
		rows := ledgerOf(env).rows
		require.Len(t, rows, 1)
		cost := int64(550_000)
		require.False(t, rows[0].CallBegan.After(rows[0].At))
		rows[0].At, rows[0].CallBegan, rows[0].LatencyMs = time.Time{}, time.Time{}, 0
		require.Equal(t, store.Usage{TurnID: "t1", Tenant: "retail", Model: "gemini", FallbackFrom: "custom", Outcome: "ok",
			PromptTokens: 1000, CompletionTokens: 100, CostNanoUSD: &cost}, rows[0])
		require.Zero(t, *local, "the call has recorded it")
	})
	t.Run("answered by a worker without a store", func(t *testing.T) {
		env, local := environment(t, models)
		env.RegisterActivityWithOptions((&activities.Activities{Models: models}).Complete,
			activity.RegisterOptions{Name: "Complete", DisableAlreadyRegisteredCheck: true})
		env.ExecuteWorkflow(workflows.Chat, turn("t1", "gemini"))
		require.NoError(t, env.GetWorkflowError())
		require.Equal(t, 1, *local)
		rows := ledgerOf(env).rows
		require.Len(t, rows, 1)
		require.Equal(t, "ok", rows[0].Outcome)
		require.Equal(t, rows[0].At, rows[0].CallBegan, "the last word is the workflow's")
	})
	t.Run("failed", func(t *testing.T) {
		env, local := environment(t, models)
		env.ExecuteWorkflow(workflows.Chat, turn("t1", "custom"))
		requireCode(t, env.GetWorkflowError(), llm.NotConfigured)
		rows := ledgerOf(env).rows
		require.Len(t, rows, 1)
		require.Equal(t, "not_configured", rows[0].Outcome)
		require.Equal(t, "custom", rows[0].Model)
		require.Nil(t, rows[0].CostNanoUSD)
		require.Equal(t, 1, *local)
	})
	t.Run("cancelled", func(t *testing.T) {
		env, _ := environment(t, fakeModels{"custom": &fakeModel{answer: func(ctx context.Context, _ llm.Request) (llm.Completion, error) {
			<-ctx.Done()
			return llm.Completion{}, &llm.Error{Code: llm.Canceled, Message: "cancelled"}
		}}})
		env.RegisterDelayedCallback(env.CancelWorkflow, time.Second)
		env.ExecuteWorkflow(workflows.Chat, turn("t1", "custom"))
		require.Error(t, env.GetWorkflowError())
		require.Len(t, ledgerOf(env).rows, 1)
		require.Equal(t, "canceled", ledgerOf(env).rows[0].Outcome)
	})
	t.Run("in a conversation", func(t *testing.T) {
		env, _ := environment(t, models)
		for i, id := range []string{"t1", "t2", "t1"} { // the last one is a repetition
			in := turn(id, "gemini")
			in.Conversation = "c1"
			send(env, time.Duration(i)*time.Second, in)
		}
		converse(env, workflows.ConversationInput{})
		rows := ledgerOf(env).rows
		require.Len(t, rows, 2)
		require.Equal(t, "c1", rows[1].Conversation)
	})
	t.Run("while the store is down", func(t *testing.T) {
		env, local := environment(t, models)
		ledgerOf(env).down = 5
		env.ExecuteWorkflow(workflows.Chat, turn("t1", "gemini"))
		require.NoError(t, env.GetWorkflowError(), "an answer does not wait for the store")
		var a workflows.Answer
		require.NoError(t, env.GetWorkflowResult(&a))
		require.Equal(t, "ok", a.Completion.Text)
		require.Zero(t, *local, "the store is not waited for a second time")
	})
	for name, model := range map[string]string{"answered": "gemini", "failed": "custom"} {
		t.Run(name+", when the store is back", func(t *testing.T) {
			env, _ := environment(t, models)
			ledgerOf(env).down = 5
			send(env, 0, turn("t1", model))
			converse(env, workflows.ConversationInput{Idle: time.Hour}) // the child goes on while the conversation waits
			require.Len(t, ledgerOf(env).rows, 1)
			require.Equal(t, "t1", ledgerOf(env).rows[0].TurnID)
		})
	}
}
