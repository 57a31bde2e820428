package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/activities"
	"teller/llm"
	"teller/workflows"
)

func TestChatIsAnsweredByTheRoutesFirstModel(t *testing.T) {
	custom, qlora := says("A bank keeps money safe."), says("unused")
	env, infos := environment(t, fakeModels{"custom": custom, "qlora": qlora})
	in := turn("t1", "custom", "qlora")
	in.Messages = append([]llm.Message{{Role: llm.System, Text: "Balance: GBP 5"}}, in.Messages...)
	in.MaxTokens = 20
	env.ExecuteWorkflow(workflows.Chat, in)
	require.NoError(t, env.GetWorkflowError())
	var a workflows.Answer
	require.NoError(t, env.GetWorkflowResult(&a))
	require.Equal(t, "A bank keeps money safe.", a.Completion.Text)
	require.Equal(t, "custom", a.Model)
	require.Empty(t, a.FallbackFrom)
	require.Equal(t, in.Digest, a.Digest)
	require.Equal(t, []llm.Request{{Options: llm.Options{MaxTokens: 20}, Messages: []llm.Message{
		{Role: llm.System, Text: "Balance: GBP 5"}, {Role: llm.User, Text: "message of t1"}}}}, custom.calls())
	require.Empty(t, qlora.calls())
	require.Equal(t, workflows.QueueGPU, (*infos)[0].TaskQueue)
	require.Equal(t, 3*time.Second, (*infos)[0].HeartbeatTimeout, "a killed worker must be noticed soon")
}

func TestChatFallsBackOnlyWhenAnotherModelMayHelp(t *testing.T) {
	for _, test := range []struct {
		code  llm.Code
		asked int // how often the first model is called
		falls bool
	}{
		{llm.Unavailable, 2, true},
		{llm.RateLimited, 2, true},
		{llm.Timeout, 2, true},
		{llm.BadReply, 2, true},
		{llm.Unauthenticated, 1, true},
		{llm.NotFound, 1, true},
		{llm.NotConfigured, 1, true},
		{llm.ContextTooLong, 1, true},
		{llm.Internal, 1, true},
		{llm.Refused, 1, false},
		{llm.InvalidRequest, 1, false},
	} {
		t.Run(string(test.code), func(t *testing.T) {
			gemini, custom := fails(&llm.Error{Code: test.code, Message: "shown"}, 0), says("from custom")
			env, _ := environment(t, fakeModels{"gemini": gemini, "custom": custom})
			env.ExecuteWorkflow(workflows.Chat, turn("t", "gemini", "custom"))
			require.Len(t, gemini.calls(), test.asked)
			if !test.falls {
				requireCode(t, env.GetWorkflowError(), test.code)
				require.Empty(t, custom.calls())
				return
			}
			require.NoError(t, env.GetWorkflowError())
			var a workflows.Answer
			require.NoError(t, env.GetWorkflowResult(&a))
			require.Equal(t, "custom", a.Model)
			require.Equal(t, "gemini", a.FallbackFrom)
		})
	}
}

func TestChatReportsTheFirstModelsFailureWhenAllFail(t *testing.T) {
	env, _ := environment(t, fakeModels{
		"gemini": fails(&llm.Error{Code: llm.Unauthenticated, Message: "gemini does not accept the key"}, 0),
		"custom": fails(&llm.Error{Code: llm.ContextTooLong, Message: "too long"}, 0),
	})
	in := turn("t", "gemini", "custom")
	env.ExecuteWorkflow(workflows.Chat, in)
	err := env.GetWorkflowError()
	requireCode(t, err, llm.Unauthenticated)
	require.Equal(t, "gemini does not accept the key", activities.FromTemporal(err).Message)
	require.Equal(t, in.Nonce, activities.NonceOf(err))
}

