package transformer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Score gives the exact log-probability, natural logarithm, of each choice as the continuation of prompt: the sum over its tokens
// of log softmax(logits) at them. What choices have in common with prompt and with one another runs once. A choice that is to
// be the whole reply ends with the end token, which is the caller's to add; an empty choice has log-probability 0. Before a reply's text stands
// its label: see Bundle.ScoreTexts. Errors are those of Generate; a *WindowError also when a choice does not fit after the prompt.
func (e *Engine) Score(ctx context.Context, prompt []int, choices [][]int) ([]float64, error) {
	for _, choice := range choices {
		if total, window := len(prompt)+len(choice)-1, e.model.config.MaxPositionEmbeddings; total > window { // the last token need not run
			return nil, &WindowError{Tokens: total, Window: window}
		}
		for _, id := range choice {
			if id < 0 || id >= e.model.config.VocabSize {
				return nil, fmt.Errorf("token %d is outside the vocabulary of %d", id, e.model.config.VocabSize)
			}
		}
	}
	s, err := e.acquire(ctx, prompt)
	if err != nil {
		return nil, err
	}
	defer e.release(s)
	return s.score(ctx, prompt, choices)
}

func (s *slot) score(ctx context.Context, prompt []int, choices [][]int) ([]float64, error) {
	s.state.Reset()
	first, err := s.state.Append(ctx, prompt)
	if err != nil {
		return nil, err
	}
	// rows[d] is the log-probabilities of all tokens after the prompt and the first d tokens of the choice at hand.
	vocab := len(first)
	rows := [][]float64{make([]float64, vocab)}
	if err := logSoftmax(rows[0], first); err != nil {
		return nil, err
	}
	// In lexical order neighbours share the longest beginnings.
	order := make([]int, len(choices))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(slices.Compare(choices[a], choices[b]), cmp.Compare(a, b)) })
	out := make([]float64, len(choices))
	var have []int // the choice whose beginning the state holds, without its last token
	for _, i := range order {
		choice := choices[i]
		if len(choice) == 0 {
			continue
		}
		body := choice[:len(choice)-1]
		shared := 0
		for shared < min(len(have), len(body)) && have[shared] == body[shared] {
			shared++
		}
		s.state.Truncate(len(prompt) + shared)
		if rest := body[shared:]; len(rest) > 0 {
			var bad error
			err := s.state.AppendEach(ctx, rest, func(k int, logits []float32) {
				d := shared + k + 1
				if d == len(rows) {
					rows = append(rows, make([]float64, vocab))
				}
				bad = errors.Join(bad, logSoftmax(rows[d], logits))
			})
			if err = errors.Join(err, bad); err != nil {
				return nil, err
			}
		}
		have = body
		for d, id := range choice {
			out[i] += rows[d][id]
		}
	}
	return out, nil
}

// ScoreNext gives the log-probability of each of tokens as the next one after prompt, under the softmax over these tokens alone.
// Errors are those of Generate.
func (e *Engine) ScoreNext(ctx context.Context, prompt, tokens []int) ([]float64, error) {
	if len(tokens) == 0 {
		return nil, ErrNoTokens
	}
	s, err := e.acquire(ctx, prompt)
	if err != nil {
		return nil, err
	}
	defer e.release(s)
	s.state.Reset()
	logits, err := s.state.Append(ctx, prompt)
	if err != nil {
		return nil, err
	}
	of := make([]float32, len(tokens))
	for i, id := range tokens {
		if id < 0 || id >= len(logits) {
			return nil, fmt.Errorf("token %d is outside the vocabulary of %d", id, len(logits))
		}
		of[i] = logits[id]
	}
	out := make([]float64, len(tokens))
	return out, logSoftmax(out, of)
}

// logSoftmax sets out to the logarithm of softmax(logits).
func logSoftmax(out []float64, logits []float32) error {
	top := slices.Max(logits)
	var sum float64
	for _, l := range logits {
		sum += math.Exp(float64(l) - float64(top))
	}
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return errNotFinite
	}
	norm := float64(top) + math.Log(sum)
	for i, l := range logits {
		out[i] = float64(l) - norm
	}
	return nil
}
