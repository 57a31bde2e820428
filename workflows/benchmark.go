package workflows

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"teller/activities"
	"teller/llm"
)

// PriorityBenchmark puts a benchmark's calls behind everything else on the same queues.
const PriorityBenchmark = 5

// BenchmarkInput starts a run: every model is asked the same cases in the same order.
type BenchmarkInput struct {
	// Suite is the name of a shipped suite, or the hash of one that is kept in the store.
	Suite  string   `json:"suite"`
	Models []Target `json:"models"`
	// Cause is why the run was started: "schedule", "requests", "api" or "command".
	Cause string `json:"cause"`
	Seed  uint64 `json:"seed"` // of the cases' order, and of models that sample
	// Concurrency is how many calls to one model are open at once.
	Concurrency int `json:"concurrency"`
	// Judge grades the cases' rubrics; nil leaves them out.
	Judge *Target `json:"judge,omitempty"`
	// WarmUp is how many calls to each model go before those that count.
	WarmUp int `json:"warm_up"`
	// MaxCostUSD bounds what the run may cost on one model, and MaxDuration how long it may take; 0 is no bound. A run that would pass
	// them stops and says so.
	MaxCostUSD  float64       `json:"max_cost_usd,omitempty"`
	MaxDuration time.Duration `json:"max_duration,omitempty"`
	// Promote lets the run make the best model active that meets the objective of the configuration.
	Promote bool `json:"promote,omitempty"`
	// AfterChats is set on a run that is due after so many chats: at which number of them the last such run began. Where another one
	// has begun since, this one ends at once.
	AfterChats *int64 `json:"after_chats,omitempty"`
}

const (
	// checksOfAModel are made before a run calls it unavailable: its worker may be starting anew.
	checksOfAModel = 3
	betweenChecks  = 2 * time.Second
)

// Benchmark measures all models on a suite. A model that does not answer is reported so and fails nothing. The id of the run is
// that of the workflow's first run.
func Benchmark(ctx workflow.Context, in BenchmarkInput) (activities.BenchmarkOutcome, error) {
	run := workflow.GetInfo(ctx).FirstRunID
	started := workflow.Now(ctx)
	names := make([]string, len(in.Models))
	for i, target := range in.Models {
		names[i] = target.Model
	}
	var begun activities.BeginBenchmarkOutput
	begin := activities.BeginBenchmarkInput{RunID: run, Suite: in.Suite, Cause: in.Cause, Models: names, Judge: in.judge().Model, At: started, AfterChats: in.AfterChats}
	if err := workflow.ExecuteActivity(bookkeeping(ctx, "begin"), acts.BeginBenchmark, begin).Get(ctx, &begun); err != nil {
		return activities.BenchmarkOutcome{}, err
	}
	if begun.NotDue {
		return activities.BenchmarkOutcome{RunID: run, NotDue: true}, nil
	}

	states := make([]activities.BenchmarkModelState, len(in.Models))
	asked := make([]workflow.ChildWorkflowFuture, len(in.Models))
	health, err := checkPatiently(ctx, in.everyone())
	for i, target := range in.Models {
		if state, ok := in.mayBegin(target, health, i, err); !ok {
			states[i] = state
			continue
		}
		child := BenchmarkModelInput{
			RunID: run, Suite: begun.Hash, Cases: begun.Cases, Target: target, Seed: in.Seed, Concurrency: max(1, in.Concurrency), WarmUp: in.WarmUp,
			Judge: in.Judge, JudgePrice: begun.Prices[in.judge().Model], Price: begun.Prices[target.Model], Version: health[i].Status.Version, MaxNanoUSD: int64(in.MaxCostUSD * 1e9),
		}
		if in.MaxDuration > 0 {
			child.Deadline = started.Add(in.MaxDuration)
		}
		asked[i] = workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
			WorkflowID:            "benchmark-" + run + "-" + target.Model,
			TaskQueue:             QueueMain,
			Priority:              temporal.Priority{PriorityKey: PriorityBenchmark},
			WaitForCancellation:   true, // it still records what it was told
			StaticSummary:         target.Model + ", " + begun.Name,
			TypedSearchAttributes: temporal.NewSearchAttributes(keyModel.ValueSet(target.Model)),
		}), BenchmarkModel, child)
	}
	for i, target := range in.Models {
		if asked[i] == nil {
			continue
		}
		if err := asked[i].Get(ctx, &states[i]); err != nil {
			states[i] = activities.BenchmarkModelState{Model: target.Model, Status: activities.BenchmarkStopped, Reason: endedReason(err)}
		}
	}

	// The results that there are count, even when the run was cancelled.
	free, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	var outcome activities.BenchmarkOutcome
	end := activities.EndBenchmarkInput{RunID: run, Models: states, Started: started, Ended: workflow.Now(ctx), Seed: in.Seed, Judge: in.judge().Model,
		Cause: in.Cause, RequestCount: begun.RequestCount, Promote: in.Promote && ctx.Err() == nil}
	if err := workflow.ExecuteActivity(bookkeeping(free, "end"), acts.EndBenchmark, end).Get(free, &outcome); err != nil {
		return outcome, err
	}
	return outcome, ctx.Err()
}

