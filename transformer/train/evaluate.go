package train

import (
	"context"

	"teller/corpus"
	"teller/transformer"
)

// Score counts answers.
type Score struct{ Good, Total int }

// Failure is an answer with something wrong in it.
type Failure struct {
	Example  corpus.Example
	Answer   string
	Problems []string
}

// Evaluation is how well a model answers a split of the corpus.
type Evaluation struct {
	All      Score
	ByKind   map[corpus.Kind]Score
	Failures []Failure
}

// longestReply bounds a generated answer, in tokens. The corpus's answers stay below 120.
const longestReply = 160

// Evaluate lets a model answer each phrasing of a split greedily, and checks the answers as corpus.Example.Check does:
// all required facts, nothing forbidden, no invented figure. Slots are filled from seed.
func Evaluate(ctx context.Context, b *transformer.Bundle, c *corpus.Corpus, split corpus.Split, seed uint64) (Evaluation, error) {
	engine := transformer.NewEngine(b.Model, 1)
	out := Evaluation{ByKind: map[corpus.Kind]Score{}}
	for _, e := range c.Examples(split, seed) {
		answer, err := Answer(ctx, b, engine, e.Prompt())
		if err != nil {
			return out, err
		}
		score := out.ByKind[e.Kind]
		score.Total++
		if problems := e.Check(answer); len(problems) > 0 {
			out.Failures = append(out.Failures, Failure{e, answer, problems})
		} else {
			score.Good++
			out.All.Good++
		}
		out.All.Total++
		out.ByKind[e.Kind] = score
	}
	return out, nil
}

// Answer gives the model's greedy reply to a dialogue that ends with a user's message.
func Answer(ctx context.Context, b *transformer.Bundle, engine *transformer.Engine, dialogue []corpus.Message) (string, error) {
	msgs := make([]transformer.Message, len(dialogue))
	for i, m := range dialogue {
		msgs[i] = transformer.Message{Role: m.Role, Text: m.Text}
	}
	prompt, err := b.Tokenizer.EncodeDialogue(msgs)
	if err != nil {
		return "", err
	}
	result, err := engine.Generate(ctx, prompt, transformer.GenerateOptions{MaxTokens: longestReply}, nil)
	if err != nil {
		return "", err
	}
	ids := make([]int, len(result.Tokens))
	for i, t := range result.Tokens {
		ids[i] = t.ID
	}
	return b.Tokenizer.Decode(ids), nil
}
