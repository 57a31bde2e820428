package openaiserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"teller/adapters/adaptertest/fakeserver"
	"teller/llm"
)

// parse reads the request's JSON into call.
func parse(call *fakeserver.Request) error {
	var in struct {
		Model    string `json:"model"`
		Messages []struct {
			Role    string  `json:"role"`
			Content *string `json:"content"`
		} `json:"messages"`
		MaxTokens           *int     `json:"max_tokens"`
		MaxCompletionTokens *int     `json:"max_completion_tokens"`
		Temperature         *float64 `json:"temperature"`
		TopP                *float64 `json:"top_p"`
		Seed                *int64   `json:"seed"`
		Stop                []string `json:"stop"`
		LogProbs            bool     `json:"logprobs"`
		TopLogProbs         int      `json:"top_logprobs"`
		Stream              bool     `json:"stream"`
		StreamOptions       struct {
			IncludeUsage bool `json:"include_usage"`
		} `json:"stream_options"`
		ResponseFormat *struct {
			Type       string `json:"type"`
			JSONSchema struct {
				Name   string          `json:"name"`
				Schema json.RawMessage `json:"schema"`
			} `json:"json_schema"`
		} `json:"response_format"`
	}
	if err := json.Unmarshal(call.Body, &in); err != nil {
		return errors.New("the body is not a chat completion request")
	}
	call.Model, call.Temperature, call.LogProbs = in.Model, in.Temperature, in.LogProbs
	call.TopP, call.Seed, call.Stop, call.TopLogProbs = in.TopP, in.Seed, in.Stop, in.TopLogProbs
	call.Streams, call.IncludeUsage = in.Stream, in.StreamOptions.IncludeUsage
	call.MaxTokens = in.MaxTokens
	if in.MaxCompletionTokens != nil {
		call.MaxTokens = in.MaxCompletionTokens
	}
	switch format := in.ResponseFormat; {
	case format == nil:
	case format.Type == "json_object":
		call.Schema = llm.AnyObject()
	default:
		if format.Type != "json_schema" || format.JSONSchema.Name == "" || len(format.JSONSchema.Schema) == 0 {
			return errors.New("response_format is not a json_schema with a name and a schema")
		}
		call.Schema = format.JSONSchema.Schema
	}
	for _, m := range in.Messages {
		if m.Content == nil {
			return errors.New("a message has no content")
		}
		call.Messages = append(call.Messages, llm.Message{Role: llm.Role(m.Role), Text: *m.Content})
	}
	switch {
	case len(in.Messages) == 0:
		return errors.New("messages is empty")
	case call.MaxTokens != nil && *call.MaxTokens < 1:
		return errors.New("max_tokens must be at least 1")
	}
	return nil
}

type wireMessage struct {
	Role    string  `json:"role"`
	Content *string `json:"content"`
}

type wireLogProb struct {
	Token       string        `json:"token"`
	LogProb     float64       `json:"logprob"`
	TopLogProbs []wireLogProb `json:"top_logprobs"`
}

type wireLogProbs struct {
	Content []wireLogProb `json:"content"`
}

type wireChoice struct {
	Index        int           `json:"index"`
	Message      wireMessage   `json:"message"`
	LogProbs     *wireLogProbs `json:"logprobs"`
	FinishReason string        `json:"finish_reason"`
}

type wireUsage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

type wireCompletion struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"`
	Model   string       `json:"model"`
	Choices []wireChoice `json:"choices"`
	Usage   wireUsage    `json:"usage"`
}

