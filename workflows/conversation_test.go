package workflows_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"teller/llm"
	"teller/workflows"
)

// outcome is what the caller of one update gets.
type outcome struct {
	answer   workflows.Answer
	err      error // of the turn
	rejected error // by the validator
	done     bool
}

// send submits a turn to the running conversation at the given workflow time.
func send(env *testsuite.TestWorkflowEnvironment, after time.Duration, in workflows.TurnInput) *outcome {
	o := &outcome{}
	env.RegisterDelayedCallback(func() {
		env.UpdateWorkflow(workflows.UpdateTurn, in.ID, &testsuite.TestUpdateCallback{
			OnAccept: func() {},
			OnReject: func(err error) { o.rejected, o.done = err, true },
			OnComplete: func(v any, err error) {
				o.err, o.done = err, true
				if err == nil {
					o.answer = v.(workflows.Answer)
				}
			},
		}, in)
	}, after)
	return o
}

func converse(env *testsuite.TestWorkflowEnvironment, in workflows.ConversationInput) {
	if in.Idle == 0 {
		in.Idle = time.Hour
	}
	env.ExecuteWorkflow(workflows.Conversation, in)
}

func transcript(t *testing.T, env *testsuite.TestWorkflowEnvironment) workflows.Transcript {
	t.Helper()
	value, err := env.QueryWorkflow(workflows.QueryTranscript)
	require.NoError(t, err)
	var out workflows.Transcript
	require.NoError(t, value.Get(&out))
	return out
}

func TestConversationAnswersTurnsInTheOrderOfTheirArrival(t *testing.T) {
	m := echoes()
	slow := m.answer
	m.answer = func(ctx context.Context, req llm.Request) (llm.Completion, error) {
		if req.Messages[len(req.Messages)-1].Text == "message of t1" {
			time.Sleep(30 * time.Millisecond) // the second turn arrives meanwhile
		}
		return slow(ctx, req)
	}
	env, _ := environment(t, fakeModels{"custom": m})
	first, second := send(env, 0, turn("t1", "custom")), send(env, 0, turn("t2", "custom"))
	converse(env, workflows.ConversationInput{})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, "re: message of t1", first.answer.Completion.Text)
	require.Equal(t, "re: message of t2", second.answer.Completion.Text)
	require.Equal(t, []llm.Message{
		{Role: llm.User, Text: "message of t1"},
		{Role: llm.Assistant, Text: "re: message of t1"},
		{Role: llm.User, Text: "message of t2"},
	}, m.calls()[1].Messages, "the model is told what was said before")
	said := transcript(t, env)
	require.Len(t, said.Turns, 2)
	require.Equal(t, "t1", said.Turns[0].Answer.TurnID)
	require.Equal(t, "message of t2", said.Turns[1].Message)
}

func TestConversationAnswersATurnOnce(t *testing.T) {
	m := echoes()
	env, _ := environment(t, fakeModels{"custom": m})
	first := send(env, 0, turn("t1", "custom"))
	// Another update with the same turn, as a run after continue-as-new would see it.
	again := &outcome{}
	env.RegisterDelayedCallback(func() {
		env.UpdateWorkflow(workflows.UpdateTurn, "another-update-id", &testsuite.TestUpdateCallback{
			OnAccept: func() {}, OnReject: func(err error) { again.rejected = err },
			OnComplete: func(v any, err error) { again.err = err; again.answer, _ = v.(workflows.Answer) },
		}, turn("t1", "custom"))
	}, time.Second)
	converse(env, workflows.ConversationInput{})
	require.NoError(t, again.err)
	require.Equal(t, first.answer, again.answer)
	require.Len(t, m.calls(), 1)
	require.Len(t, transcript(t, env).Turns, 1)
}

func TestConversationKeepsNoFailedTurn(t *testing.T) {
	m := fails(&llm.Error{Code: llm.Refused, Message: "refused"}, 1)
	env, _ := environment(t, fakeModels{"custom": m})
	failed, fine := send(env, 0, turn("t1", "custom")), send(env, time.Second, turn("t2", "custom"))
	converse(env, workflows.ConversationInput{})
	requireCode(t, failed.err, llm.Refused)
	require.NoError(t, fine.err)
	require.Len(t, m.calls()[1].Messages, 1, "the failed turn is not told to the model")
	require.Len(t, transcript(t, env).Turns, 1)
}

func TestConversationEndsWhenIdle(t *testing.T) {
	env, _ := environment(t, fakeModels{"custom": echoes()})
	started := env.Now()
	send(env, 40*time.Minute, turn("t1", "custom"))
	converse(env, workflows.ConversationInput{Idle: time.Hour})
	require.NoError(t, env.GetWorkflowError())
	require.InDelta(t, (100 * time.Minute).Seconds(), env.Now().Sub(started).Seconds(), 5, "an hour after its last turn")
}

