package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"teller/activities"
	"teller/llm"
)

const (
	// casesAtOnce are read, asked and recorded together.
	casesAtOnce = 50
	// casesPerRun keeps a run's history, which holds what was asked and answered, at a few hundred kilobytes. Long cases end a run earlier.
	casesPerRun = 200
	// answerWithin bounds one call, and waitWithin its wait behind live chat for a slot.
	answerWithin = 2 * time.Minute
	waitWithin   = 10 * time.Minute
	// recordedBytes of replies go into one payload, which Temporal limits to 2 MiB; a reply has at most 1 MiB.
	recordedBytes = 512 << 10
	// tokensOfAMessage are what a model's template adds to each message, at most.
	tokensOfAMessage = 32
	// attemptsAtACase: a case that fails as often counts as an error of the model's.
	attemptsAtACase = 3
	// attemptsAtAVerdict are more, half a minute of them: what the judge fails at is no fault of the model's, and stops its measurement.
	attemptsAtAVerdict = 8
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
	Judge       *Target                        `json:"judge,omitempty"`
	JudgePrice  activities.BenchmarkPrice      `json:"judge_price"`
	Price       activities.BenchmarkPrice      `json:"price"`
	Version     string                         `json:"version,omitempty"`
	Deadline    time.Time                      `json:"deadline,omitzero"`
	MaxNanoUSD  int64                          `json:"max_nano_usd,omitempty"`
	Carried     activities.BenchmarkModelState `json:"carried"`
}

// BenchmarkModel asks the cases in their order, a few at a time, and has each result recorded once. What a call gave is kept by
// Temporal: whatever process dies, nothing that was answered is asked again. When it is cancelled, what was answered is recorded, and it
// ends as one that was stopped.
func BenchmarkModel(ctx workflow.Context, in BenchmarkModelInput) (activities.BenchmarkModelState, error) {
	m := &measured{BenchmarkModelInput: in, state: in.Carried}
	m.state.Model, m.state.Status, m.state.Version = in.Target.Model, activities.BenchmarkOK, in.Version
	m.warmUp(ctx)
	began := m.state.Asked
	next := m.load(ctx, began)
	for m.state.Asked < in.Cases && m.mayGoOn(ctx, 0) {
		if m.state.Asked >= began+casesPerRun || m.state.Asked > began && workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			in.Carried, in.WarmUp = m.state, 0
			return m.state, workflow.NewContinueAsNewError(ctx, BenchmarkModel, in)
		}
		var calls []activities.BenchmarkCall
		if err := next.Get(ctx, &calls); err != nil {
			if ctx.Err() != nil {
				continue
			}
			return m.state, err
		}
		if after := m.state.Asked + len(calls); after < min(in.Cases, began+casesPerRun) {
			next = m.load(ctx, after) // is read while these are asked
		}
		if err := m.record(ctx, m.ask(ctx, calls)); err != nil {
			return m.state, err
		}
	}
	m.state.Ended = workflow.Now(ctx)
	return m.state, nil
}

// measured is the measurement of one model.
type measured struct {
	BenchmarkModelInput
	state activities.BenchmarkModelState
	// reserved is what the calls that are open may cost.
	reserved int64
}

func (m *measured) load(ctx workflow.Context, from int) workflow.Future {
	return workflow.ExecuteActivity(bookkeeping(ctx, "load"), acts.LoadCases, activities.LoadCasesInput{
		Suite: m.Suite, Cases: m.Cases, Seed: m.Seed, From: from, Count: min(casesAtOnce, m.Cases-from)})
}

// warmUp makes calls that don't count, so that the first that do meet a model that is awake.
func (m *measured) warmUp(ctx workflow.Context) {
	if m.WarmUp == 0 {
		return
	}
	var calls []activities.BenchmarkCall
	if err := m.load(ctx, 0).Get(ctx, &calls); err != nil {
		return // the measurement meets the same failure
	}
	for _, call := range calls[:min(m.WarmUp, len(calls))] {
		if !m.mayGoOn(ctx, m.atMost(call)) {
			return
		}
		var out llm.Completion
		if err := m.complete(ctx, call).Get(ctx, &out); err == nil {
			m.pay(m.Price, out)
		}
	}
}

// ask makes the calls, Concurrency of them at a time, until the run may go on no longer, and gives the outcomes of those that were made.
func (m *measured) ask(ctx workflow.Context, calls []activities.BenchmarkCall) []activities.CaseOutcome {
	outcomes := make([]*activities.CaseOutcome, len(calls))
	next := 0
	callers := workflow.NewWaitGroup(ctx)
	for range min(m.Concurrency, len(calls)) {
		callers.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer callers.Done()
			for next < len(calls) && m.mayGoOn(ctx, m.atMost(calls[next])) {
				i := next
				next++
				reserved := m.atMost(calls[i])
				m.reserved += reserved
				outcome := activities.CaseOutcome{CaseID: calls[i].CaseID, Position: calls[i].Position}
				err := m.complete(ctx, calls[i]).Get(ctx, &outcome.Completion)
				m.reserved -= reserved
				if err != nil {
					if ctx.Err() != nil {
						return
					}
					failure := activities.FromTemporal(err)
					outcome.Code, outcome.Reason = failure.Code, failure.Message
					if failure.Code == llm.NoWorker {
						m.stop("no worker took a call for " + waitWithin.String())
					}
				}
				m.pay(m.Price, outcome.Completion)
				if outcome.Verdicts, err = m.judged(ctx, calls[i], outcome); err != nil {
					return
				}
				outcomes[i] = &outcome
			}
		})
	}
	// Callers whose context has ended return by themselves; waiting must not end before they have.
	free, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	callers.Wait(free)
	var results []activities.CaseOutcome
	for _, outcome := range outcomes {
		if outcome != nil {
			results = append(results, *outcome)
		}
	}
	return results
}

