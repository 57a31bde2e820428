// Package transformer connects our own model, package teller/transformer, to the gateway: it serves
// llm.Model from weights in this process. It lays dialogues out, bounds them by the model's window and names
// failures; the engine does the rest.
package transformer

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"

	"teller/adapters/internal/upstream"
	"teller/llm"
	engine "teller/transformer"
)

// defaultMaxTokens bounds a reply when the request does not. The answers the model is trained on are
// a few sentences.
const defaultMaxTokens = 256

// topP leaves out the tail of unlikely tokens when a temperature is asked for: a small model spreads some
// probability over its whole vocabulary, and one token from there spoils a reply.
const topP = 0.95

// Model is one set of weights in this process. It is safe for concurrent use.
type Model struct {
	language
	generator generator
	engine    *engine.Engine // the same
	window    int            // tokens
}

var _ llm.Model = (*Model)(nil)

// generator is the engine, as far as this package needs it.
type generator interface {
	Generate(ctx context.Context, prompt []int, opts engine.GenerateOptions, onToken func(engine.Token)) (engine.Result, error)
}

// Complete answers from the weights, with each piece of the reply as soon as it is sure to stay. Temperature is 0 when the
// request has none: a small model is at its best when it says what it holds most likely. A dialogue that does not fit the
// window loses its oldest turns, which the completion counts.
func (m *Model) Complete(ctx context.Context, req llm.Request, emit func(llm.Delta)) (llm.Completion, error) {
	if err := upstream.Validate(req); err != nil {
		return llm.Completion{}, err
	}
	if err := unsupported(req); err != nil {
		return llm.Completion{}, err
	}
	if len(req.Choices) > 0 {
		out, err := m.choose(ctx, req)
		return emitWhole(out, err, emit)
	}
	opts := options(req)
	prompt, omitted, err := m.fit(req.Messages, m.promptLimit(opts.MaxTokens))
	if err != nil {
		return llm.Completion{}, classify(err)
	}
	said := newReply(req, m.text, emit)
	working, enough := context.WithCancel(ctx)
	defer enough()
	result, err := m.generator.Generate(working, prompt, opts, func(t engine.Token) {
		if working.Err() == nil && !said.add(t) {
			enough()
		}
	})
	// An end that was ours is none of the caller's.
	if err != nil && (ctx.Err() != nil || working.Err() == nil) {
		return llm.Completion{}, classify(err)
	}
	if err := said.end(); err != nil {
		return llm.Completion{}, err
	}
	out := m.completion(prompt, said, result)
	out.OmittedMessages = omitted
	return out, nil
}

// Check tells what would answer. The weights are in memory, so nothing can be down.
func (m *Model) Check(ctx context.Context) (llm.Status, error) {
	if err := ctx.Err(); err != nil {
		return llm.Status{}, classify(err)
	}
	return llm.Status{Version: m.version(), Device: m.engine.Device()}, nil
}

// promptLimit is how many tokens of the window the prompt may take. The reply has a quarter at most, so
// that a caller who asks for a very long reply does not lose the dialogue.
func (m *Model) promptLimit(maxTokens int) int {
	return m.window - min(maxTokens, m.window/4)
}

func options(req llm.Request) engine.GenerateOptions {
	opts := engine.GenerateOptions{MaxTokens: req.MaxTokens, Top: req.TopLogProbs}
	if opts.MaxTokens == 0 {
		opts.MaxTokens = defaultMaxTokens
	}
	if req.Temperature != nil && *req.Temperature > 0 {
		opts.Sampling = engine.Sampling{Temperature: *req.Temperature, TopP: topP, Seed: rand.Uint64()}
		if req.TopP != nil {
			opts.TopP = *req.TopP
		}
		if req.Seed != nil {
			opts.Seed = uint64(*req.Seed)
		}
	}
	return opts
}

func (m *Model) completion(prompt []int, said *reply, result engine.Result) llm.Completion {
	out := llm.Completion{
		Text:         string(said.text),
		FinishReason: llm.FinishLength,
		Usage:        llm.Usage{PromptTokens: len(prompt), CompletionTokens: len(result.Tokens)},
		Served:       m.version(),
		LogProbs:     said.allLogProbs(),
	}
	if said.stopped || result.Finish == engine.FinishEOS {
		out.FinishReason = llm.FinishStop
	}
	out.Confidence, out.NoConfidence = m.sureness(said, result)
	return out
}

// sureness is how sure the model is of what the question is about. Where it cannot say, it is how sure
// it is of the reply's tokens, which says little about whether the reply is right.
func (m *Model) sureness(said *reply, result engine.Result) (*float64, string) {
	if confidence, ok := m.confidence(result); ok {
		return upstream.Confidence(math.Log(confidence))
	}
	return said.confidence()
}

// classify names an error of the engine.
func classify(err error) *llm.Error {
	var window *engine.WindowError
	var named *llm.Error
	var device *engine.DeviceError
	switch {
	case errors.As(err, &named):
		return named
	case errors.As(err, &window):
		return &llm.Error{Code: llm.ContextTooLong, Message: "the dialogue does not fit the model's window", Cause: err}
	case errors.As(err, &device):
		return &llm.Error{Code: llm.Unavailable, Message: "the device that computed the reply failed; another one takes over", Cause: err}
	case errors.Is(err, context.Canceled):
		return &llm.Error{Code: llm.Canceled, Message: "the request was canceled", Cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &llm.Error{Code: llm.Timeout, Message: "the model did not answer in time", Cause: err}
	default:
		return &llm.Error{Code: llm.Internal, Message: "the model failed", Cause: err}
	}
}