func completion(b fakeserver.Behaviour, call fakeserver.Request, now time.Time) wireCompletion {
	reply := b.Compose(call)
	out := wireCompletion{
		ID: fmt.Sprintf("chatcmpl-%d", now.UnixNano()), Object: "chat.completion", Created: now.Unix(), Model: reply.Model,
		Usage: wireUsage{
			PromptTokens: reply.Usage.PromptTokens, CompletionTokens: reply.Usage.CompletionTokens,
			TotalTokens: reply.Usage.PromptTokens + reply.Usage.CompletionTokens,
		},
		Choices: []wireChoice{},
	}
	if b.NoChoice {
		return out
	}
	choice := wireChoice{Message: wireMessage{Role: "assistant"}, FinishReason: string(reply.Finish)}
	if reply.Text != "" || b.Empty {
		choice.Message.Content = &reply.Text
	}
	if b.LogProb != nil && call.LogProbs {
		choice.LogProbs = &wireLogProbs{}
		for _, word := range fakeserver.Tokens(reply.Text) {
			token := wireLogProb{Token: word, LogProb: *b.LogProb, TopLogProbs: []wireLogProb{}}
			for i := range call.TopLogProbs { // the word itself, then worse ones
				token.TopLogProbs = append(token.TopLogProbs, wireLogProb{Token: word + strings.Repeat("~", i), LogProb: *b.LogProb - float64(i)})
			}
			choice.LogProbs.Content = append(choice.LogProbs.Content, token)
		}
	}
	out.Choices = append(out.Choices, choice)
	return out
}

func modelList(ids []string) any {
	type model struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		OwnedBy string `json:"owned_by"`
	}
	data := make([]model, 0, len(ids))
	for _, id := range ids {
		data = append(data, model{ID: id, Object: "model", OwnedBy: "vllm"})
	}
	return map[string]any{"object": "list", "data": data}
}

type wireError struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    any     `json:"code"` // vLLM: the status; OpenAI: a word
}

func writeError(w http.ResponseWriter, status int, e wireError) {
	if e.Code == nil {
		e.Code = status
	}
	fakeserver.WriteJSON(w, status, map[string]any{"error": e})
}

func writeFailure(w http.ResponseWriter, b fakeserver.Behaviour, call fakeserver.Request) {
	status, e := failure(b, call)
	b.SetRetryAfter(w.Header())
	e.Message = b.Sentence(e.Message)
	writeError(w, status, e)
}

func failure(b fakeserver.Behaviour, call fakeserver.Request) (int, wireError) {
	switch b.Failure {
	case fakeserver.InvalidRequest:
		return http.StatusBadRequest, wireError{Message: "The request is not valid.", Type: "BadRequestError"}
	case fakeserver.ContextTooLong:
		return http.StatusBadRequest, wireError{Type: "BadRequestError", Message: fmt.Sprintf(
			"This model's maximum context length is 4096 tokens. However, your request has %d input tokens. Please reduce the length of the input messages.",
			call.PromptTokens())}
	case fakeserver.Unauthorized:
		return http.StatusUnauthorized, wireError{Message: "Unauthorized", Type: "AuthenticationError"}
	case fakeserver.Forbidden:
		return http.StatusForbidden, wireError{Message: "Forbidden", Type: "PermissionDeniedError"}
	case fakeserver.ModelNotFound:
		return http.StatusNotFound, wireError{Message: "The model `" + call.Model + "` does not exist.", Type: "NotFoundError"}
	case fakeserver.RateLimited:
		return http.StatusTooManyRequests, wireError{Message: "Rate limit reached.", Type: "requests", Code: "rate_limit_exceeded"}
	case fakeserver.InsufficientQuota:
		return http.StatusTooManyRequests, wireError{
			Message: "You exceeded your current quota, please check your plan and billing details.",
			Type:    "insufficient_quota", Code: "insufficient_quota",
		}
	case fakeserver.Unavailable:
		return http.StatusServiceUnavailable, wireError{Message: "The server is overloaded.", Type: "ServiceUnavailableError"}
	case fakeserver.GatewayTimeout:
		return http.StatusGatewayTimeout, wireError{Message: "The upstream timed out.", Type: "GatewayTimeoutError"}
	default:
		return http.StatusInternalServerError, wireError{Message: "Internal server error", Type: "InternalServerError"}
	}
}