// judge is the zero Target where there is none.
func (in BenchmarkInput) judge() Target {
	if in.Judge == nil {
		return Target{}
	}
	return *in.Judge
}

// everyone are the models and, behind them, the judge.
func (in BenchmarkInput) everyone() []Target {
	if in.Judge == nil {
		return in.Models
	}
	return append(slices.Clone(in.Models), *in.Judge)
}

// mayBegin tells whether the i-th model can be measured; where it cannot, the state says why. failed is why nothing is known.
func (in BenchmarkInput) mayBegin(target Target, health []Health, i int, failed error) (activities.BenchmarkModelState, bool) {
	state := activities.BenchmarkModelState{Model: target.Model, Status: activities.BenchmarkStopped}
	switch {
	case failed != nil:
		state.Reason = cancelledReason
	case !health[i].Healthy:
		state.Status, state.Code, state.Reason = activities.BenchmarkUnavailable, health[i].Code, health[i].Reason
	case in.Judge != nil && !health[len(in.Models)].Healthy:
		state.Reason = fmt.Sprintf("%s, which is to grade, does not answer: %s", in.Judge.Model, health[len(in.Models)].Reason)
	default:
		return state, true
	}
	return state, false
}

// endedReason says why a model's part has no state of its own.
func endedReason(err error) string {
	var failure *temporal.ApplicationError
	if errors.As(err, &failure) {
		return failure.Message()
	}
	return "its part of the run was ended from outside"
}

// cancelledReason says why a model was not asked every case.
const cancelledReason = "the run was cancelled"

// checkPatiently tells which models would answer.
func checkPatiently(ctx workflow.Context, targets []Target) ([]Health, error) {
	for check := 1; ; check++ {
		health, err := Check(ctx, CheckInput{Targets: targets})
		passing := slices.ContainsFunc(health, func(h Health) bool {
			return h.Code == llm.NoWorker || h.Code == llm.Unavailable || h.Code == llm.Timeout || h.Code == llm.Overloaded
		})
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || !passing || check == checksOfAModel {
			return health, err
		}
		if err := workflow.Sleep(ctx, betweenChecks); err != nil {
			return health, err
		}
	}
}

// bookkeeping are the options of activities that read and write the store. A worker that dies in one of them is noticed by its
// heartbeats, long before the time is over that a large run may take to be summed up.
func bookkeeping(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           QueueMain,
		StartToCloseTimeout: 5 * time.Minute,
		HeartbeatTimeout:    heartbeatWithin,
		Summary:             summary,
		Priority:            temporal.Priority{PriorityKey: PriorityBenchmark},
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute},
	})
}
