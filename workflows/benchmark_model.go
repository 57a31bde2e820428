package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"teller/activities"
	"teller/llm"
)

const (
	// casesAtOnce are read, asked and recorded together.
	casesAtOnce = 50
	// casesPerRun keeps a run's history, which holds what was asked and answered, at a few hundred kilobytes.
	casesPerRun = 200
	// answerWithin bounds one call, and waitWithin its wait behind live chat for a slot.
	answerWithin = 2 * time.Minute
	waitWithin   = 10 * time.Minute
	// attemptsAtACase: a case that fails as often counts as an error of the model's.
	attemptsAtACase = 3
)

// BenchmarkModelInput asks one model the cases of a suite, or carries that over to a new run.
type BenchmarkModelInput struct {
	RunID       string                         `json:"run_id"`
	Suite       string                         `json:"suite"` // its hash
	Cases       int                            `json:"cases"`
	Target      Target                         `json:"target"`
	Seed        uint64                         `json:"seed"`
	Concurrency int                            `json:"concurrency"`
	WarmUp      int                            `json:"warm_up,omitempty"`
	Price       activities.BenchmarkPrice      `json:"price"`
	Version     string                         `json:"version,omitempty"`
	Deadline    time.Time                      `json:"deadline,omitzero"`
	MaxNanoUSD  int64                          `json:"max_nano_usd,omitempty"`
	Carried     activities.BenchmarkModelState `json:"carried"`
}

// BenchmarkModel asks the cases in their order, a few at a time, and has each result recorded once. What a call gave is kept by
// Temporal: whatever process dies, nothing that was answered is asked again.
func BenchmarkModel(ctx workflow.Context, in BenchmarkModelInput) (activities.BenchmarkModelState, error) {
	m := &measured{BenchmarkModelInput: in, state: in.Carried}
	m.state.Model, m.state.Status, m.state.Version = in.Target.Model, activities.BenchmarkOK, in.Version
	if in.WarmUp > 0 {
		if err := m.warmUp(ctx); err != nil {
			return m.state, err
		}
	}
	until := min(in.Cases, m.state.Asked+casesPerRun)
	next := m.load(ctx, m.state.Asked)
	for m.state.Asked < until {
		var calls []activities.BenchmarkCall
		if err := next.Get(ctx, &calls); err != nil {
			return m.state, err
		}
		after := m.state.Asked + len(calls)
		if after < until {
			next = m.load(ctx, after) // is read while these are asked
		}
		results, err := m.ask(ctx, calls)
		if err != nil {
			return m.state, err
		}
		record := activities.RecordCasesInput{RunID: in.RunID, Suite: in.Suite, Model: in.Target.Model, At: workflow.Now(ctx), Results: results}
		if err := workflow.ExecuteActivity(bookkeeping(ctx, "record"), acts.RecordCases, record).Get(ctx, nil); err != nil {
			return m.state, err
		}
		m.state.Asked = after
		m.state.Ended = workflow.Now(ctx)
		if m.state.Status != activities.BenchmarkOK {
			return m.state, nil
		}
	}
	m.state.Ended = workflow.Now(ctx)
	if m.state.Asked < in.Cases {
		in.Carried, in.WarmUp = m.state, 0
		return m.state, workflow.NewContinueAsNewError(ctx, BenchmarkModel, in)
	}
	return m.state, nil
}

// measured is the measurement of one model.
type measured struct {
	BenchmarkModelInput
	state activities.BenchmarkModelState
	// dearest is the most that a call has cost in this run: what the next one may cost.
	dearest int64
}

func (m *measured) load(ctx workflow.Context, from int) workflow.Future {
	return workflow.ExecuteActivity(bookkeeping(ctx, "load"), acts.LoadCases, activities.LoadCasesInput{
		Suite: m.Suite, Cases: m.Cases, Seed: m.Seed, From: from, Count: min(casesAtOnce, m.Cases-from)})
}

// warmUp makes calls that don't count, so that the first that do meet a model that is awake.
func (m *measured) warmUp(ctx workflow.Context) error {
	var calls []activities.BenchmarkCall
	if err := m.load(ctx, 0).Get(ctx, &calls); err != nil {
		return err
	}
	for i := range min(m.WarmUp, len(calls)) {
		var out llm.Completion
		if err := m.complete(ctx, calls[i]).Get(ctx, &out); err == nil {
			m.pay(out)
		}
	}
	return ctx.Err()
}

// ask makes the calls, Concurrency of them at a time, until the run may go on no longer.
func (m *measured) ask(ctx workflow.Context, calls []activities.BenchmarkCall) ([]activities.CaseOutcome, error) {
	outcomes := make([]*activities.CaseOutcome, len(calls))
	next := 0
	callers := workflow.NewWaitGroup(ctx)
	for range min(m.Concurrency, len(calls)) {
		callers.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer callers.Done()
			for next < len(calls) && ctx.Err() == nil && m.mayGoOn(ctx) {
				i := next
				next++
				outcome := activities.CaseOutcome{CaseID: calls[i].CaseID, Position: calls[i].Position}
				if err := m.complete(ctx, calls[i]).Get(ctx, &outcome.Completion); err != nil {
					if ctx.Err() != nil {
						return
					}
					failure := activities.FromTemporal(err)
					outcome.Code, outcome.Reason = failure.Code, failure.Message
				}
				m.pay(outcome.Completion)
				outcomes[i] = &outcome
			}
		})
	}
	callers.Wait(ctx)
	var results []activities.CaseOutcome
	for _, outcome := range outcomes {
		if outcome != nil {
			results = append(results, *outcome)
		}
	}
	return results, ctx.Err()
}

// mayGoOn tells whether another call fits the bounds, and stops the measurement when it does not.
func (m *measured) mayGoOn(ctx workflow.Context) bool {
	switch {
	case m.state.Status != activities.BenchmarkOK:
	case !m.Deadline.IsZero() && !workflow.Now(ctx).Before(m.Deadline):
		m.state.Status, m.state.Reason = activities.BenchmarkStopped, "the run's time was over"
	case m.MaxNanoUSD > 0 && m.state.CostNanoUSD+m.dearest > m.MaxNanoUSD:
		m.state.Status, m.state.Reason = activities.BenchmarkStopped, "the next case could have passed the run's cost bound"
	}
	return m.state.Status == activities.BenchmarkOK
}

// pay adds up what calls cost.
func (m *measured) pay(out llm.Completion) {
	cost := m.Price.NanoUSD(out.Usage)
	m.state.CostNanoUSD += cost
	m.dearest = max(m.dearest, cost)
}

// complete is the call that a turn makes, on the same queue, behind live turns.
func (m *measured) complete(ctx workflow.Context, call activities.BenchmarkCall) workflow.Future {
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              m.Target.Queue,
		ScheduleToStartTimeout: waitWithin,
		StartToCloseTimeout:    answerWithin,
		HeartbeatTimeout:       heartbeatWithin,
		Summary:                call.CaseID,
		Priority:               temporal.Priority{PriorityKey: PriorityBenchmark},
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    500 * time.Millisecond,
			BackoffCoefficient: 2,
			MaximumInterval:    10 * time.Second,
			MaximumAttempts:    attemptsAtACase,
		},
	}), acts.Complete, activities.CompleteInput{Model: m.Target.Model, Request: call.Request, Patience: time.Minute, Measure: true})
}
