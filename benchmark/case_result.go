package benchmark

import "teller/llm"

// CaseResult is what one model made of one case of a run. Times are in milliseconds.
type CaseResult struct {
	RunID    string `json:"run_id"`
	Model    string `json:"model"`
	CaseID   string `json:"case_id"`
	Category string `json:"category"`
	Family   string `json:"family"`

	Pass    bool     `json:"pass"`
	Score   float64  `json:"score"`
	Reasons []string `json:"reasons,omitempty"`
	// ErrorCode is why there was no reply to grade; empty where there was one. An error is no wrong answer. llm.Refused
	// counts as a reply.
	ErrorCode llm.Code `json:"error_code,omitempty"`
	Error     string   `json:"error,omitempty"`

	// TimeToFirstTokenMS and InterTokenMS are nil where the reply came whole.
	TimeToFirstTokenMS *float64 `json:"time_to_first_token_ms,omitempty"`
	InterTokenMS       *float64 `json:"inter_token_ms,omitempty"` // mean time between two tokens
	EndToEndMS         float64  `json:"end_to_end_ms,omitempty"`

	Usage       llm.Usage `json:"usage"`
	CostNanoUSD *int64    `json:"cost_nano_usd,omitempty"` // nil where the model's tokens have no price
	Confidence  *float64  `json:"confidence,omitempty"`
	Reply       string    `json:"reply,omitempty"`
}

// Failed tells whether there was nothing to grade.
func (r CaseResult) Failed() bool { return r.ErrorCode != "" && r.ErrorCode != llm.Refused }

// ResultOf is a case with the reply to it and its grade. reason says in words why there is no reply.
func ResultOf(runID, model string, c Case, reply Reply, grade Grade, reason string) CaseResult {
	r := CaseResult{
		RunID: runID, Model: model, CaseID: c.ID, Category: c.Category, Family: c.Family,
		Pass: grade.Pass, Score: grade.Score, Reasons: grade.Reasons, ErrorCode: reply.ErrorCode, Usage: reply.Usage, CostNanoUSD: reply.CostNanoUSD,
		TimeToFirstTokenMS: reply.TimeToFirstTokenMS, EndToEndMS: reply.EndToEndMS, Confidence: reply.Confidence, Reply: reply.Text,
	}
	if reply.Failed() {
		r.Error, r.Reasons = reason, nil
	}
	if first, tokens := reply.TimeToFirstTokenMS, reply.Usage.CompletionTokens; first != nil && tokens > 1 {
		between := max(reply.EndToEndMS-*first, 0) / float64(tokens-1)
		r.InterTokenMS = &between
	}
	return r
}
