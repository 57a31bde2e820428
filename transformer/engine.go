package transformer

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// Engine generates text with one Model for many callers at once. It is safe for concurrent use.
type Engine struct {
	model *Model
	slots chan *slot // each nil until its first use
}

// slot is what one running generation needs. It is kept for the next one.
type slot struct {
	state   *State
	sampler *sampler
}

// NewEngine makes an engine that runs up to slots generations at once, at least one. Each slot takes a KV cache
// of the model's whole window at its first use.
func NewEngine(m *Model, slots int) *Engine {
	e := &Engine{model: m, slots: make(chan *slot, max(1, slots))}
	for range cap(e.slots) {
		e.slots <- nil
	}
	return e
}

// Slots is how many generations can run at once.
func (e *Engine) Slots() int { return cap(e.slots) }

// GenerateOptions bounds and steers one generation.
type GenerateOptions struct {
	Sampling
	// MaxTokens is the most tokens to generate. 0 is as many as the window holds.
	MaxTokens int
	// Top is how many of the most likely tokens each Token lists beside the chosen one.
	Top int
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
	Tokens []Token // without the label before them and the end-of-sequence token
	Finish FinishReason
	// LabelLogProbs is the log-probability of each label of TellerNamespace, in the order of Bundle.Labels, not calibrated. The
	// most likely one is what the reply was written for. It is nil when the model has no such labels or prompt does
	// not end with an open <|assistant|> marker.
	LabelLogProbs []float64
}

// MeanLogProb is the mean log-probability of the tokens, 0 when there are none.
func (r Result) MeanLogProb() float64 {
	var sum float64
	for _, t := range r.Tokens {
		sum += t.LogProb
	}
	return sum / math.Max(1, float64(len(r.Tokens)))
}

// Generate continues prompt. It waits for a free slot, then calls onToken, when it is not nil, with each token as
// it is chosen. A prompt longer than the window is a *WindowError, an empty one ErrNoTokens. When ctx ends,
// while waiting or at work, it returns ctx's error soon, with what was generated until then.
func (e *Engine) Generate(ctx context.Context, prompt []int, opts GenerateOptions, onToken func(Token)) (Result, error) {
	if err := opts.validate(); err != nil {
		return Result{}, err
	}
	if opts.MaxTokens < 0 {
		return Result{}, fmt.Errorf("max tokens is %d, must be at least 0", opts.MaxTokens)
	}
	s, err := e.acquire(ctx, prompt)
	if err != nil {
		return Result{}, err
	}
	defer e.release(s)
	return s.generate(ctx, prompt, opts, onToken)
}

// acquire waits for a free slot for a prompt, which is known to fit the window then.
func (e *Engine) acquire(ctx context.Context, prompt []int) (*slot, error) {
	window := e.model.config.MaxPositionEmbeddings
	if len(prompt) > window { // known without a slot
		return nil, &WindowError{Tokens: len(prompt), Window: window}
	}
	if err := ctx.Err(); err != nil { // select would take a free slot or the end by chance
		return nil, err
	}
	select {
	case s := <-e.slots:
		if s == nil {
			s = &slot{state: e.model.NewState(), sampler: newSampler(e.model.config.VocabSize)}
		}
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *Engine) release(s *slot) { e.slots <- s }

func (s *slot) generate(ctx context.Context, prompt []int, opts GenerateOptions, onToken func(Token)) (Result, error) {
	m, config := s.state.model, s.state.model.config
	s.state.Reset()
	s.sampler.start(opts.Sampling)
	var result Result
	if label, ok := m.labelsAfter(prompt); ok {
		logits, err := s.state.Append(ctx, prompt)
		if err != nil {
			return result, err
		}
		logProbs := make([]float64, len(label.Names))
		if err := logSoftmax(logProbs, logits[label.From:label.To()]); err != nil {
			return result, err
		}
		result.LabelLogProbs = logProbs
		prompt = append(slices.Clip(prompt), label.From+argmax(logProbs))
	}
	room := config.MaxPositionEmbeddings - len(prompt) + 1 // the last token need not go through the model
	most := room
	if opts.MaxTokens > 0 {
		most = min(room, opts.MaxTokens)
	}
	result.Tokens = make([]Token, 0, most)
	next := prompt[s.state.Len():]
	var one [1]int
	for {
		logits, err := s.state.Append(ctx, next)
		if err != nil {
			return result, err
		}
		logits = logits[:m.textTokens()]
		id, logProb, err := s.sampler.next(logits)
		if err != nil {
			return result, err
		}
		if id == config.EOSTokenID {
			result.Finish = FinishEOS
			return result, nil
		}
		token := Token{ID: id, LogProb: logProb}
		if opts.Top > 0 {
			token.Top = top(logits, opts.Top, float64(logits[id])-logProb)
		}
		result.Tokens = append(result.Tokens, token)
		if onToken != nil {
			onToken(token)
		}
		if len(result.Tokens) == most {
			result.Finish = FinishMaxTokens
			if most == room && most != opts.MaxTokens {
				result.Finish = FinishWindow
			}
			return result, nil
		}
		one[0] = id
		next = one[:]
	}
}