func TestChatKeepsTryingTheLastModelUntilTheDeadline(t *testing.T) {
	t.Run("until it answers", func(t *testing.T) {
		m := fails(&llm.Error{Code: llm.Unavailable}, 6)
		env, _ := environment(t, fakeModels{"qlora": m})
		env.ExecuteWorkflow(workflows.Chat, turn("t", "qlora"))
		require.NoError(t, env.GetWorkflowError())
		require.Len(t, m.calls(), 7)
	})
	t.Run("and then names the failure", func(t *testing.T) {
		m := fails(&llm.Error{Code: llm.Unavailable, Message: "qlora is down"}, 0)
		env, _ := environment(t, fakeModels{"qlora": m})
		in := turn("t", "qlora")
		in.Timeout = 10 * time.Second
		started := env.Now()
		env.ExecuteWorkflow(workflows.Chat, in)
		requireCode(t, env.GetWorkflowError(), llm.Unavailable)
		require.LessOrEqual(t, env.Now().Sub(started), in.Timeout)
		require.Greater(t, len(m.calls()), 3)
	})
	t.Run("waiting as long as the provider asks", func(t *testing.T) {
		m := fails(&llm.Error{Code: llm.RateLimited, RetryAfter: 20 * time.Second}, 1)
		env, _ := environment(t, fakeModels{"qlora": m})
		started := env.Now()
		env.ExecuteWorkflow(workflows.Chat, turn("t", "qlora"))
		require.NoError(t, env.GetWorkflowError())
		require.GreaterOrEqual(t, env.Now().Sub(started), 20*time.Second)
		require.Len(t, m.calls(), 2)
	})
	t.Run("but not for a wait beyond the deadline", func(t *testing.T) {
		m := fails(&llm.Error{Code: llm.RateLimited, RetryAfter: 2 * time.Minute}, 1)
		env, _ := environment(t, fakeModels{"qlora": m})
		started := env.Now()
		env.ExecuteWorkflow(workflows.Chat, turn("t", "qlora"))
		err := env.GetWorkflowError()
		requireCode(t, err, llm.RateLimited)
		require.Equal(t, 2*time.Minute, activities.FromTemporal(err).RetryAfter, "the caller is told how long")
		require.Less(t, env.Now().Sub(started), time.Second)
	})
	t.Run("nor with garbage", func(t *testing.T) {
		m := fails(&llm.Error{Code: llm.BadReply}, 0)
		env, _ := environment(t, fakeModels{"qlora": m})
		env.ExecuteWorkflow(workflows.Chat, turn("t", "qlora"))
		requireCode(t, env.GetWorkflowError(), llm.BadReply)
		require.Len(t, m.calls(), 2)
	})
}

func TestChatDoesNotWaitForRateLimitsWhileAnotherModelStandsBehind(t *testing.T) {
	gemini := fails(&llm.Error{Code: llm.RateLimited, RetryAfter: 30 * time.Second}, 0)
	env, _ := environment(t, fakeModels{"gemini": gemini, "custom": says("x")})
	started := env.Now()
	env.ExecuteWorkflow(workflows.Chat, turn("t", "gemini", "custom"))
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, gemini.calls(), 1)
	require.Less(t, env.Now().Sub(started), time.Second)
}

func TestChatGivesTheFallbackItsShareOfTheTime(t *testing.T) {
	env, infos := environment(t, fakeModels{"gemini": fails(&llm.Error{Code: llm.Unauthenticated}, 0), "custom": says("x")})
	in := turn("t", "gemini", "custom")
	in.Timeout = 30 * time.Second
	env.ExecuteWorkflow(workflows.Chat, in)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 20*time.Second, (*infos)[0].ScheduleToCloseTimeout)
	require.InDelta(t, 30, (*infos)[1].ScheduleToCloseTimeout.Seconds(), 1)
}

func TestChatThatIsCancelledDoesNotFallBack(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	hangs := &fakeModel{answer: func(ctx context.Context, _ llm.Request) (llm.Completion, error) {
		<-over
		return llm.Completion{}, ctx.Err()
	}}
	custom := says("unused")
	env, _ := environment(t, fakeModels{"qlora": hangs, "custom": custom})
	env.RegisterDelayedCallback(env.CancelWorkflow, 50*time.Millisecond)
	env.ExecuteWorkflow(workflows.Chat, turn("t", "qlora", "custom"))
	requireCode(t, env.GetWorkflowError(), llm.Canceled)
	require.Len(t, hangs.calls(), 1)
	require.Empty(t, custom.calls())
}
