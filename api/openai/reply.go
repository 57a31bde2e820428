package openai

import (
	"strings"

	"teller/llm"
)

// The values of the member object.
const (
	objectCompletion = "chat.completion"
	objectChunk      = "chat.completion.chunk"
)

// Head is what a reply and all of its chunks have in common.
type Head struct {
	ID      string `json:"id"` // "chatcmpl-" and the turn's id
	Object  string `json:"object"`
	Created int64  `json:"created"` // Unix time, in seconds
	Model   string `json:"model"`   // the configured model that answers
	// Fingerprint names what served, as the server reports it; of a stream only its last chunks know.
	Fingerprint string `json:"system_fingerprint,omitempty"`
}

// Completion is a whole reply.
type Completion struct {
	Head
	Choices []Choice `json:"choices"` // one
	Usage   Usage    `json:"usage"`
	Teller  *Teller  `json:"teller"`
}

// Choice is the reply's one choice.
type Choice struct {
	Index        int              `json:"index"`
	Message      Message          `json:"message"`
	LogProbs     *LogProbs        `json:"logprobs"` // null where they were not asked for, or the model has none
	FinishReason llm.FinishReason `json:"finish_reason"`
}

// Message is the model's message. What a model refuses is an error here, so Refusal is always null.
type Message struct {
	Role    llm.Role `json:"role"`
	Content string   `json:"content"`
	Refusal *string  `json:"refusal"`
}

// Usage counts tokens as the model's own tokenizer counts them.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// Teller is what OpenAI's format has no place for. Clients pass over it.
type Teller struct {
	TurnID       string `json:"turn_id"`
	ModelVersion string `json:"model_version"` // the configured model that answered
	LatencyMs    int64  `json:"latency_ms"`
	// Confidence is null where the model reports no log-probabilities.
	Confidence   *float64 `json:"confidence"`
	FallbackFrom string   `json:"fallback_from,omitempty"` // the model that should have answered
	// OmittedMessages counts the oldest messages, which did not fit the model's window.
	OmittedMessages int `json:"omitted_messages,omitempty"`
}

// LogProbs are the log-probabilities of a reply's tokens.
type LogProbs struct {
	Content []TokenLogProb `json:"content"`
	Refusal []TokenLogProb `json:"refusal"` // always null
}

// TokenLogProb is a token with its natural log-probability and the most probable tokens in its place.
type TokenLogProb struct {
	AlternativeToken
	Top []AlternativeToken `json:"top_logprobs"`
}

// AlternativeToken is a token with its natural log-probability.
type AlternativeToken struct {
	Token   string  `json:"token"`
	LogProb float64 `json:"logprob"`
	Bytes   []int   `json:"bytes"` // of its UTF-8; null for a token that is a part of a character
}

// Chunk is a piece of a streamed reply.
type Chunk struct {
	Head
	Choices []ChunkChoice `json:"choices"` // one; none in a chunk that only tells the usage
	// Usage is nil in a stream that does not tell it, and points to nil (which is null) in the chunks before the one that does.
	Usage  **Usage `json:"usage,omitempty"`
	Teller *Teller `json:"teller,omitempty"` // in the chunk with the finish reason
}

// ChunkChoice is what a chunk adds to the reply's one choice.
type ChunkChoice struct {
	Index        int               `json:"index"`
	Delta        Delta             `json:"delta"`
	LogProbs     *LogProbs         `json:"logprobs"`
	FinishReason *llm.FinishReason `json:"finish_reason"` // null until the reply has ended
}

// Delta is what a chunk adds to the message. The first one has the role and an empty content.
type Delta struct {
	Role    llm.Role `json:"role,omitempty"`
	Content *string  `json:"content,omitempty"`
	Refusal *string  `json:"refusal,omitempty"`
}

// ID is a turn's id as OpenAI's clients see it.
func ID(turnID string) string { return "chatcmpl-" + turnID }

// NewCompletion tells a whole reply. logProbs says whether its log-probabilities were asked for.
func NewCompletion(head Head, c llm.Completion, logProbs bool, extra Teller) Completion {
	head.Object, head.Fingerprint = objectCompletion, c.Served
	choice := Choice{Message: Message{Role: llm.Assistant, Content: c.Text}, FinishReason: c.FinishReason}
	if logProbs {
		choice.LogProbs = newLogProbs(c.LogProbs)
	}
	return Completion{Head: head, Choices: []Choice{choice}, Usage: NewUsage(c.Usage), Teller: &extra}
}

// NewUsage is the usage with its sum.
func NewUsage(u llm.Usage) Usage {
	return Usage{u.PromptTokens, u.CompletionTokens, u.PromptTokens + u.CompletionTokens}
}

// newLogProbs is nil where the model has none.
func newLogProbs(tokens []llm.TokenLogProb) *LogProbs {
	if len(tokens) == 0 {
		return nil
	}
	out := &LogProbs{Content: make([]TokenLogProb, len(tokens))}
	for i, token := range tokens {
		top := make([]AlternativeToken, len(token.Top))
		for k, other := range token.Top {
			top[k] = alternative(other)
		}
		out.Content[i] = TokenLogProb{alternative(token), top}
	}
	return out
}

func alternative(t llm.TokenLogProb) AlternativeToken {
	out := AlternativeToken{Token: t.Token, LogProb: t.LogProb}
	if !strings.ContainsRune(t.Token, '\uFFFD') {
		out.Bytes = make([]int, 0, len(t.Token))
		for _, b := range []byte(t.Token) {
			out.Bytes = append(out.Bytes, int(b))
		}
	}
	return out
}
