package openai

import (
	"encoding/json"
	"fmt"
	"strings"

	"teller/internal/strictjson"
	"teller/llm"
)

// body is the request as it is sent. Members that can have several types are read by hand.
type body struct {
	Model               *string           `json:"model"`
	Messages            []json.RawMessage `json:"messages"`
	Stream              bool              `json:"stream"`
	StreamOptions       json.RawMessage   `json:"stream_options"`
	MaxTokens           *int              `json:"max_tokens"`
	MaxCompletionTokens *int              `json:"max_completion_tokens"`
	Temperature         *float64          `json:"temperature"`
	TopP                *float64          `json:"top_p"`
	Stop                json.RawMessage   `json:"stop"`
	Seed                *int64            `json:"seed"`
	LogProbs            bool              `json:"logprobs"`
	TopLogProbs         *int              `json:"top_logprobs"`
	ResponseFormat      json.RawMessage   `json:"response_format"`
	N                   *int              `json:"n"`
	unsupported

	// These have no effect on the reply.
	User                 *string           `json:"user"`
	SafetyIdentifier     *string           `json:"safety_identifier"`
	PromptCacheKey       *string           `json:"prompt_cache_key"`
	PromptCacheRetention *string           `json:"prompt_cache_retention"`
	Metadata             map[string]string `json:"metadata"`
	Store                *bool             `json:"store"`
	ParallelToolCalls    *bool             `json:"parallel_tool_calls"` // there are no tools
}

// Parse reads the body of a request, and checks it.
func Parse(text []byte, maxMessageBytes int) (Request, *Error) {
	var b body
	if wrong := strictjson.Body(text, &b); wrong != nil {
		return Request{}, &Error{wrong.Field, wrong.Message}
	}
	return b.request(maxMessageBytes)
}

func (b *body) request(maxMessageBytes int) (Request, *Error) {
	r := Request{Stream: b.Stream, Options: llm.Options{Seed: b.Seed}}
	for _, read := range []func(*Request) *Error{
		b.model,
		func(*Request) *Error { return b.unsupported.check() },
		b.n,
		func(r *Request) (wrong *Error) {
			r.Messages, wrong = messages(b.Messages, maxMessageBytes)
			return wrong
		},
		b.maxTokens,
		b.sampling,
		b.stop,
		b.logProbs,
		b.responseFormat,
		b.streamOptions,
	} {
		if wrong := read(&r); wrong != nil {
			return Request{}, wrong
		}
	}
	return r, nil
}

func (b *body) model(r *Request) *Error {
	if b.Model == nil || *b.Model == "" {
		return &Error{"model", "model is required: the name of a model of GET /v1/models, or " + llm.Auto}
	}
	r.Model = *b.Model
	return nil
}

func (b *body) n(*Request) *Error {
	if b.N != nil && *b.N != 1 {
		return &Error{"n", fmt.Sprintf("n is %d and must be 1: send one request for each reply", *b.N)}
	}
	return nil
}

// maxTokens reads the two names of one bound.
func (b *body) maxTokens(r *Request) *Error {
	bound, param := b.MaxCompletionTokens, "max_completion_tokens"
	switch {
	case bound == nil:
		bound, param = b.MaxTokens, "max_tokens"
	case b.MaxTokens != nil && *b.MaxTokens != *bound:
		return &Error{"max_tokens", "max_tokens and max_completion_tokens are two names of one bound, and differ: send one"}
	}
	if bound == nil {
		return nil
	}
	if *bound < 1 || *bound > MaxTokens {
		return &Error{param, fmt.Sprintf("%s must be from 1 to %d", param, MaxTokens)}
	}
	r.MaxTokens = *bound
	return nil
}

func (b *body) sampling(r *Request) *Error {
	if t := b.Temperature; t != nil && (*t < 0 || *t > 2) {
		return &Error{"temperature", "temperature must be from 0 to 2"}
	}
	if p := b.TopP; p != nil && (*p <= 0 || *p > 1) {
		return &Error{"top_p", "top_p must be over 0 and at most 1"}
	}
	r.Temperature, r.TopP = b.Temperature, b.TopP
	return nil
}

