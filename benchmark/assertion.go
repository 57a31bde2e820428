package benchmark

import (
	"encoding/json"
	"regexp"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The types of assertion, each of which may have "not-" before it. README.md beside this file has what each one takes.
const (
	typeEquals      = "equals"
	typeContains    = "contains"
	typeIContains   = "icontains"
	typeContainsAny = "contains-any"
	typeContainsAll = "contains-all"
	typeIContainAny = "icontains-any"
	typeIContainAll = "icontains-all"
	typeStartsWith  = "starts-with"
	typeRegex       = "regex"
	typeIsJSON      = "is-json"
	typeHasJSON     = "contains-json"
	typeNumeric     = "numeric"
	typeChoice      = "choice"
	typeRefusal     = "refusal"
	typeNoPII       = "no-pii-leak"
	typeSimilarity  = "similarity"
	typeLatency     = "latency"
	typeCost        = "cost"
	typeFinish      = "finish-reason"
	typeRubric      = "llm-rubric"
)

// aliases are other names of types: promptfoo's, where ours differ.
var aliases = map[string]string{"similar": typeSimilarity, "is-refusal": typeRefusal}

// Assertion is one thing that a reply must fulfil.
type Assertion struct {
	Type string `json:"type"`
	// Not turns the outcome round: it was written "not-" before the type.
	Not bool `json:"not,omitempty"`
	// Texts are what is looked for, the rubric, or the regular expression.
	Texts []string `json:"texts,omitempty"`
	// Value is the number of numeric.
	Value float64 `json:"value,omitempty"`
	// Tolerance is how far a number may lie from Value.
	Tolerance float64 `json:"tolerance,omitempty"`
	// JSON is the value that equals compares with, or the schema of is-json and contains-json.
	JSON json.RawMessage `json:"json,omitempty"`
	// Choices are those of choice; Texts[0] is the right one.
	Choices []string `json:"choices,omitempty"`
	// Threshold is a least score, from 0 to 1; of latency the most milliseconds, of cost the most US dollars.
	Threshold *float64 `json:"threshold,omitempty"`
	// Weight is the assertion's part of the case's score, 1 when nil. With 0 it is reported and does not count.
	Weight *float64 `json:"weight,omitempty"`

	pattern *regexp.Regexp
	schema  *jsonschema.Schema
}

// String is the type as it is written in a file.
func (a Assertion) String() string {
	if a.Not {
		return "not-" + a.Type
	}
	return a.Type
}

func (a Assertion) weight() float64 {
	if a.Weight == nil {
		return 1
	}
	return *a.Weight
}
