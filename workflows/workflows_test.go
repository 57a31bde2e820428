package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"

	"teller/activities"
	"teller/llm"
	"teller/prices"
	"teller/store"
	"teller/workflows"
)

// fakeModel answers with what the test says and remembers what it was asked.
type fakeModel struct {
	answer func(ctx context.Context, req llm.Request) (llm.Completion, error)

	mu    sync.Mutex
	asked []llm.Request
}

func (m *fakeModel) Complete(ctx context.Context, req llm.Request, _ func(llm.Delta)) (llm.Completion, error) {
	m.mu.Lock()
	m.asked = append(m.asked, req)
	m.mu.Unlock()
	return m.answer(ctx, req)
}

func (m *fakeModel) Check(context.Context) (llm.Status, error) {
	return llm.Status{Version: "v1", Device: "cpu"}, nil
}

func (m *fakeModel) calls() []llm.Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]llm.Request(nil), m.asked...)
}

// says answers every request with the text.
func says(text string) *fakeModel {
	return &fakeModel{answer: func(context.Context, llm.Request) (llm.Completion, error) {
		return llm.Completion{Text: text, FinishReason: llm.FinishStop}, nil
	}}
}

// echoes answers with the last message.
func echoes() *fakeModel {
	return &fakeModel{answer: func(_ context.Context, req llm.Request) (llm.Completion, error) {
		return llm.Completion{Text: "re: " + req.Messages[len(req.Messages)-1].Text, FinishReason: llm.FinishStop}, nil
	}}
}

// fails fails every request, or the first ones only and then says ok.
func fails(e *llm.Error, times int) *fakeModel {
	var n atomic.Int64
	return &fakeModel{answer: func(context.Context, llm.Request) (llm.Completion, error) {
		if called := n.Add(1); times > 0 && called > int64(times) {
			return llm.Completion{Text: "ok", FinishReason: llm.FinishStop}, nil
		}
		return llm.Completion{}, e
	}}
}

type fakeModels map[string]*fakeModel

func (f fakeModels) Model(name string) (llm.Model, error) {
	if m, ok := f[name]; ok {
		return m, nil
	}
	return nil, &llm.Error{Code: llm.NotConfigured, Message: name + " is not configured"}
}

// environment is Temporal's test environment with our activities on the given models.
func environment(t *testing.T, models fakeModels) (*testsuite.TestWorkflowEnvironment, *[]activity.Info) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	table, err := prices.Load("")
	require.NoError(t, err)
	acts := &activities.Activities{Models: models, Ledger: &ledger{}, Prices: table}
	env.RegisterActivity(acts.Complete)
	env.RegisterActivity(acts.Check)
	env.RegisterActivityWithOptions(acts.RecordUsage, activity.RegisterOptions{Name: activities.RecordUsageName})
	env.RegisterWorkflow(workflows.Usage)
	t.Cleanup(func() { ledgers.Delete(env) })
	ledgers.Store(env, acts.Ledger)
	var infos []activity.Info
	env.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, _ converter.EncodedValues) {
		infos = append(infos, *info)
	})
	return env, &infos
}

// ledger keeps rows in memory, and is down for the first calls of a test that says so.
type ledger struct {
	mu   sync.Mutex
	down int
	rows []store.Usage
}

// ledgers finds the ledger of an environment.
var ledgers sync.Map

func ledgerOf(env *testsuite.TestWorkflowEnvironment) *ledger {
	l, _ := ledgers.Load(env)
	return l.(*ledger)
}

func (l *ledger) RecordUsage(_ context.Context, u store.Usage) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down > 0 {
		l.down--
		return errors.New("the store is down")
	}
	l.rows = append(l.rows, u)
	return nil
}

func turn(id string, models ...string) workflows.TurnInput {
	in := workflows.TurnInput{ID: id, Digest: "digest of " + id, Nonce: "nonce of " + id, Timeout: time.Minute, Messages: []llm.Message{{Role: llm.User, Text: "message of " + id}}}
	for _, m := range models {
		queue := workflows.QueueMain
		if m == "custom" {
			queue = workflows.QueueGPU
		}
		in.Route = append(in.Route, workflows.Target{Model: m, Queue: queue})
	}
	return in
}

func TestCheckReportsEachModel(t *testing.T) {
	env, _ := environment(t, fakeModels{"custom": says("x")})
	env.ExecuteWorkflow(workflows.Check, workflows.CheckInput{Targets: turn("", "custom", "gemini").Route})
	require.NoError(t, env.GetWorkflowError())
	var found []workflows.Health
	require.NoError(t, env.GetWorkflowResult(&found))
	require.Equal(t, []workflows.Health{
		{Model: "custom", Healthy: true, Status: llm.Status{Version: "v1", Device: "cpu"}},
		{Model: "gemini", Code: llm.NotConfigured, Reason: "gemini is not configured"},
	}, found)
}

func requireCode(t *testing.T, err error, code llm.Code) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, activities.FromTemporal(err).Code, fmt.Sprint(err))
}
