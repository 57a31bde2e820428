// Package llm holds the product's words: a message, a request to a model, its completion, the
// model itself and the one error type that crosses packages. It knows no server, no protocol and no
// Temporal, and imports the standard library only.
package llm

import (
	"context"
	"encoding/json"
)

// Role says who a message is from.
type Role string

// The roles a message can have.
const (
	System    Role = "system"
	User      Role = "user"
	Assistant Role = "assistant"
)

// Message is one message of a dialogue. Its text is always data: a model's control tokens inside it
// are spelled out as text and never obeyed.
type Message struct {
	Role Role   `json:"role"`
	Text string `json:"text"`
}

// Request asks a model for the next assistant message.
type Request struct {
	// Messages is the dialogue, oldest first, and ends with a user message. A system message, when
	// there is one, stands first.
	Messages []Message `json:"messages"`
	Options
}

// Options bound and steer a completion. The zero value leaves everything to the model.
type Options struct {
	// MaxTokens bounds the completion, in tokens. 0 leaves the bound to the model.
	MaxTokens int `json:"max_tokens,omitempty"`
	// Temperature is the sampling temperature, 0 (greedy) to 2. nil leaves it to the model.
	Temperature *float64 `json:"temperature,omitempty"`
	// TopP keeps the most probable tokens whose probabilities sum up to it, in (0, 1]. nil leaves it to the model.
	TopP *float64 `json:"top_p,omitempty"`
	// Seed makes a sampled completion repeatable, as far as the model can. nil draws one.
	Seed *int64 `json:"seed,omitempty"`
	// Stop are up to MaxStops texts; the completion ends before the first one of them, which is not part of it.
	Stop []string `json:"stop,omitempty"`
	// LogProbs asks for the tokens' log-probabilities, TopLogProbs (0 to MaxTopLogProbs) for the most probable
	// alternatives of each as well.
	LogProbs    bool `json:"logprobs,omitempty"`
	TopLogProbs int  `json:"top_logprobs,omitempty"`
	// Choices are 2 to MaxChoices different texts of 1 to MaxChoiceBytes, one of which is the completion's text: the
	// model's most probable. They bound the completion, so what bounds and steers a free text (MaxTokens, Temperature,
	// TopP, Seed, Stop) has no part in it. Choices and Schema exclude each other.
	Choices []string `json:"choices,omitempty"`
	// Schema is a JSON schema that the completion's text conforms to. nil asks for free text.
	Schema json.RawMessage `json:"schema,omitempty"`
}

// The bounds on Options' lists.
const (
	MaxStops       = 4
	MaxTopLogProbs = 20
	MaxChoices     = 256
	MaxChoiceBytes = 2000
)

// FinishReason says why a completion ended.
type FinishReason string

// The reasons a completion can end for.
const (
	FinishStop          FinishReason = "stop"           // the model ended its reply
	FinishLength        FinishReason = "length"         // MaxTokens or the model's window was reached
	FinishContentFilter FinishReason = "content_filter" // the provider cut the reply short
)

// Usage counts tokens as the model's own tokenizer counts them.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
}

// Completion is a model's reply.
type Completion struct {
	Text         string       `json:"text"`
	FinishReason FinishReason `json:"finish_reason"`
	Usage        Usage        `json:"usage"`
	// Served names what answered, as the server reports it: a model id, a revision, a weights hash.
	Served string `json:"served,omitempty"`
	// Confidence is in (0, 1]: the calibrated probability of what the model took the question for, where it has one, else
	// exp(mean log-probability of the completion's tokens); with choices the probability of the one that was chosen, as
	// far as the model can tell, or less where it may be none of them. It is nil where the model reports no
	// log-probabilities; NoConfidence then says why.
	Confidence   *float64 `json:"confidence"`
	NoConfidence string   `json:"no_confidence,omitempty"`
	// OmittedMessages counts the request's oldest messages, which the model was not shown because they did not fit its
	// window.
	OmittedMessages int `json:"omitted_messages,omitempty"`
	// Timing is set where the call was measured.
	Timing *Timing `json:"timing,omitempty"`
	// LogProbs are those of the completion's tokens, where they were asked for and the model has them.
	LogProbs []TokenLogProb `json:"logprobs,omitempty"`
	// Chosen tells that the text is one of the request's choices.
	Chosen bool `json:"chosen,omitempty"`
	// ChoiceProbabilities are those of the request's choices, in their order, with a sum of 1. They are nil without
	// choices, and where the model reports no probabilities.
	ChoiceProbabilities []float64 `json:"choice_probabilities,omitempty"`
}

// Timing is how long a call took, in milliseconds, where it was made.
type Timing struct {
	EndToEndMs float64 `json:"end_to_end_ms"`
	// FirstTokenMs is from the request to the first piece of the reply; nil where it came whole.
	FirstTokenMs *float64 `json:"first_token_ms,omitempty"`
}

// TokenLogProb is a token of a completion with its natural log-probability.
type TokenLogProb struct {
	Token   string         `json:"token"`
	LogProb float64        `json:"logprob"`
	Top     []TokenLogProb `json:"top,omitempty"` // the most probable tokens in its place, best first
}

// Delta is the next piece of a completion, as the model makes it.
type Delta struct {
	Text     string         `json:"text"`
	LogProbs []TokenLogProb `json:"logprobs,omitempty"`
}

// Status is what a health check found.
type Status struct {
	// Version names what would answer now, like Completion.Served.
	Version string `json:"version,omitempty"`
	// Device is the hardware that serves, where the model knows it: "cpu", "opencl: ...", "remote".
	Device string `json:"device,omitempty"`
}

// Model is one model that can answer. Implementations are safe for concurrent use, call their
// backend once per call and never retry; every failure they can name is an *Error. adaptertest holds
// the full contract.
type Model interface {
	// Complete answers the request. It returns promptly with code Canceled or Timeout when ctx ends.
	// With an emit function it calls it with each piece of the reply as soon as the model has made it: one call at a
	// time, none after Complete has returned. The pieces' texts, joined, are the completion's text. After an
	// error they are worth nothing.
	Complete(ctx context.Context, req Request, emit func(Delta)) (Completion, error)
	// Check tells whether a call would succeed now, without generating a token.
	Check(ctx context.Context) (Status, error)
}