func TestConversationMovesToANewRunWithItsTranscript(t *testing.T) {
	env, _ := environment(t, fakeModels{"custom": echoes()})
	const turns = 500 // as many as one run takes
	for i := range turns {
		send(env, time.Duration(i)*time.Second, turn(fmt.Sprint("t", i), "custom"))
	}
	late := send(env, turns*time.Second, turn("late", "custom"))
	converse(env, workflows.ConversationInput{})
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &next)
	require.False(t, late.done && late.err == nil && late.rejected == nil, "no turn is taken by a run that has ended")
	said := transcript(t, env)
	require.Len(t, said.Turns, turns)

	// The next run knows what was said, and which turns were answered.
	m := echoes()
	env, _ = environment(t, fakeModels{"custom": m})
	again, more := send(env, 0, turn("t7", "custom")), send(env, time.Second, turn("new", "custom"))
	converse(env, workflows.ConversationInput{Carried: said})
	require.Equal(t, "re: message of t7", again.answer.Completion.Text)
	require.NoError(t, more.err)
	require.Len(t, m.calls(), 1)
	require.Greater(t, len(m.calls()[0].Messages), 50)
}

func TestConversationBoundsWhatItKeepsAndSends(t *testing.T) {
	m := echoes()
	env, _ := environment(t, fakeModels{"custom": m})
	const turns = 30
	var last, wide *outcome
	for i := range turns {
		in := turn(fmt.Sprint("t", i), "custom")
		in.Messages[0].Text = strings.Repeat("x", 30<<10)
		last = send(env, time.Duration(i)*time.Second, in)
	}
	in := turn("wide", "custom")
	in.Route[0].HistoryBytes = 200 << 10
	wide = send(env, turns*time.Second, in)
	converse(env, workflows.ConversationInput{})
	said := transcript(t, env)
	require.Equal(t, turns+1, len(said.Turns)+said.Dropped)
	require.Positive(t, said.Dropped)
	size := 0
	for _, turn := range said.Turns {
		size += len(turn.Message) + len(turn.Answer.Completion.Text)
	}
	require.LessOrEqual(t, size, 1<<20)
	require.Len(t, m.calls()[turns-1].Messages, 3, "one turn of 60 KB before the message")
	require.Equal(t, 2*(turns-2), last.answer.Completion.OmittedMessages, "and the reply says how many are left out")
	require.Len(t, m.calls()[turns].Messages, 7, "a model of a larger window is told more")
	require.Equal(t, 2*(turns-3), wide.answer.Completion.OmittedMessages)
}

func TestConversationRefusesMoreThanItCanQueue(t *testing.T) {
	over := make(chan struct{})
	m := &fakeModel{answer: func(context.Context, llm.Request) (llm.Completion, error) {
		<-over
		return llm.Completion{Text: "ok"}, nil
	}}
	env, _ := environment(t, fakeModels{"custom": m})
	var outcomes []*outcome
	for i := range 9 {
		outcomes = append(outcomes, send(env, 0, turn(fmt.Sprint("t", i), "custom")))
	}
	env.RegisterDelayedCallback(func() { close(over) }, 10*time.Millisecond)
	converse(env, workflows.ConversationInput{})
	for _, o := range outcomes[:8] {
		require.NoError(t, o.err)
		require.NoError(t, o.rejected)
	}
	requireCode(t, outcomes[8].rejected, llm.Overloaded)
	require.Len(t, transcript(t, env).Turns, 8)
}

func TestConversationCancelsTheTurnOfACallerWhoHasGone(t *testing.T) {
	over := make(chan struct{})
	m := echoes()
	echo := m.answer
	m.answer = func(ctx context.Context, req llm.Request) (llm.Completion, error) {
		if req.Messages[len(req.Messages)-1].Text == "message of t1" {
			<-over
		}
		return echo(ctx, req)
	}
	env, _ := environment(t, fakeModels{"custom": m})
	gone, next := send(env, 0, turn("t1", "custom")), send(env, time.Millisecond, turn("t2", "custom"))
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalCancelTurn, "t1") }, 30*time.Millisecond)
	env.RegisterDelayedCallback(func() { close(over) }, 60*time.Millisecond)
	converse(env, workflows.ConversationInput{})
	requireCode(t, gone.err, llm.Canceled)
	require.NoError(t, next.err)
	require.Len(t, transcript(t, env).Turns, 1)
}
