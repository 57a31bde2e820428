package geminiserver

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

type wirePart struct {
	Text string `json:"text"`
}

type wireContent struct {
	Role  string     `json:"role,omitempty"`
	Parts []wirePart `json:"parts,omitempty"`
}

func (c wireContent) text() string {
	var b strings.Builder
	for _, p := range c.Parts {
		b.WriteString(p.Text)
	}
	return b.String()
}

// parse reads the request's JSON into call.
func parse(call *fakeserver.Request) error {
	var in struct {
		Contents          []wireContent `json:"contents"`
		SystemInstruction *wireContent  `json:"systemInstruction"`
		GenerationConfig  struct {
			MaxOutputTokens *int     `json:"maxOutputTokens"`
			Temperature     *float64 `json:"temperature"`
			TopP            *float64 `json:"topP"`
			Seed            *int64   `json:"seed"`
			StopSequences   []string `json:"stopSequences"`

			ResponseMIMEType   string          `json:"responseMimeType"`
			ResponseJSONSchema json.RawMessage `json:"responseJsonSchema"`
			ResponseSchema     *struct {
				Type any      `json:"type"` // its name, or its number in Google's proto
				Enum []string `json:"enum"`
			} `json:"responseSchema"`
		} `json:"generationConfig"`
	}
	if err := json.Unmarshal(call.Body, &in); err != nil {
		return errors.New("Invalid JSON payload received.") //nolint:staticcheck // Google's own words
	}
	call.MaxTokens, call.Temperature = in.GenerationConfig.MaxOutputTokens, in.GenerationConfig.Temperature
	call.TopP, call.Seed, call.Stop = in.GenerationConfig.TopP, in.GenerationConfig.Seed, in.GenerationConfig.StopSequences
	switch config := in.GenerationConfig; config.ResponseMIMEType {
	case "":
	case "text/x.enum":
		if config.ResponseSchema == nil || len(config.ResponseSchema.Enum) == 0 || (config.ResponseSchema.Type != "STRING" && config.ResponseSchema.Type != 1.0) {
			return errors.New("Response MIME type text/x.enum needs a schema of type STRING with an enum.") //nolint:staticcheck // Google's own words
		}
		call.Enum = config.ResponseSchema.Enum
	case "application/json":
		call.Schema = config.ResponseJSONSchema
		if len(call.Schema) == 0 {
			call.Schema = llm.AnyObject()
		}
	default:
		return errors.New("Unsupported response MIME type.") //nolint:staticcheck // Google's own words
	}
	if in.SystemInstruction != nil {
		call.Messages = append(call.Messages, llm.Message{Role: llm.System, Text: in.SystemInstruction.text()})
	}
	for _, c := range in.Contents {
		role := llm.User
		switch c.Role {
		case "user":
		case "model":
			role = llm.Assistant
		default:
			return errors.New("Please use a valid role: user, model.") //nolint:staticcheck // Google's own words
		}
		call.Messages = append(call.Messages, llm.Message{Role: role, Text: c.text()})
	}
	if len(in.Contents) == 0 {
		return errors.New("GenerateContentRequest.contents: contents is not specified")
	}
	return nil
}

// enum is how an enumeration goes out: JSON proto allows its name and its number.
type enum func(name string) any

func names(name string) any { return name }

// numbers are the values of Candidate.FinishReason and PromptFeedback.BlockReason in Google's
// generative_service.proto.
func numbers(name string) any {
	switch name {
	case "STOP":
		return 1
	case "MAX_TOKENS":
		return 2
	case "SAFETY":
		return 3
	case "PROHIBITED_CONTENT": // of the block reason
		return 4
	default:
		return 0
	}
}

func finishName(r llm.FinishReason) string {
	switch r {
	case llm.FinishLength:
		return "MAX_TOKENS"
	case llm.FinishContentFilter:
		return "SAFETY"
	default:
		return "STOP"
	}
}

type wireCandidate struct {
	Content      *wireContent `json:"content,omitempty"`
	FinishReason any          `json:"finishReason,omitempty"`
	Index        int          `json:"index"`
	AvgLogprobs  *float64     `json:"avgLogprobs,omitempty"`
}

type wireUsage struct {
	PromptTokenCount     int `json:"promptTokenCount"`
	CandidatesTokenCount int `json:"candidatesTokenCount,omitempty"`
	ThoughtsTokenCount   int `json:"thoughtsTokenCount,omitempty"`
	TotalTokenCount      int `json:"totalTokenCount"`
}

type wireResponse struct {
	Candidates     []wireCandidate `json:"candidates,omitempty"`
	PromptFeedback map[string]any  `json:"promptFeedback,omitempty"`
	UsageMetadata  wireUsage       `json:"usageMetadata"`
	ModelVersion   string          `json:"modelVersion,omitempty"`
	ResponseID     string          `json:"responseId"`
}

