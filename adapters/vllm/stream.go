package vllm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/sashabaranov/go-openai"

	"teller/adapters/internal/upstream"
	"teller/llm"
)

// stream gives each piece of the reply as it arrives.
func (m *Model) stream(ctx context.Context, req llm.Request, emit func(llm.Delta)) (llm.Completion, error) {
	ctx, call := upstream.BeginStream(ctx)
	defer call.End()
	wire := wireRequest(m.id, req)
	wire.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	got := assembly{logProbs: req.LogProbs}
	chunks, err := m.client.CreateChatCompletionStream(ctx, wire)
	for err == nil {
		var chunk openai.ChatCompletionStreamResponse
		if chunk, err = chunks.Recv(); err == nil {
			got.add(chunk, emit)
		}
	}
	call.Settle()
	if failed := streamFailure(call, err, got.ended); failed != nil {
		return llm.Completion{}, failed
	}
	return completion(call, got.response(), req.LogProbs)
}

// assembly puts the chunks of a stream together.
type assembly struct {
	logProbs bool // the pieces carry them
	text     strings.Builder
	refusal  bool
	any      bool // there was a choice
	finish   openai.FinishReason
	probs    []openai.LogProb
	told     int // of probs, those that went out with a piece
	model    string
	usage    openai.Usage
	ended    bool
}

func (a *assembly) add(chunk openai.ChatCompletionStreamResponse, emit func(llm.Delta)) {
	if chunk.Model != "" {
		a.model = chunk.Model
	}
	if chunk.Usage != nil { // of a last chunk without choices
		a.usage = *chunk.Usage
	}
	for _, choice := range chunk.Choices {
		if choice.Index != 0 {
			continue // one was asked for
		}
		a.any = true
		a.refusal = a.refusal || choice.Delta.Refusal != ""
		if choice.FinishReason != "" {
			a.finish, a.ended = choice.FinishReason, true
		}
		if choice.Logprobs != nil {
			for _, token := range choice.Logprobs.Content {
				a.probs = append(a.probs, logProb(token))
			}
		}
		if choice.Delta.Content == "" {
			continue // a token that is part of a character waits for the rest of it
		}
		a.text.WriteString(choice.Delta.Content)
		piece := llm.Delta{Text: choice.Delta.Content}
		if a.logProbs {
			for _, token := range a.probs[a.told:] {
				piece.LogProbs = append(piece.LogProbs, tokenLogProb(token))
			}
			a.told = len(a.probs)
		}
		emit(piece)
	}
}

func logProb(token openai.ChatCompletionTokenLogprob) openai.LogProb {
	out := openai.LogProb{Token: token.Token, LogProb: token.Logprob}
	for _, other := range token.TopLogprobs {
		out.TopLogProbs = append(out.TopLogProbs, openai.TopLogProbs{Token: other.Token, LogProb: other.Logprob})
	}
	return out
}

// response is what the server would have sent at once.
func (a *assembly) response() openai.ChatCompletionResponse {
	out := openai.ChatCompletionResponse{Model: a.model, Usage: a.usage}
	if !a.any {
		return out
	}
	choice := openai.ChatCompletionChoice{
		Message:      openai.ChatCompletionMessage{Content: a.text.String()},
		FinishReason: a.finish,
		LogProbs:     &openai.LogProbs{Content: a.probs},
	}
	if a.refusal {
		choice.Message.Refusal = "refused"
	}
	out.Choices = []openai.ChatCompletionChoice{choice}
	return out
}

// streamFailure is failure for a stream. ended tells that the reply came to an end of its own.
func streamFailure(call *upstream.Call, sdk error, ended bool) error {
	if failed := call.Failure(who, sdk); failed != nil {
		return failed
	}
	if !call.OK() {
		return failure(call, sdk)
	}
	data, events, done := lastData(call.Body())
	if rejected := rejection(data); rejected.any {
		// A stream that breaks down ends with an error inside a response of status 200. A gateway's failure can be all of it.
		return call.Classify(who, rejected.code(rejected.status), rejected.label())
	}
	switch {
	case !errors.Is(sdk, io.EOF), !events:
		return call.Classify(who, llm.BadReply, "")
	case !ended && !done:
		return &llm.Error{Code: llm.Unavailable, Message: "the connection to " + who + " broke"}
	default:
		return nil
	}
}

// lastData gives the data of a stream's last event before [DONE], whether there are events at all, and whether [DONE] came. A
// body without events is given as it is.
func lastData(body []byte) (data []byte, events, done bool) {
	for rest := body; len(rest) > 0; {
		at := bytes.LastIndexByte(rest, '\n')
		line, isData := bytes.CutPrefix(rest[at+1:], []byte("data:"))
		rest = rest[:max(at, 0)]
		if !isData {
			continue
		}
		events = true
		if line = bytes.TrimSpace(line); string(line) != "[DONE]" {
			return line, true, done
		}
		done = true
	}
	if events {
		return nil, true, done
	}
	return body, false, false
}
