package activities_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"teller/activities"
	"teller/llm"
)

// model answers with what the test says.
type model struct {
	complete func(context.Context) (llm.Completion, error)
	check    error
}

func (m model) Complete(ctx context.Context, _ llm.Request, _ func(llm.Delta)) (llm.Completion, error) {
	return m.complete(ctx)
}
func (m model) Check(context.Context) (llm.Status, error) {
	return llm.Status{Version: "v"}, m.check
}

type models map[string]llm.Model

func (m models) Model(name string) (llm.Model, error) {
	if found, ok := m[name]; ok {
		return found, nil
	}
	return nil, &llm.Error{Code: llm.NotFound, Message: "no such model"}
}

func failing(err error) model {
	return model{complete: func(context.Context) (llm.Completion, error) { return llm.Completion{}, err }}
}

// complete runs the activity once and gives its error.
func complete(m model, patience time.Duration) error {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	acts := &activities.Activities{Models: models{"m": m}}
	env.RegisterActivity(acts.Complete)
	_, err := env.ExecuteActivity(acts.Complete, activities.CompleteInput{Model: "m", Patience: patience})
	return err
}

func TestFailuresSayWhetherToTryAgain(t *testing.T) {
	for _, test := range []struct {
		name     string
		err      *llm.Error
		patience time.Duration
		final    bool
		delay    time.Duration
	}{
		{"a moment's trouble", &llm.Error{Code: llm.Unavailable}, time.Minute, false, 0},
		{"a wait that the turn can afford", &llm.Error{Code: llm.RateLimited, RetryAfter: 5 * time.Second}, time.Minute, false, 5 * time.Second},
		{"a wait that it cannot", &llm.Error{Code: llm.RateLimited, RetryAfter: 5 * time.Second}, time.Second, true, 0},
		{"a wrong key", &llm.Error{Code: llm.Unauthenticated}, time.Minute, true, 0},
		{"a refusal", &llm.Error{Code: llm.Refused}, time.Minute, true, 0},
		{"garbage, once", &llm.Error{Code: llm.BadReply}, time.Minute, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.err.Message = "shown"
			test.err.Cause = errors.New("secret upstream text")
			err := complete(failing(test.err), test.patience)
			var app *temporal.ApplicationError
			require.ErrorAs(t, err, &app)
			require.Equal(t, string(test.err.Code), app.Type())
			require.Equal(t, test.final, app.NonRetryable())
			require.Equal(t, test.delay, app.NextRetryDelay())
			require.NotContains(t, err.Error(), "secret", "the cause stays out of the history")

			back := activities.FromTemporal(err)
			require.Equal(t, test.err.Code, back.Code)
			require.Equal(t, "shown", back.Message)
			require.Equal(t, test.err.RetryAfter, back.RetryAfter)
		})
	}
}

func TestCompleteFailsClearly(t *testing.T) {
	t.Run("an unknown model", func(t *testing.T) {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestActivityEnvironment()
		acts := &activities.Activities{Models: models{}}
		env.RegisterActivity(acts.Complete)
		_, err := env.ExecuteActivity(acts.Complete, activities.CompleteInput{Model: "m"})
		require.Equal(t, llm.NotFound, activities.FromTemporal(err).Code)
	})
	t.Run("an error that nobody classified", func(t *testing.T) {
		err := complete(failing(errors.New("secret")), time.Minute)
		require.Equal(t, llm.Internal, activities.FromTemporal(err).Code)
		require.NotContains(t, activities.FromTemporal(err).Message, "secret")
	})
	for what, reply := range map[string]llm.Completion{
		"text":              {Text: strings.Repeat("x", 1<<20+1)},
		"log-probabilities": {Text: "x", LogProbs: slices.Repeat([]llm.TokenLogProb{{Token: "x", Top: make([]llm.TokenLogProb, 20)}}, 2000)},
	} {
		t.Run(what+" beyond Temporal's payloads", func(t *testing.T) {
			err := complete(model{complete: func(context.Context) (llm.Completion, error) { return reply, nil }}, time.Minute)
			var app *temporal.ApplicationError
			require.ErrorAs(t, err, &app)
			require.True(t, app.NonRetryable(), "it would be retried for ever")
			require.Contains(t, activities.FromTemporal(err).Message, "lower max_tokens")
		})
	}
}

func TestCompleteHeartbeatsBeforeTheFirstToken(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	beat := make(chan struct{}, 8)
	env.SetTestTimeout(time.Minute)
	acts := &activities.Activities{Models: models{"m": model{complete: func(ctx context.Context) (llm.Completion, error) {
		select {
		case <-beat:
			return llm.Completion{Text: "ok"}, nil
		case <-ctx.Done():
			return llm.Completion{}, ctx.Err()
		}
	}}}}
	env.SetOnActivityHeartbeatListener(func(*activity.Info, converter.EncodedValues) { beat <- struct{}{} })
	env.RegisterActivity(acts.Complete)
	_, err := env.ExecuteActivity(acts.Complete, activities.CompleteInput{Model: "m"})
	require.NoError(t, err)
}

func TestCheckFindsRatherThanFails(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	acts := &activities.Activities{Models: models{"well": model{}, "ill": model{check: &llm.Error{Code: llm.Unavailable, Message: "down"}}}}
	env.RegisterActivity(acts.Check)
	for name, want := range map[string]activities.CheckOutput{
		"well": {Status: llm.Status{Version: "v"}},
		"ill":  {Code: llm.Unavailable, Reason: "down"},
		"none": {Code: llm.NotFound, Reason: "no such model"},
	} {
		value, err := env.ExecuteActivity(acts.Check, activities.CheckInput{Model: name})
		require.NoError(t, err)
		var got activities.CheckOutput
		require.NoError(t, value.Get(&got))
		require.Equal(t, want, got)
	}
}

func TestFromTemporalNamesTimeouts(t *testing.T) {
	for kind, want := range map[enumspb.TimeoutType]llm.Code{
		enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START: llm.NoWorker,
		enumspb.TIMEOUT_TYPE_HEARTBEAT:         llm.Unavailable,
		enumspb.TIMEOUT_TYPE_START_TO_CLOSE:    llm.Timeout,
		enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE: llm.Timeout,
	} {
		err := temporal.NewTimeoutError(kind, nil)
		require.Equal(t, want, activities.FromTemporal(err).Code, kind.String())
		require.False(t, activities.WorkerLost(err))
	}
	t.Run("by the failure behind them, when there is one", func(t *testing.T) {
		behind := activities.Failure(&llm.Error{Code: llm.RateLimited, Message: "slow down"}, false)
		err := temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, behind)
		require.Equal(t, llm.RateLimited, activities.FromTemporal(err).Code)
	})
	t.Run("a lost worker", func(t *testing.T) {
		err := temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_HEARTBEAT, nil))
		require.True(t, activities.WorkerLost(err))
	})
	require.Equal(t, llm.Canceled, activities.FromTemporal(temporal.NewCanceledError()).Code)
	require.Equal(t, llm.Internal, activities.FromTemporal(temporal.NewApplicationError("boom", "SomethingElse")).Code)
}
