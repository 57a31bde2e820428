package transformer

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"

	"teller/transformer/kernels"
)

// Score gives the exact log-probability, natural logarithm, of each choice as the continuation of prompt: the sum over its tokens
// of log softmax(logits) at them. What choices have in common with prompt and with one another runs once. A choice that is to
// be the whole reply ends with the end token, which is the caller's to add; an empty choice has log-probability 0. Before a reply's text stands
// its label: see Bundle.ScoreTexts. Errors are those of Generate; a *WindowError also when a choice does not fit after the prompt.
func (e *Engine) Score(ctx context.Context, prompt []int, choices [][]int) ([]float64, error) {
	most := len(prompt)
	for _, choice := range choices {
		total := len(prompt) + len(choice) - 1 // the last token need not run
		if total > e.Window() {
			return nil, &WindowError{Tokens: total, Window: e.Window()}
		}
		if err := e.model.checkIDs(choice); err != nil {
			return nil, err
		}
		most = max(most, total)
	}
	if err := e.model.check(prompt, len(prompt), e.Window()); err != nil {
		return nil, err
	}
	j := &scoring{prompt: len(prompt), choices: choices, terms: make([][]float64, len(choices))}
	for i, choice := range choices {
		j.terms[i] = make([]float64, len(choice))
		j.order = append(j.order, i)
	}
	// In lexical order neighbours share the longest beginnings.
	slices.SortFunc(j.order, func(a, b int) int { return cmp.Or(slices.Compare(choices[a], choices[b]), cmp.Compare(a, b)) })
	s := newSequence(j, prompt, most)
	s.stable = len(prompt)
	if err := e.run(ctx, s); err != nil {
		return nil, err
	}
	if j.err != nil {
		return nil, j.err
	}
	out := make([]float64, len(choices))
	for i, terms := range j.terms {
		for _, t := range terms {
			out[i] += t
		}
	}
	return out, nil
}

// scoring is the job of one Score. After the prompt, whose logits score every choice's first token, it runs the choices in their
// order, each from where it leaves the one before.
type scoring struct {
	prompt  int // tokens
	choices [][]int
	order   []int
	terms   [][]float64 // of each choice, the log-probability of each of its tokens
	at      int         // the place in order of the choice at work

	mu  sync.Mutex // of err
	err error
}

// take scores the token after the sequence's token i in all choices that are the same up to there.
func (j *scoring) take(_ *scratch, i int, logits []float32) {
	depth := i + 1 - j.prompt
	same := j.order[j.at:]
	if depth > 0 { // sorted, those that begin as the one at work follow it
		begin := j.choices[same[0]][:depth]
		n := 1
		for n < len(same) && len(j.choices[same[n]]) >= depth && slices.Equal(j.choices[same[n]][:depth], begin) {
			n++
		}
		same = same[:n]
	}
	for _, c := range same {
		if choice := j.choices[c]; len(choice) > depth {
			j.terms[c][depth] = float64(logits[choice[depth]])
		}
	}
	best := kernels.ArgMax(logits)
	if best < 0 {
		j.fail(errNotFinite)
		return
	}
	sum, err := logSum(logits, logits[best]) // overwrites them
	if err != nil {
		j.fail(err)
	}
	for _, c := range same {
		if len(j.choices[c]) > depth {
			j.terms[c][depth] -= sum
		}
	}
}

func (j *scoring) next(s *sequence) bool {
	for ; j.at < len(j.order) && j.err == nil; j.at++ {
		choice, have := j.choices[j.order[j.at]], s.tokens[j.prompt:]
		body := choice[:max(0, len(choice)-1)] // nothing comes after the last token
		shared := 0
		for shared < min(len(have), len(body)) && have[shared] == body[shared] {
			shared++
		}
		if shared < len(body) {
			s.done = j.prompt + shared
			s.want = s.done
			s.tokens = append(s.tokens[:j.prompt], body...)
			return false
		}
	}
	return true
}

func (j *scoring) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.err = err
}

// ScoreNext gives the log-probability of each of tokens as the next one after prompt, under the softmax over these tokens alone.
// Errors are those of Generate.
func (e *Engine) ScoreNext(ctx context.Context, prompt, tokens []int) ([]float64, error) {
	if len(tokens) == 0 {
		return nil, ErrNoTokens
	}
	logits, err := e.logits(ctx, prompt, tokens)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(tokens))
	return out, logSoftmax(out, logits)
}

// Logits gives what the model computes for every token of the vocabulary as the next one after prompt. Errors are those of Generate.
func (e *Engine) Logits(ctx context.Context, prompt []int) ([]float32, error) {
	return e.logits(ctx, prompt, nil)
}

// logits gives the logits of tokens after prompt, nil for all.
func (e *Engine) logits(ctx context.Context, prompt, tokens []int) ([]float32, error) {
	if err := e.model.check(prompt, len(prompt), e.Window()); err != nil {
		return nil, err
	}
	if err := e.model.checkIDs(tokens); err != nil {
		return nil, err
	}
	p := &peek{tokens: tokens}
	s := newSequence(p, prompt, len(prompt))
	s.stable = len(prompt)
	if err := e.run(ctx, s); err != nil {
		return nil, err
	}
	return p.logits, p.err
}

// peek is a job that looks at the logits after a prompt.
type peek struct {
	tokens []int // nil: all
	logits []float32
	err    error
}

func (p *peek) take(_ *scratch, _ int, logits []float32) {
	if p.tokens == nil {
		p.logits = slices.Clone(logits)
		return
	}
	for _, id := range p.tokens {
		p.logits = append(p.logits, logits[id])
	}
}

func (p *peek) next(*sequence) bool { return true }
func (p *peek) fail(err error)      { p.err = err }

// logSum gives the logarithm of the sum of exp(logits), which it overwrites. largest is the greatest of them.
func logSum(logits []float32, largest float32) (float64, error) {
	sum := float64(kernels.ExpSum(logits, largest))
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return 0, errNotFinite
	}
	return float64(largest) + math.Log(sum), nil
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
