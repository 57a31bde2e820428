package train

import (
	"context"

	"teller/corpus"
	"teller/transformer"
)

// longestReply bounds a generated answer, in tokens. The corpus's answers stay below 120.
const longestReply = 160

// student is a finished model that is being examined.
type student struct {
	*transformer.Bundle
	engine *transformer.Engine
}

func newStudent(b *transformer.Bundle) student { return student{b, transformer.NewEngine(b.Model, 1)} }

// answer gives the model's greedy reply to a dialogue that ends with a user's message, and its labels' log-probabilities.
func (s student) answer(ctx context.Context, dialogue []corpus.Message) (string, []float64, error) {
	prompt, err := s.Tokenizer.EncodeDialogue(messages(dialogue))
	if err != nil {
		return "", nil, err
	}
	result, err := s.engine.Generate(ctx, prompt, transformer.GenerateOptions{MaxTokens: longestReply}, nil)
	if err != nil {
		return "", nil, err
	}
	ids := make([]int, len(result.Tokens))
	for i, t := range result.Tokens {
		ids[i] = t.ID
	}
	return s.Tokenizer.Decode(ids), result.LabelLogProbs, nil
}

// labels gives the log-probabilities of a namespace's labels for a dialogue, not calibrated.
func (s student) labels(ctx context.Context, dialogue []corpus.Message, namespace string) ([]float64, error) {
	prompt, err := s.Tokenizer.EncodeDialogue(messages(dialogue))
	if err != nil {
		return nil, err
	}
	set, _ := s.Tokenizer.LabelSet(namespace)
	tokens := make([]int, len(set.Names))
	for i := range tokens {
		tokens[i] = set.From + i
	}
	return s.engine.ScoreNext(ctx, prompt, tokens)
}

func messages(dialogue []corpus.Message) []transformer.Message {
	out := make([]transformer.Message, len(dialogue))
	for i, m := range dialogue {
		out[i] = transformer.Message{Role: m.Role, Text: m.Text}
	}
	return out
}
