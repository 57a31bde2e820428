package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"teller/llm"
	"teller/store"
)

// Ledger keeps what turns used. RecordUsage returns promptly when ctx ends.
type Ledger interface {
	RecordUsage(ctx context.Context, u store.Usage) error
}

// Prices knows what tokens cost, in billionths of a US dollar; false when they have no price.
type Prices interface {
	NanoUSD(name, served string, at time.Time, promptTokens, completionTokens int) (int64, bool)
}

// RecordUsageName is the name under which RecordUsage is registered. A local activity is found by its name only.
const RecordUsageName = "RecordUsage"

// OutcomeOK is the outcome of a turn that was answered; of one that failed it is an llm.Code.
const OutcomeOK = "ok"

// RecordUsageInput is what a turn used.
type RecordUsageInput struct {
	TurnID           string    `json:"turn_id"`
	Tenant           string    `json:"tenant"`
	Conversation     string    `json:"conversation,omitempty"`
	Model            string    `json:"model"`
	Served           string    `json:"served,omitempty"`
	FallbackFrom     string    `json:"fallback_from,omitempty"`
	Outcome          string    `json:"outcome"`
	At               time.Time `json:"at"`
	LatencyMs        int64     `json:"latency_ms"`
	PromptTokens     int       `json:"prompt_tokens,omitempty"`
	CompletionTokens int       `json:"completion_tokens,omitempty"`
}

// RecordUsage stores what a turn used, once however often it runs.
func (a *Activities) RecordUsage(ctx context.Context, in RecordUsageInput) error {
	return a.record(ctx, in, in.At)
}

// record stores the row of a turn; began is when the call or the decision began that gave it.
func (a *Activities) record(ctx context.Context, in RecordUsageInput, began time.Time) error {
	row := store.Usage{
		TurnID: in.TurnID, Tenant: in.Tenant, Conversation: in.Conversation, Model: in.Model, FallbackFrom: in.FallbackFrom,
		Outcome: in.Outcome, At: in.At, CallBegan: began, LatencyMs: in.LatencyMs, PromptTokens: in.PromptTokens, CompletionTokens: in.CompletionTokens,
	}
	if cost, ok := a.Prices.NanoUSD(in.Model, in.Served, in.At, in.PromptTokens, in.CompletionTokens); ok {
		row.CostNanoUSD = &cost
	}
	return a.Ledger.RecordUsage(ctx, row)
}

// RecordWithin is how long a turn waits for its usage to be stored. The row takes a fraction of a millisecond; a store that takes longer
// is in trouble, and the row is stored behind the answer's back.
const RecordWithin = 500 * time.Millisecond

// CompletedTurn is what the row of a turn's usage needs beside the model's reply.
type CompletedTurn struct {
	ID           string    `json:"id"`
	Tenant       string    `json:"tenant"`
	Conversation string    `json:"conversation,omitempty"`
	FallbackFrom string    `json:"fallback_from,omitempty"`
	StartedAt    time.Time `json:"started_at"` // when the turn arrived in the workflow
}

// Used is what the turn used: the model's reply, the zero Completion of a turn that failed, when the turn ended.
func (t CompletedTurn) Used(model string, out llm.Completion, outcome string, ended time.Time) RecordUsageInput {
	return RecordUsageInput{
		TurnID: t.ID, Tenant: t.Tenant, Conversation: t.Conversation, Model: model, Served: out.Served, FallbackFrom: t.FallbackFrom,
		Outcome: outcome, At: ended, LatencyMs: ended.Sub(t.StartedAt).Milliseconds(),
		PromptTokens: out.Usage.PromptTokens, CompletionTokens: out.Usage.CompletionTokens,
	}
}

// UsageState is what became of the usage of a turn whose model has replied.
type UsageState string

// The states; "" leaves the row to the workflow, because nothing was to be recorded or the worker has no store.
const (
	UsageStored UsageState = "yes"
	UsageWaits  UsageState = "later" // the store did not take the row within RecordWithin
)

// recordCompleted stores what an answered turn used, since a local activity of the workflow's would cost Temporal a tenth of the turn. A
// reply does not fail with the store, nor wait for it longer than RecordWithin. The times are by the server's clock, as the workflow's are.
func (a *Activities) recordCompleted(ctx context.Context, in CompleteInput, out llm.Completion, began time.Time) UsageState {
	if in.Turn == nil || a.Ledger == nil {
		return ""
	}
	started := activity.GetInfo(ctx).StartedTime
	ended := started.Add(time.Since(began))
	row := in.Turn.Used(in.Model, out, OutcomeOK, ended)
	ctx, cancel := context.WithTimeout(ctx, RecordWithin)
	defer cancel()
	if err := a.record(ctx, row, started); err != nil {
		activity.GetLogger(ctx).Warn("the store did not take a turn's usage at once; the workflow sees to it", "error", err)
		return UsageWaits
	}
	return UsageStored
}
