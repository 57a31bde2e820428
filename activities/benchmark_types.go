package activities

import (
	"time"

	"teller/benchmark"
	"teller/llm"
)

// BenchmarkStatus says how far a model's measurement came.
type BenchmarkStatus string

// The states in which a model's measurement ends.
const (
	BenchmarkOK          BenchmarkStatus = "ok"          // every case was asked
	BenchmarkUnavailable BenchmarkStatus = "unavailable" // the model would not have answered
	BenchmarkStopped     BenchmarkStatus = "stopped"     // a bound or a cancellation ended it before its last case
)

// BenchmarkModelState is how far one model's measurement is.
type BenchmarkModelState struct {
	Model   string          `json:"model"`
	Status  BenchmarkStatus `json:"status"`
	Code    llm.Code        `json:"code,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Version string          `json:"version,omitempty"`
	Asked   int             `json:"asked"` // cases
	Ended   time.Time       `json:"ended,omitzero"`
	// CostNanoUSD is what the calls cost, the warm-up included, in billionths of a US dollar.
	CostNanoUSD int64 `json:"cost_nano_usd,omitempty"`
	// DearestNanoUSD is what the dearest case cost, its grading included.
	DearestNanoUSD int64 `json:"dearest_nano_usd,omitempty"`
}

// BenchmarkPrice is what a model's tokens cost, in billionths of a US dollar each; zero where they have no price.
type BenchmarkPrice struct {
	Prompt     float64 `json:"prompt,omitempty"`
	Completion float64 `json:"completion,omitempty"`
}

// NanoUSD is what a call cost.
func (p BenchmarkPrice) NanoUSD(u llm.Usage) int64 {
	return int64(p.Prompt*float64(u.PromptTokens) + p.Completion*float64(u.CompletionTokens) + 0.5)
}

// BeginBenchmarkInput stores that a run begins.
type BeginBenchmarkInput struct {
	RunID  string    `json:"run_id"`
	Suite  string    `json:"suite"`
	Cause  string    `json:"cause"`
	Models []string  `json:"models"`
	Judge  string    `json:"judge,omitempty"` // grades rubrics; "" leaves them out of shipped suites
	At     time.Time `json:"at"`
	// AfterChats is the number of chats at which the last run that was due because of it began; nil on a run with another cause.
	AfterChats *int64 `json:"after_chats,omitempty"`
}

// BeginBenchmarkOutput is what the run needs to know.
type BeginBenchmarkOutput struct {
	Hash   string                    `json:"hash"` // of the suite
	Name   string                    `json:"name"`
	Cases  int                       `json:"cases"`
	Prices map[string]BenchmarkPrice `json:"prices"`
	// RequestCount is how many chats had been answered ever.
	RequestCount int64 `json:"request_count"`
	// NotDue tells that another run has begun because of the same chats: this one has no part in anything.
	NotDue bool `json:"not_due,omitempty"`
}

// LoadCasesInput asks for the cases at some places of the run's order. Where they are long, fewer come, at least one.
type LoadCasesInput struct {
	Suite string `json:"suite"`
	Cases int    `json:"cases"`
	Seed  uint64 `json:"seed"`
	From  int    `json:"from"`
	Count int    `json:"count"`
}

// BenchmarkCall is a case as the models are asked it.
type BenchmarkCall struct {
	CaseID   string      `json:"case_id"`
	Position int         `json:"position"` // in the suite
	Request  llm.Request `json:"request"`
	// Rubrics are what a model must grade the reply by.
	Rubrics []string `json:"rubrics,omitempty"`
}

// JudgeRequest asks a model whether a reply to the call fulfils a rubric.
func (c BenchmarkCall) JudgeRequest(rubric, reply string) llm.Request {
	knows, message := "", ""
	for _, m := range c.Request.Messages {
		if m.Role == llm.System {
			knows = m.Text
		} else {
			message = m.Text
		}
	}
	return benchmark.JudgeRequest(rubric, knows, message, reply)
}

// CaseOutcome is what a model made of a case.
type CaseOutcome struct {
	CaseID     string         `json:"case_id"`
	Position   int            `json:"position"`
	Completion llm.Completion `json:"completion"`
	Code       llm.Code       `json:"code,omitempty"` // why there is none
	Reason     string         `json:"reason,omitempty"`
	// Verdicts are what the judge said of the case's rubrics.
	Verdicts []llm.Completion `json:"verdicts,omitempty"`
}

// RecordCasesInput has outcomes graded and stored.
type RecordCasesInput struct {
	RunID   string        `json:"run_id"`
	Suite   string        `json:"suite"`
	Model   string        `json:"model"`
	At      time.Time     `json:"at"` // whose prices hold
	Results []CaseOutcome `json:"results"`
}

// EndBenchmarkInput has a run summed up.
type EndBenchmarkInput struct {
	RunID        string                `json:"run_id"`
	Models       []BenchmarkModelState `json:"models"`
	Started      time.Time             `json:"started"`
	Ended        time.Time             `json:"ended"`
	Seed         uint64                `json:"seed"`
	Judge        string                `json:"judge,omitempty"`
	Cause        string                `json:"cause"`
	RequestCount int64                 `json:"request_count"`
	Promote      bool                  `json:"promote,omitempty"`
}

// BenchmarkOutcome is a run in a few words; the store has all of it.
type BenchmarkOutcome struct {
	RunID  string `json:"run_id"`
	Winner string `json:"winner,omitempty"`
	// Significant tells whether the winner's lead is more than chance.
	Significant bool               `json:"significant"`
	Accuracy    map[string]float64 `json:"accuracy"` // by model
	// Regressions are the models that became significantly worse since the run before.
	Regressions []string `json:"regressions,omitempty"`
	// Promoted is the model that the run made active.
	Promoted string `json:"promoted,omitempty"`
	// NotDue tells that the run did nothing: another one had begun because of the same chats.
	NotDue bool `json:"not_due,omitempty"`
}
