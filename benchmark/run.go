package benchmark

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"teller/evaluation"
	"teller/llm"
)

// Run is a run of a suite against several models. As JSON it is a line of benchmark_results.jsonl, with the key "timestamp" (when the
// run ended, or else started) beside its own.
type Run struct {
	ID        string    `json:"id"`
	Suite     string    `json:"suite"`
	SuiteHash string    `json:"suite_hash"`
	Started   time.Time `json:"started,omitzero"`
	Ended     time.Time `json:"ended,omitzero"`
	// Trigger says what started the run: "schedule", "requests", "api", "cli".
	Trigger string `json:"trigger"`
	// RequestCount is how many chats had been counted when the run started.
	RequestCount int64  `json:"request_count"`
	Seed         uint64 `json:"seed"`
	// Judge is the model that graded the rubrics; empty where none did.
	Judge  string                 `json:"judge,omitempty"`
	Models map[string]ModelResult `json:"models"`
	// Comparisons are those of every pair of models that answered cases in common.
	Comparisons []Comparison `json:"comparisons,omitempty"`
	// Winner is the model that leads; nil where none was measured in full.
	Winner *Lead `json:"winner,omitempty"`
	// Changes against an earlier run, where the caller has compared them.
	Changes *Changes `json:"changes,omitempty"`
	// Promotion is which model the run makes active; nil where it was not asked to.
	Promotion *Promotion `json:"promotion,omitempty"`
}

// Status says how far a model was measured.
type Status string

// The states of a model in a run.
const (
	OK          Status = "ok"          // it was asked every case
	Unavailable Status = "unavailable" // it could not be asked
	Stopped     Status = "stopped"     // a cap on cost or time ended its part early
)

// Reason is a text that is null in JSON when it is empty.
type Reason string

// MarshalJSON gives a text or null.
func (r Reason) MarshalJSON() ([]byte, error) {
	if r == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(r))
}

// ModelResult is what a run found out about a model. The caller sets the first block; Summarise sets the rest from the rows. A
// figure that was not measured is nil.
type ModelResult struct {
	Status Status `json:"status"`
	Reason Reason `json:"error"` // why the status is not ok
	// Served is what answered, as its server names it.
	Served string `json:"served,omitempty"`
	// Started and Ended bound the time in which the model was asked, warm-up aside: hardware is paid for that long.
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`

	Cases int `json:"cases"` // rows
	// Accuracy is over the cases that were answered; failed calls are no answers.
	Accuracy   Proportion            `json:"accuracy"`
	Categories map[string]Proportion `json:"categories,omitempty"`
	// Failures is how many of the cases have no reply, ErrorCodes by code.
	Failures   Proportion       `json:"failures"`
	ErrorCodes map[llm.Code]int `json:"error_codes,omitempty"`
	// Blocked is how many replies the provider's content filter declined. They are graded.
	Blocked          int          `json:"blocked"`
	AverageLatencyMS *float64     `json:"avg_latency_ms"` // mean end to end
	Latency          Latency      `json:"latency"`
	PromptTokens     int64        `json:"prompt_tokens"`
	CompletionTokens int64        `json:"completion_tokens"`
	Cost             Cost         `json:"cost"`
	Confidence       *float64     `json:"confidence"` // mean of the replies that have one
	Calibration      *Calibration `json:"calibration,omitempty"`
}

// Latency is how long replies took. Failed calls don't count.
type Latency struct {
	TimeToFirstToken Distribution `json:"time_to_first_token_ms"`
	InterToken       Distribution `json:"inter_token_ms"`
	EndToEnd         Distribution `json:"end_to_end_ms"`
}

// Calibration tells whether confidence means what it says, over the replies that have one.
type Calibration struct {
	N     int              `json:"n"`
	ECE   float64          `json:"expected_calibration_error"`
	Brier float64          `json:"brier_score"`
	Bins  []evaluation.Bin `json:"bins"`
}

// MarshalJSON adds the timestamp.
func (r Run) MarshalJSON() ([]byte, error) {
	type plain Run
	at := r.Ended
	if at.IsZero() {
		at = r.Started
	}
	return json.Marshal(struct {
		Timestamp time.Time `json:"timestamp"`
		plain
	}{at, plain(r)})
}

// UnmarshalJSON takes over the timestamp of a line that has no other times.
func (r *Run) UnmarshalJSON(data []byte) error {
	type plain Run
	in := struct {
		Timestamp time.Time `json:"timestamp"`
		*plain
	}{plain: (*plain)(r)}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	if r.Ended.IsZero() && r.Started.IsZero() {
		r.Ended = in.Timestamp
	}
	return nil
}

// maxRunBytes bounds a line of benchmark_results.jsonl.
const maxRunBytes = 16 << 20

// ReadRuns reads benchmark_results.jsonl, oldest first as it was written. name is the file's, for errors.
func ReadRuns(r io.Reader, name string) ([]Run, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxRunBytes)
	var runs []Run
	line := 0
	for lines.Scan() {
		line++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var run Run
		if err := json.Unmarshal(lines.Bytes(), &run); err != nil {
			return nil, fail(name, line, "not a benchmark run: %s", err)
		}
		runs = append(runs, run)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return runs, nil
}
