package activities

import (
	"context"
	"time"

	"teller/store"
)

// Ledger keeps what turns used.
type Ledger interface {
	RecordUsage(ctx context.Context, u store.Usage) error
}

// Prices knows what tokens cost, in billionths of a US dollar; false when they have no price.
type Prices interface {
	NanoUSD(name, served string, at time.Time, promptTokens, completionTokens int) (int64, bool)
}

// RecordUsageName is the name under which RecordUsage is registered. A local activity is found by its name only.
const RecordUsageName = "RecordUsage"

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
	row := store.Usage{
		TurnID: in.TurnID, Tenant: in.Tenant, Conversation: in.Conversation, Model: in.Model, FallbackFrom: in.FallbackFrom,
		Outcome: in.Outcome, At: in.At, LatencyMs: in.LatencyMs, PromptTokens: in.PromptTokens, CompletionTokens: in.CompletionTokens,
	}
	if cost, ok := a.Prices.NanoUSD(in.Model, in.Served, in.At, in.PromptTokens, in.CompletionTokens); ok {
		row.CostNanoUSD = &cost
	}
	return a.Ledger.RecordUsage(ctx, row)
}
