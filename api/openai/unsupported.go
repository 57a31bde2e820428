package openai

import (
	"encoding/json"
	"fmt"
	"slices"

	"teller/internal/strictjson"
)

// unsupported are the parameters of OpenAI's that would change the reply and that no model here heeds.
type unsupported struct {
	Tools            json.RawMessage `json:"tools"`
	ToolChoice       json.RawMessage `json:"tool_choice"`
	Functions        json.RawMessage `json:"functions"`
	FunctionCall     json.RawMessage `json:"function_call"`
	FrequencyPenalty json.RawMessage `json:"frequency_penalty"`
	PresencePenalty  json.RawMessage `json:"presence_penalty"`
	LogitBias        json.RawMessage `json:"logit_bias"`
	Modalities       json.RawMessage `json:"modalities"`
	Audio            json.RawMessage `json:"audio"`
	Prediction       json.RawMessage `json:"prediction"`
	ReasoningEffort  json.RawMessage `json:"reasoning_effort"`
	Verbosity        json.RawMessage `json:"verbosity"`
	ServiceTier      json.RawMessage `json:"service_tier"`
	WebSearchOptions json.RawMessage `json:"web_search_options"`
	Moderation       json.RawMessage `json:"moderation"`
}

// check refuses all but null and the values that mean what happens anyway.
func (u *unsupported) check() *Error {
	for _, p := range []struct {
		name    string
		value   json.RawMessage
		neutral []string
	}{
		{"tools", u.Tools, []string{`[]`}},
		{"tool_choice", u.ToolChoice, []string{`"none"`, `"auto"`}},
		{"functions", u.Functions, []string{`[]`}},
		{"function_call", u.FunctionCall, []string{`"none"`, `"auto"`}},
		{"frequency_penalty", u.FrequencyPenalty, []string{`0`, `0.0`}},
		{"presence_penalty", u.PresencePenalty, []string{`0`, `0.0`}},
		{"logit_bias", u.LogitBias, []string{`{}`}},
		{"modalities", u.Modalities, []string{`["text"]`}},
		{"audio", u.Audio, nil},
		{"prediction", u.Prediction, nil},
		{"reasoning_effort", u.ReasoningEffort, nil},
		{"verbosity", u.Verbosity, []string{`"medium"`}},
		{"service_tier", u.ServiceTier, []string{`"auto"`, `"default"`}},
		{"web_search_options", u.WebSearchOptions, nil},
		{"moderation", u.Moderation, nil},
	} {
		if strictjson.Given(p.value) && !slices.Contains(p.neutral, compact(p.value)) {
			return &Error{p.name, fmt.Sprintf("%s is not supported: leave it out", p.name)}
		}
	}
	return nil
}
