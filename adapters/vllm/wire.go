package vllm

import (
	"math"

	"github.com/sashabaranov/go-openai"

	"teller/adapters/internal/upstream"
	"teller/llm"
)

func wireRequest(id string, req llm.Request) openai.ChatCompletionRequest {
	out := openai.ChatCompletionRequest{
		Model: id,
		// Deprecated by OpenAI for max_completion_tokens, but what every server of this protocol knows.
		MaxTokens: req.MaxTokens,
		LogProbs:  true,
		Messages:  make([]openai.ChatCompletionMessage, 0, len(req.Messages)),
	}
	if req.Temperature != nil {
		out.Temperature = float32(*req.Temperature)
	}
	if req.TopP != nil {
		out.TopP = max(float32(*req.TopP), math.SmallestNonzeroFloat32) // 0 would be left out
	}
	if req.Seed != nil {
		seed := int(*req.Seed)
		out.Seed = &seed
	}
	out.Stop = req.Stop
	out.TopLogProbs = req.TopLogProbs
	switch {
	case llm.IsAnyObject(req.Schema):
		out.ResponseFormat = &openai.ChatCompletionResponseFormat{Type: openai.ChatCompletionResponseFormatTypeJSONObject}
	case len(req.Schema) > 0:
		out.ResponseFormat = schemaFormat("reply", req.Schema)
	}
	for _, m := range req.Messages {
		out.Messages = append(out.Messages, openai.ChatCompletionMessage{Role: string(m.Role), Content: m.Text})
	}
	return out
}

// completion reads a reply that arrived whole, with its tokens' log-probabilities where they were asked for.
func completion(call *upstream.Call, resp openai.ChatCompletionResponse, logProbs bool) (llm.Completion, error) {
	if len(resp.Choices) == 0 {
		if rejected := rejection(call.Body()); rejected.any {
			// Gateways send their own failures as a reply of status 200.
			return llm.Completion{}, call.Classify(who, rejected.code(rejected.status), rejected.label())
		}
		return llm.Completion{}, call.Classify(who, llm.EmptyReply, "")
	}
	choice := resp.Choices[0]
	out := llm.Completion{
		Text:   choice.Message.Content,
		Served: resp.Model,
		Usage: llm.Usage{
			PromptTokens:     max(resp.Usage.PromptTokens, 0),
			CompletionTokens: max(resp.Usage.CompletionTokens, 0),
		},
	}
	switch choice.FinishReason {
	case openai.FinishReasonLength:
		out.FinishReason = llm.FinishLength
	case openai.FinishReasonContentFilter:
		out.FinishReason = llm.FinishContentFilter
	default:
		// "stop", the reasons that servers add for an end of their own (eos, stop_sequence), and tool calls,
		// which were not offered: with text present, the model ended its reply.
		out.FinishReason = llm.FinishStop
	}
	if out.Text == "" {
		if out.FinishReason == llm.FinishContentFilter || choice.Message.Refusal != "" {
			return llm.Completion{}, call.Classify(who, llm.Refused, "")
		}
		return llm.Completion{}, call.Classify(who, llm.EmptyReply, "")
	}
	out.Confidence, out.NoConfidence = confidence(choice.LogProbs)
	if logProbs && choice.LogProbs != nil {
		for _, token := range choice.LogProbs.Content {
			out.LogProbs = append(out.LogProbs, tokenLogProb(token))
		}
	}
	return out, nil
}

func tokenLogProb(token openai.LogProb) llm.TokenLogProb {
	out := llm.TokenLogProb{Token: token.Token, LogProb: token.LogProb}
	for _, other := range token.TopLogProbs {
		out.Top = append(out.Top, llm.TokenLogProb{Token: other.Token, LogProb: other.LogProb})
	}
	return out
}

func confidence(probs *openai.LogProbs) (value *float64, reason string) {
	if probs == nil || len(probs.Content) == 0 {
		return nil, "the server sent no log-probabilities"
	}
	sum := 0.0
	for _, token := range probs.Content {
		sum += token.LogProb
	}
	return upstream.Confidence(sum / float64(len(probs.Content)))
}
