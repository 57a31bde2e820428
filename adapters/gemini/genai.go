package gemini

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"google.golang.org/genai"

	"teller/llm"
)

// genAI is the path through google.golang.org/genai.
type genAI struct {
	client   *genai.Client
	id       string
	thinking thinking
}

func newGenAI(client *http.Client, base, key, id string) (*genAI, error) {
	c, err := genai.NewClient(context.Background(), &genai.ClientConfig{
		APIKey:     key,
		Backend:    genai.BackendGeminiAPI,
		HTTPClient: client,
		// Set even when it is Google's own: the SDK would take another from the environment.
		HTTPOptions: genai.HTTPOptions{BaseURL: base},
	})
	return &genAI{client: c, id: id, thinking: thinkingOf(id)}, err
}

func (g *genAI) close() error { return nil }

func (g *genAI) version(ctx context.Context) (string, error) {
	m, err := g.client.Models.Get(ctx, g.id, nil)
	if err != nil {
		return "", err
	}
	return m.Name, nil
}

func (g *genAI) generate(ctx context.Context, req llm.Request, emit func(llm.Delta)) (reply, error) {
	cfg := &genai.GenerateContentConfig{
		ThinkingConfig:        g.thinking.config,
		AutomaticContinuation: genai.Ptr(false), // it would be a second call
	}
	if req.MaxTokens > 0 {
		cfg.MaxOutputTokens = g.thinking.bound(req.MaxTokens)
	}
	if req.Temperature != nil {
		cfg.Temperature = genai.Ptr(float32(*req.Temperature))
	}
	if req.TopP != nil {
		cfg.TopP = genai.Ptr(float32(*req.TopP))
	}
	if req.Seed != nil {
		cfg.Seed = genai.Ptr(seed(*req.Seed))
	}
	cfg.StopSequences = req.Stop
	constrain(cfg, req, g.thinking)
	contents := make([]*genai.Content, 0, len(req.Messages))
	for _, m := range req.Messages {
		part := []*genai.Part{{Text: m.Text}}
		switch m.Role {
		case llm.System:
			cfg.SystemInstruction = &genai.Content{Parts: part}
		case llm.Assistant:
			contents = append(contents, &genai.Content{Role: genai.RoleModel, Parts: part})
		default:
			contents = append(contents, &genai.Content{Role: genai.RoleUser, Parts: part})
		}
	}
	if emit == nil {
		resp, err := g.client.Models.GenerateContent(ctx, g.id, contents, cfg)
		if err != nil {
			return reply{}, err
		}
		return readGenAI(resp), nil
	}
	var out reply
	for resp, err := range g.client.Models.GenerateContentStream(ctx, g.id, contents, cfg) {
		if err != nil {
			return out, err
		}
		out.join(readGenAI(resp), emit)
	}
	return out, nil
}

// seed gives the API's 32 bits of a seed.
func seed(n int64) int32 {
	if n == int64(int32(n)) {
		return int32(n)
	}
	return int32(n ^ n>>32)
}

// join adds the next message of a stream.
func (r *reply) join(next reply, emit func(llm.Delta)) {
	r.text += next.text
	r.blocked = r.blocked || next.blocked
	r.finish = cmp.Or(next.finish, r.finish)
	r.served = cmp.Or(next.served, r.served)
	r.avgLogProb = cmp.Or(next.avgLogProb, r.avgLogProb)
	// Each message has the counts so far.
	r.promptTokens = cmp.Or(next.promptTokens, r.promptTokens)
	r.replyTokens = cmp.Or(next.replyTokens, r.replyTokens)
	r.thoughtTokens = cmp.Or(next.thoughtTokens, r.thoughtTokens)
	if next.text != "" {
		emit(llm.Delta{Text: next.text})
	}
}

func readGenAI(resp *genai.GenerateContentResponse) reply {
	out := reply{served: resp.ModelVersion, blocked: resp.PromptFeedback != nil && resp.PromptFeedback.BlockReason != ""}
	if u := resp.UsageMetadata; u != nil {
		out.promptTokens = int(u.PromptTokenCount) + int(u.ToolUsePromptTokenCount)
		out.replyTokens = int(u.CandidatesTokenCount)
		out.thoughtTokens = int(u.ThoughtsTokenCount)
	}
	if len(resp.Candidates) == 0 || resp.Candidates[0] == nil {
		return out
	}
	candidate := resp.Candidates[0]
	out.finish = string(candidate.FinishReason)
	out.avgLogProb = candidate.AvgLogprobs
	if candidate.Content != nil {
		var text strings.Builder
		for _, p := range candidate.Content.Parts {
			if p != nil && !p.Thought {
				text.WriteString(p.Text)
			}
		}
		out.text = text.String()
	}
	return out
}