// stop reads one text or a list of them.
func (b *body) stop(r *Request) *Error {
	if !strictjson.Given(b.Stop) {
		return nil
	}
	var one string
	if json.Unmarshal(b.Stop, &one) == nil {
		r.Stop = []string{one}
	} else if json.Unmarshal(b.Stop, &r.Stop) != nil || holdsNull(b.Stop) {
		return &Error{"stop", "stop must be a string or a list of strings"}
	}
	if len(r.Stop) > llm.MaxStops {
		return &Error{"stop", fmt.Sprintf("stop holds %d texts and must hold at most %d", len(r.Stop), llm.MaxStops)}
	}
	for _, stop := range r.Stop {
		switch {
		case stop == "":
			return &Error{"stop", "stop holds an empty text"}
		case len(stop) > MaxStopBytes:
			return &Error{"stop", fmt.Sprintf("stop holds a text of %d bytes, %d are the most", len(stop), MaxStopBytes)}
		case strings.ContainsRune(stop, 0):
			return &Error{"stop", "stop must not hold a NUL character"}
		}
	}
	return nil
}

// holdsNull tells whether a list holds null, which encoding/json reads as an empty text.
func holdsNull(list json.RawMessage) bool {
	var items []json.RawMessage
	_ = json.Unmarshal(list, &items) // it is a list
	for _, item := range items {
		if string(item) == "null" {
			return true
		}
	}
	return false
}

func (b *body) logProbs(r *Request) *Error {
	r.LogProbs = b.LogProbs
	if b.TopLogProbs == nil {
		return nil
	}
	switch n := *b.TopLogProbs; {
	case n < 0 || n > llm.MaxTopLogProbs:
		return &Error{"top_logprobs", fmt.Sprintf("top_logprobs must be from 0 to %d", llm.MaxTopLogProbs)}
	case n > 0 && !b.LogProbs:
		return &Error{"top_logprobs", "top_logprobs needs logprobs to be true"}
	default:
		r.TopLogProbs = n
		return nil
	}
}

func (b *body) responseFormat(r *Request) *Error {
	const param = "response_format"
	if !strictjson.Given(b.ResponseFormat) {
		return nil
	}
	var format struct {
		Type       string          `json:"type"`
		JSONSchema json.RawMessage `json:"json_schema"`
	}
	if wrong := strictjson.Object(b.ResponseFormat, &format, param); wrong != nil {
		return &Error{wrong.Field, wrong.Message}
	}
	if format.Type != "json_schema" && strictjson.Given(format.JSONSchema) {
		return &Error{param + ".json_schema", param + ".json_schema stands there without the type json_schema"}
	}
	switch format.Type {
	case "text":
		return nil
	case "json_object":
		r.Schema = llm.AnyObject()
		return nil
	case "json_schema":
		return namedSchema(format.JSONSchema, param+".json_schema", r)
	default:
		return &Error{param + ".type", fmt.Sprintf("%s.type is %q and must be text, json_object or json_schema", param, strictjson.Shortened(format.Type))}
	}
}

func namedSchema(text json.RawMessage, at string, r *Request) *Error {
	var named struct {
		Name        *string         `json:"name"`
		Description *string         `json:"description"`
		Schema      json.RawMessage `json:"schema"`
		Strict      *bool           `json:"strict"` // either way a reply conforms, or is an error
	}
	if wrong := strictjson.Object(text, &named, at); wrong != nil {
		return &Error{wrong.Field, wrong.Message}
	}
	at += ".schema"
	switch {
	case !strings.HasPrefix(string(named.Schema), "{"):
		return &Error{at, at + " must be a JSON schema that is an object"}
	case len(named.Schema) > MaxSchemaBytes:
		return &Error{at, fmt.Sprintf("%s is %d bytes long and must be at most %d", at, len(named.Schema), MaxSchemaBytes)}
	}
	r.Schema = named.Schema
	return nil
}

func (b *body) streamOptions(r *Request) *Error {
	if !strictjson.Given(b.StreamOptions) {
		return nil
	}
	if !b.Stream {
		return &Error{"stream_options", "stream_options needs stream to be true"}
	}
	var options struct {
		IncludeUsage       bool  `json:"include_usage"`
		IncludeObfuscation *bool `json:"include_obfuscation"` // padding against those who measure packets: there is none
	}
	if wrong := strictjson.Object(b.StreamOptions, &options, "stream_options"); wrong != nil {
		return &Error{wrong.Field, wrong.Message}
	}
	if o := options.IncludeObfuscation; o != nil && *o {
		return &Error{"stream_options.include_obfuscation", "stream_options.include_obfuscation is not supported: leave it out"}
	}
	r.IncludeUsage = options.IncludeUsage
	return nil
}
