// Package vllm reaches a model on any server that speaks OpenAI's chat completions, vLLM first of
// all, through github.com/sashabaranov/go-openai. It asks once per call and classifies every failure;
// it never retries.
package vllm

import (
	"context"
	"net/http"

	"github.com/sashabaranov/go-openai"

	"teller/adapters/internal/upstream"
	"teller/config"
	"teller/llm"
)

const who = "the vLLM server"

// Model is one model id on one server. It is safe for concurrent use.
type Model struct {
	id     string
	window int // in tokens; 0: not known
	http   *http.Client
	client *openai.Client
	// unusable is why the configuration reaches no server; nil when it does.
	unusable *llm.Error
}

var _ llm.Model = (*Model)(nil)

// New makes the model of cfg (BaseURL, Model, APIKey). It always makes one: where the configuration
// lacks something, every call fails with NotConfigured and names the variable.
func New(cfg config.Model) *Model {
	return newModel(cfg, upstream.NewClient(nil))
}

func newModel(cfg config.Model, client *http.Client) *Model {
	m := &Model{id: cfg.Model, window: cfg.ContextTokens, http: client}
	base, unusable := check(cfg)
	if unusable != nil {
		m.unusable = unusable
		return m
	}
	settings := openai.DefaultConfig(cfg.APIKey)
	settings.BaseURL = base
	settings.HTTPClient = doer{client}
	settings.EmptyMessagesLimit = upstream.MaxStream // servers and proxies keep a stream alive with comments; the bytes are bounded
	m.client = openai.NewClientWithConfig(settings)
	return m
}

// check gives the base URL, which ends in /v1 unless cfg has a path of its own.
func check(cfg config.Model) (base string, unusable *llm.Error) {
	missing := func(message string) *llm.Error { return &llm.Error{Code: llm.NotConfigured, Message: message} }
	switch {
	case cfg.BaseURL == "":
		return "", missing("VLLM_BASE_URL is not set")
	case cfg.Model == "":
		return "", missing("VLLM_MODEL is not set")
	case !upstream.HeaderSafe(cfg.APIKey):
		return "", missing("VLLM_API_KEY holds a character that no HTTP header can hold")
	}
	if openai.NewReasoningValidator().Validate(wireRequest(cfg.Model, llm.Request{Options: llm.Options{MaxTokens: 1}})) != nil {
		// go-openai goes by the id's first letters, and would refuse each call.
		return "", missing("VLLM_MODEL is the id of an OpenAI reasoning model, which takes neither max_tokens nor log-probabilities")
	}
	u, ok := upstream.BaseURL(cfg.BaseURL)
	if !ok {
		return "", missing("VLLM_BASE_URL is not an http or https address")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1"
	}
	return u.String(), nil
}

// Close frees the idle connections.
func (m *Model) Close() error {
	m.http.CloseIdleConnections()
	return nil
}

// Complete asks the server once. The reply's Confidence needs log-probabilities, which are asked for.
func (m *Model) Complete(ctx context.Context, req llm.Request, emit func(llm.Delta)) (llm.Completion, error) {
	if m.unusable != nil {
		return llm.Completion{}, m.unusable
	}
	if err := upstream.Validate(req); err != nil {
		return llm.Completion{}, err
	}
	req, omitted := upstream.Fit(req, m.window)
	out, err := m.answer(ctx, req, emit)
	if err == nil {
		out.OmittedMessages = omitted
	}
	return out, err
}

func (m *Model) answer(ctx context.Context, req llm.Request, emit func(llm.Delta)) (llm.Completion, error) {
	if len(req.Choices) > 0 {
		out, err := m.choose(ctx, req)
		if err == nil && emit != nil {
			emit(llm.Delta{Text: out.Text})
		}
		return out, err
	}
	ask := m.ask
	if emit != nil {
		ask = func(ctx context.Context, req llm.Request) (llm.Completion, error) { return m.stream(ctx, req, emit) }
	}
	out, err := ask(withTemperature(ctx, req.Temperature), req)
	if err == nil {
		err = upstream.CheckSchema(who, req, out)
	}
	return out, err
}

// ask waits for the whole reply.
func (m *Model) ask(ctx context.Context, req llm.Request) (llm.Completion, error) {
	ctx, call := upstream.Begin(ctx)
	defer call.End()
	resp, err := m.client.CreateChatCompletion(ctx, wireRequest(m.id, req))
	if failed := failure(call, err); failed != nil {
		return llm.Completion{}, failed
	}
	return completion(call, resp, req.LogProbs)
}

// Check asks for the server's list of models, which costs no token, and looks for ours. vLLM lists LoRA
// adapters there beside their base model.
func (m *Model) Check(ctx context.Context) (llm.Status, error) {
	if m.unusable != nil {
		return llm.Status{}, m.unusable
	}
	ctx, call := upstream.Begin(ctx)
	defer call.End()
	list, err := m.client.ListModels(ctx)
	if failed := failure(call, err); failed != nil {
		return llm.Status{}, failed
	}
	for _, served := range list.Models {
		if served.ID == m.id {
			return llm.Status{Version: m.id, Device: "remote"}, nil
		}
	}
	return llm.Status{}, call.Classify(who, llm.NotFound, "")
}