// record has the results stored, those of a cancelled measurement too: they were paid for. No payload grows beyond what Temporal takes.
func (m *measured) record(ctx workflow.Context, results []activities.CaseOutcome) error {
	free, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	for len(results) > 0 {
		count, bytes := 0, 0
		for count < len(results) && (count == 0 || bytes+len(results[count].Completion.Text) <= recordedBytes) {
			bytes += len(results[count].Completion.Text)
			count++
		}
		record := activities.RecordCasesInput{RunID: m.RunID, Suite: m.Suite, Model: m.Target.Model, At: workflow.Now(ctx), Results: results[:count]}
		if err := workflow.ExecuteActivity(bookkeeping(free, "record"), acts.RecordCases, record).Get(free, nil); err != nil {
			return err
		}
		m.state.Asked += count
		results = results[count:]
	}
	return nil
}

// mayGoOn tells whether another call, which may cost so much, fits the bounds, and stops the measurement when it does not.
func (m *measured) mayGoOn(ctx workflow.Context, cost int64) bool {
	switch {
	case m.state.Status != activities.BenchmarkOK:
	case ctx.Err() != nil:
		m.stop(cancelledReason)
	case !m.Deadline.IsZero() && !workflow.Now(ctx).Before(m.Deadline):
		m.stop("the run's time was over")
	case m.MaxNanoUSD > 0 && m.state.CostNanoUSD+m.reserved+cost > m.MaxNanoUSD:
		m.stop("the next case could have passed the run's cost bound")
	}
	return m.state.Status == activities.BenchmarkOK
}

func (m *measured) stop(reason string) {
	m.state.Status, m.state.Reason = activities.BenchmarkStopped, reason
}

// pay adds up what calls cost.
func (m *measured) pay(price activities.BenchmarkPrice, out llm.Completion) {
	cost := price.NanoUSD(out.Usage)
	m.state.CostNanoUSD += cost
	m.state.DearestNanoUSD = max(m.state.DearestNanoUSD, cost)
}

// judged has the judge grade a reply by the case's rubrics. A failure stops the measurement: a case that is not graded is neither right
// nor wrong.
func (m *measured) judged(ctx workflow.Context, call activities.BenchmarkCall, outcome activities.CaseOutcome) (verdicts []llm.Completion, err error) {
	if m.Judge == nil || outcome.Code != "" && outcome.Code != llm.Refused {
		return nil, nil
	}
	spent := m.Price.NanoUSD(outcome.Completion.Usage)
	for i, rubric := range call.Rubrics {
		var verdict llm.Completion
		call := activities.BenchmarkCall{CaseID: fmt.Sprintf("%s, rubric %d", call.CaseID, i+1), Request: call.JudgeRequest(rubric, outcome.Completion.Text)}
		if err := m.call(ctx, *m.Judge, call, attemptsAtAVerdict).Get(ctx, &verdict); err != nil {
			if ctx.Err() == nil {
				m.stop(fmt.Sprintf("%s could not grade: %s", m.Judge.Model, activities.FromTemporal(err).Message))
			}
			return nil, err
		}
		m.pay(m.JudgePrice, verdict)
		spent += m.JudgePrice.NanoUSD(verdict.Usage)
		verdicts = append(verdicts, verdict)
	}
	m.state.DearestNanoUSD = max(m.state.DearestNanoUSD, spent)
	return verdicts, nil
}

// atMost is what a call may cost: as much as the dearest so far, or as its texts could make, since no token is shorter than a byte.
func (m *measured) atMost(call activities.BenchmarkCall) int64 {
	prompt := 0
	for _, message := range call.Request.Messages {
		prompt += len(message.Text) + tokensOfAMessage
	}
	longest := max(call.Request.MaxTokens, 1)
	for _, choice := range call.Request.Choices {
		longest = max(longest, len(choice))
	}
	cost := m.Price.NanoUSD(llm.Usage{PromptTokens: prompt, CompletionTokens: longest})
	for _, rubric := range call.Rubrics {
		text := call.JudgeRequest(rubric, "").Messages
		cost += m.JudgePrice.NanoUSD(llm.Usage{PromptTokens: len(text[0].Text) + len(text[1].Text) + longest*llm.BytesPerToken, CompletionTokens: tokensOfAMessage})
	}
	return max(m.state.DearestNanoUSD, cost)
}

// complete asks the model that is measured.
func (m *measured) complete(ctx workflow.Context, call activities.BenchmarkCall) workflow.Future {
	return m.call(ctx, m.Target, call, attemptsAtACase)
}

// call is the call that a turn makes, on the same queue, behind live turns.
func (m *measured) call(ctx workflow.Context, to Target, call activities.BenchmarkCall, attempts int32) workflow.Future {
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              to.Queue,
		ScheduleToStartTimeout: waitWithin,
		StartToCloseTimeout:    answerWithin,
		HeartbeatTimeout:       heartbeatWithin,
		Summary:                call.CaseID,
		Priority:               temporal.Priority{PriorityKey: PriorityBenchmark},
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    500 * time.Millisecond,
			BackoffCoefficient: 2,
			MaximumInterval:    10 * time.Second,
			MaximumAttempts:    attempts,
		},
	}), acts.Complete, activities.CompleteInput{Model: to.Model, Request: call.Request, Patience: time.Minute, Measure: true})
}