// response puts text, all of reply's or a part of it, into one message.
func response(b fakeserver.Behaviour, reply fakeserver.Reply, text string, last bool, enums enum) wireResponse {
	completion := len(strings.Fields(text))
	if last {
		completion = reply.Usage.CompletionTokens
	}
	out := wireResponse{
		ModelVersion: reply.Model,
		ResponseID:   fmt.Sprintf("fake-%d", time.Now().UnixNano()),
		UsageMetadata: wireUsage{
			PromptTokenCount: reply.Usage.PromptTokens, CandidatesTokenCount: completion, ThoughtsTokenCount: b.ThinkingTokens,
			TotalTokenCount: reply.Usage.PromptTokens + completion + b.ThinkingTokens,
		},
	}
	switch {
	case b.Blocked:
		out.PromptFeedback = map[string]any{"blockReason": enums("PROHIBITED_CONTENT")}
		out.UsageMetadata = wireUsage{PromptTokenCount: reply.Usage.PromptTokens, TotalTokenCount: reply.Usage.PromptTokens}
		return out
	case b.NoChoice:
		return out
	}
	candidate := wireCandidate{Content: &wireContent{Role: "model"}}
	if text != "" {
		candidate.Content.Parts = []wirePart{{Text: text}}
	}
	if last {
		candidate.FinishReason = enums(finishName(reply.Finish))
		candidate.AvgLogprobs = b.LogProb
		if reply.Finish == llm.FinishContentFilter && text == "" {
			candidate.Content = nil
		}
	}
	out.Candidates = []wireCandidate{candidate}
	return out
}

type wireError struct {
	Code    int              `json:"code"`
	Message string           `json:"message"`
	Status  string           `json:"status"`
	Details []map[string]any `json:"details,omitempty"`
}

func writeFailure(w http.ResponseWriter, b fakeserver.Behaviour, call fakeserver.Request, stream bool) {
	e := failure(b, call)
	e.Message = b.Sentence(e.Message)
	if b.RetryAfter > 0 {
		if b.RetryAfterDate {
			b.SetRetryAfter(w.Header())
		} else {
			e.Details = append(e.Details, map[string]any{
				"@type":      "type.googleapis.com/google.rpc.RetryInfo",
				"retryDelay": fmt.Sprintf("%gs", b.RetryAfter.Seconds()),
			})
		}
	}
	if stream { // an error of a JSON stream is the stream's one element
		fakeserver.WriteJSON(w, e.Code, []any{map[string]any{"error": e}})
		return
	}
	fakeserver.WriteJSON(w, e.Code, map[string]any{"error": e})
}

func failure(b fakeserver.Behaviour, call fakeserver.Request) wireError {
	switch b.Failure {
	case fakeserver.InvalidRequest:
		return wireError{Code: 400, Status: "INVALID_ARGUMENT", Message: "Request contains an invalid argument."}
	case fakeserver.ContextTooLong:
		return wireError{Code: 400, Status: "INVALID_ARGUMENT", Message: fmt.Sprintf(
			"The input token count (%d) exceeds the maximum number of tokens allowed (4096).", call.PromptTokens())}
	case fakeserver.Unauthorized: // the Gemini API has 400 for a wrong key
		return wireError{
			Code: 400, Status: "INVALID_ARGUMENT", Message: "API key not valid. Please pass a valid API key.",
			Details: []map[string]any{{
				"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com",
				"metadata": map[string]string{"service": "generativelanguage.googleapis.com"},
			}},
		}
	case fakeserver.Forbidden:
		return wireError{Code: 403, Status: "PERMISSION_DENIED", Message: "The caller does not have permission."}
	case fakeserver.ModelNotFound:
		return wireError{Code: 404, Status: "NOT_FOUND", Message: fmt.Sprintf(
			"models/%s is not found for API version v1beta, or is not supported for generateContent.", call.Model)}
	case fakeserver.RateLimited, fakeserver.InsufficientQuota:
		return wireError{Code: 429, Status: "RESOURCE_EXHAUSTED", Message: "You exceeded your current quota, please check your plan and billing details."}
	case fakeserver.Unavailable:
		return wireError{Code: 503, Status: "UNAVAILABLE", Message: "The model is overloaded. Please try again later."}
	case fakeserver.GatewayTimeout:
		return wireError{Code: 504, Status: "DEADLINE_EXCEEDED", Message: "The request timed out. Please try again."}
	default:
		return wireError{Code: 500, Status: "INTERNAL", Message: "An internal error has occurred."}
	}
}
