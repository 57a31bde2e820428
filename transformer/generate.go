package transformer

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
)

// GenerateOptions bounds and steers one generation.
type GenerateOptions struct {
	Sampling
	// MaxTokens is the most tokens to generate. 0 is as many as the window holds.
	MaxTokens int
	// Top is how many of the most likely tokens each Token lists beside the chosen one.
	Top int
	// Stop are tokens that end the reply and are no part of it, besides those of the model.
	Stop []int
	// IgnoreEnd generates on where the reply would end, up to MaxTokens: for measurements.
	IgnoreEnd bool
}

// Token is one generated token.
type Token struct {
	ID      int
	LogProb float64 // natural logarithm, under the model's own distribution
	Top     []Token // the most likely tokens in its place, best first: GenerateOptions.Top of them
}

// FinishReason says why a generation ended.
type FinishReason string

// The reasons a generation ends for.
const (
	FinishEOS       FinishReason = "eos"        // the model ended its reply
	FinishMaxTokens FinishReason = "max_tokens" // MaxTokens were generated
	FinishWindow    FinishReason = "window"     // prompt and reply fill the window
)

// Result is a generation.
type Result struct {
	Tokens []Token // without the label before them and the token that ended the reply
	Finish FinishReason
	// LabelLogProbs is the log-probability of each label of TellerNamespace, in the order of Bundle.Labels, not calibrated. The
	// most likely one is what the reply was written for. It is nil when the model has no such labels or prompt does
	// not end with an open <|assistant|> marker.
	LabelLogProbs []float64
	// SharedTokens is how many tokens of the prompt were not run, because the cache had them from before.
	SharedTokens int
}

// MeanLogProb is the mean log-probability of the tokens, 0 when there are none.
func (r Result) MeanLogProb() float64 {
	var sum float64
	for _, t := range r.Tokens {
		sum += t.LogProb
	}
	return sum / math.Max(1, float64(len(r.Tokens)))
}

// Generate continues prompt. It waits for its turn, then calls onToken, when it is not nil, with each token soon after
// it is chosen; the engine doesn't wait for onToken. What is generated depends on the weights, the prompt and the options alone. A prompt
// longer than Window is a *WindowError, an empty one ErrNoTokens. When ctx ends,
// while waiting or at work, it returns ctx's error soon, with the tokens that onToken got until then, or all that were
// generated when it is nil.
func (e *Engine) Generate(ctx context.Context, prompt []int, opts GenerateOptions, onToken func(Token)) (Result, error) {
	if err := opts.validate(e.model); err != nil {
		return Result{}, err
	}
	window := e.Window() // a device that fails may change it
	if err := e.model.check(prompt, len(prompt), window); err != nil {
		return Result{}, err
	}
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	g := newGeneration(e.model, window, prompt, opts)
	if onToken != nil {
		g.news = make(chan struct{}, 1)
	}
	e.submit(g.sequence)
	given := 0
	for {
		ended := false
		select {
		case <-g.sequence.ended:
			ended = true
		case <-g.news:
		case <-ctx.Done():
		}
		if onToken != nil {
			for _, t := range g.tokensFrom(given) {
				if ctx.Err() != nil {
					break
				}
				onToken(t)
				given++
			}
		}
		if ended && (onToken == nil || given == len(g.result.Tokens)) {
			return g.result, g.err
		}
		if err := ctx.Err(); err != nil {
			e.cancel(g.sequence)
			tokens := g.tokensFrom(0)
			if onToken != nil {
				tokens = tokens[:given]
			}
			return Result{Tokens: tokens}, err
		}
	}
}

func (o GenerateOptions) validate(m *Model) error {
	if err := o.Sampling.validate(); err != nil {
		return err
	}
	switch {
	case o.MaxTokens < 0:
		return fmt.Errorf("max tokens is %d, must be at least 0", o.MaxTokens)
	case o.Top < 0:
		return fmt.Errorf("top is %d, must be at least 0", o.Top)
	}
	return m.checkIDs(o.Stop)
}

// generation is the job of one Generate.
type generation struct {
	sequence *sequence
	model    *Model
	opts     GenerateOptions
	labels   *LabelSet // to be chosen from before the first token
	most     int       // tokens
	limit    FinishReason
	sampler  sampler
	chosen   Token // what take chose

	news chan struct{} // there are more tokens; nil when nobody wants to know before the end

	mu     sync.Mutex // of result.Tokens, until the sequence ended
	result Result
	err    error
}

// usualReply is for how many tokens room is made at first.
const usualReply = 512

func newGeneration(m *Model, window int, prompt []int, opts GenerateOptions) *generation {
	g := &generation{model: m, opts: opts}
	first := len(prompt)
	if set, ok := m.labelsAfter(prompt); ok && first < window {
		g.labels = &set
		first++
	}
	room := window - first + 1 // the last token need not go through the model
	g.most, g.limit = room, FinishWindow
	if opts.MaxTokens > 0 && opts.MaxTokens <= room {
		g.most, g.limit = opts.MaxTokens, FinishMaxTokens
	}
	g.sampler.start(opts.Sampling, prompt, m.Vocab())
	g.result.Tokens = make([]Token, 0, min(g.most, usualReply))
	g.sequence = newSequence(g, prompt, first+g.most-1)
	g.sequence.stable = g.sequence.most
	return g
}

// tokensFrom gives the tokens so far without the first ones.
func (g *generation) tokensFrom(n int) []Token {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clip(g.result.Tokens[n:])
}

func (g *generation) take(s *scratch, _ int, logits []float32) {
	if g.labels != nil {
		g.result.LabelLogProbs = make([]float64, len(g.labels.Names))
		g.err = logSoftmax(g.result.LabelLogProbs, logits[g.labels.From:g.labels.To()])
		return
	}
	g.chosen, g.err = g.sampler.next(s, logits[:g.model.textTokens()], g.opts.Top)
}

func (g *generation) next(s *sequence) bool {
	g.result.SharedTokens = s.shared
	switch {
	case g.err != nil:
		return true
	case g.labels != nil:
		s.append(g.labels.From + argmax(g.result.LabelLogProbs))
		g.labels = nil
		return false
	case g.ends(g.chosen.ID):
		g.result.Finish = FinishEOS
		return true
	}
	g.mu.Lock()
	g.result.Tokens = append(g.result.Tokens, g.chosen)
	g.mu.Unlock()
	select {
	case g.news <- struct{}{}:
	default: // it is known already that there is news
	}
	if len(g.result.Tokens) == g.most {
		g.result.Finish = g.limit
		return true
	}
	s.append(g.chosen.ID)
	return false
}

func (g *generation) ends(id int) bool {
	return !g.opts.IgnoreEnd && (slices.Contains(g.model.stop, id) || slices.Contains(g.opts.Stop, id))
}

func (g *generation) fail(err error) { g.err = err }
