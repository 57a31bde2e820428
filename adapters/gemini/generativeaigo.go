package gemini

import (
	"context"
	"errors"
	"net/http"
	"reflect"

	"github.com/google/generative-ai-go/genai"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"teller/llm"
)

// generativeAIGo is the path through github.com/google/generative-ai-go, whose support has ended. It
// sends a dialogue by its streaming call only, and its types lack what the API gained since (the model's
// version, the tokens of thoughts, newer finish reasons): those are read from the body, see extras.
type generativeAIGo struct {
	client   *genai.Client
	id       string
	thinking thinking
}

func newGenerativeAIGo(client *http.Client, base, key, id string) (*generativeAIGo, error) {
	c, err := genai.NewClient(context.Background(),
		option.WithHTTPClient(client),
		// The SDK's gRPC client of cached contents, which is never called, asks for a credential of its own.
		option.WithAPIKey(key),
		option.WithEndpoint(base),
	)
	if err != nil {
		return nil, err
	}
	return &generativeAIGo{client: c, id: id, thinking: dynamicThinkingOf(id)}, closeCacheClient(c)
}

// closeCacheClient ends the gRPC connection that NewClient opens for cached contents: nothing here uses
// it, it dials on and on where gRPC is not let through, and the SDK's Close forgets it. The SDK has no
// further versions that could rename the field.
func closeCacheClient(c *genai.Client) error {
	field := reflect.ValueOf(c).Elem().FieldByName("cc")
	if !field.IsValid() || field.Kind() != reflect.Pointer {
		return nil
	}
	// Through its address, because reflect gives no methods of a private field.
	cache := reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem().Interface()
	if closer, ok := cache.(interface{ Close() error }); ok {
		return closer.Close()
	}
	return nil
}

func (g *generativeAIGo) close() error { return g.client.Close() }

func (g *generativeAIGo) version(ctx context.Context) (string, error) {
	info, err := g.client.GenerativeModel(g.id).Info(ctx)
	if err != nil {
		return "", err
	}
	return info.Name, nil
}

func (g *generativeAIGo) generate(ctx context.Context, req llm.Request, emit func(llm.Delta)) (reply, error) {
	model := g.client.GenerativeModel(g.id) // settings belong to the model, so each call has its own
	if req.MaxTokens > 0 {
		model.SetMaxOutputTokens(g.thinking.bound(req.MaxTokens))
	}
	if req.Temperature != nil {
		model.SetTemperature(float32(*req.Temperature))
	}
	if req.TopP != nil {
		model.SetTopP(float32(*req.TopP))
	}
	model.StopSequences = req.Stop // there is no field for a seed
	constrainOld(model, req, g.thinking)
	chat := model.StartChat()
	last := len(req.Messages) - 1
	for _, m := range req.Messages[:last] {
		part := []genai.Part{genai.Text(m.Text)}
		switch m.Role {
		case llm.System:
			model.SystemInstruction = &genai.Content{Parts: part}
		case llm.Assistant:
			chat.History = append(chat.History, &genai.Content{Role: "model", Parts: part})
		default:
			chat.History = append(chat.History, &genai.Content{Role: "user", Parts: part})
		}
	}
	stream := chat.SendMessageStream(ctx, genai.Text(req.Messages[last].Text))
	var out reply
	for {
		resp, err := stream.Next()
		if errors.Is(err, iterator.Done) {
			return out, nil
		}
		var blocked *genai.BlockedError
		if errors.As(err, &blocked) {
			out.blocked = blocked.PromptFeedback != nil
			out.add(blocked.Candidate, emit)
			return out, nil
		}
		if err != nil {
			return reply{}, err
		}
		// Every message has the counts so far, and the SDK's merged response keeps the first one's.
		if u := resp.UsageMetadata; u != nil {
			out.promptTokens, out.replyTokens = int(u.PromptTokenCount), int(u.CandidatesTokenCount)
		}
		if len(resp.Candidates) > 0 {
			out.add(resp.Candidates[0], emit)
		}
	}
}

// add appends a message of the stream.
func (r *reply) add(c *genai.Candidate, emit func(llm.Delta)) {
	if c == nil || c.Content == nil {
		return
	}
	piece := ""
	for _, part := range c.Content.Parts {
		if text, ok := part.(genai.Text); ok {
			piece += string(text)
		}
	}
	r.text += piece
	if emit != nil && piece != "" {
		emit(llm.Delta{Text: piece})
	}
}
