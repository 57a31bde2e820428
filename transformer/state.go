package transformer

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// prefillChunk is how many tokens of a prompt go through the layers together. More would reuse each weight
// oftener but take more scratch memory; beyond this the reuse gains little.
const prefillChunk = 32

// ErrNoTokens tells that there was nothing to run.
var ErrNoTokens = errors.New("no tokens to run")

// WindowError tells that a sequence does not fit the model's window.
type WindowError struct {
	Tokens int // length of the sequence that was asked for
	Window int // the most that fits
}

func (e *WindowError) Error() string {
	return fmt.Sprintf("%d tokens do not fit the model's window of %d", e.Tokens, e.Window)
}

// State is one sequence on its way through a Model: the keys and values of the tokens so far, and the
// memory that a step needs, so that a step allocates nothing. It is for one goroutine at a time.
type State struct {
	model  *Model
	length int   // tokens so far
	tokens []int // (window), the first length are those so far

	// keys, already rotated, and values: (layers, kvHeads, window, headDim)
	keys, values []float32

	// Scratch; n is up to prefillChunk tokens.
	x        []float32 // (n, hidden), the residual stream
	normed   []float32 // (n, hidden)
	q        []float32 // (n, qSize)
	k, v     []float32 // (n, kvSize)
	mixed    []float32 // (n, qSize), what attention gathered
	gate, up []float32 // (n, intermediate)
	cos, sin []float32 // (n, headDim/2)
	scores   []float32 // (window), one head's attention
	logits   []float32 // (vocab)

	frequencies []float64 // (headDim/2), RoPE's radians per position
}

// NewState makes an empty sequence. It holds the KV cache of a whole window, so keep it for the next
// sequence (Reset) rather than make another.
func (m *Model) NewState() *State {
	c := m.config
	n := min(prefillChunk, c.MaxPositionEmbeddings)
	qSize, kvSize := c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	s := &State{
		model:       m,
		tokens:      make([]int, c.MaxPositionEmbeddings),
		keys:        make([]float32, c.NumHiddenLayers*c.MaxPositionEmbeddings*kvSize),
		values:      make([]float32, c.NumHiddenLayers*c.MaxPositionEmbeddings*kvSize),
		x:           make([]float32, n*c.HiddenSize),
		normed:      make([]float32, n*c.HiddenSize),
		q:           make([]float32, n*qSize),
		k:           make([]float32, n*kvSize),
		v:           make([]float32, n*kvSize),
		mixed:       make([]float32, n*qSize),
		gate:        make([]float32, n*c.IntermediateSize),
		up:          make([]float32, n*c.IntermediateSize),
		cos:         make([]float32, n*c.HeadDim/2),
		sin:         make([]float32, n*c.HeadDim/2),
		scores:      make([]float32, c.MaxPositionEmbeddings),
		logits:      make([]float32, c.VocabSize),
		frequencies: make([]float64, c.HeadDim/2),
	}
	for i := range s.frequencies {
		s.frequencies[i] = math.Pow(c.RopeTheta, -2*float64(i)/float64(c.HeadDim))
	}
	return s
}

// Reset forgets the sequence.
func (s *State) Reset() { s.length = 0 }

// Truncate forgets all but the first n tokens, of which there must be as many.
func (s *State) Truncate(n int) { s.length = min(n, s.length) }

// Len is the number of tokens so far.
func (s *State) Len() int { return s.length }

// Append runs tokens after those so far and gives the logits (vocab) of the token that follows the last one,
// valid until the next call. It fails with ErrNoTokens, *WindowError, on an id outside the vocabulary, and
// with ctx's error soon after ctx ends: it looks at ctx before each layer of each chunk of the tokens. After
// an error the sequence holds the chunks that were finished.
func (s *State) Append(ctx context.Context, tokens []int) ([]float32, error) {
	var last []float32
	err := s.run(ctx, tokens, func(n int) { last = s.x[(n-1)*s.model.config.HiddenSize:] })
	if err != nil {
		return nil, err
	}
	s.head(last)
	return s.logits, nil
}

// AppendEach is Append that gives the logits after every one of the tokens: it calls each with the token's place among
// them, from 0, and logits that are valid during the call.
func (s *State) AppendEach(ctx context.Context, tokens []int, each func(i int, logits []float32)) error {
	done, hidden := 0, s.model.config.HiddenSize
	return s.run(ctx, tokens, func(n int) {
		for t := range n {
			s.head(s.x[t*hidden:])
			each(done+t, s.logits)
		}
		done += n
	})
}

// head sets s.logits for the residual stream of one token.
func (s *State) head(x []float32) {
	hidden := s.model.config.HiddenSize
	rmsNorm(s.normed[:hidden], x[:hidden], s.model.norm, s.model.config.RMSNormEps)
	matvec(s.logits, s.normed[:hidden], s.model.embed)
}

// run takes tokens through the layers in chunks, and calls after each with its length; s.x has its residual stream then.
func (s *State) run(ctx context.Context, tokens []int, chunk func(n int)) error {
	c := s.model.config
	if len(tokens) == 0 {
		return ErrNoTokens
	}
	if total := s.length + len(tokens); total > c.MaxPositionEmbeddings {
		return &WindowError{Tokens: total, Window: c.MaxPositionEmbeddings}
	}
	for _, id := range tokens {
		if id < 0 || id >= c.VocabSize {
			return fmt.Errorf("token %d is outside the vocabulary of %d", id, c.VocabSize)
		}
	}
	for len(tokens) > 0 {
		n := min(len(tokens), prefillChunk)
		if err := s.forward(ctx, tokens[:n]); err != nil {
			return err
		}
		chunk(n)
		tokens = tokens[n:]
	}
	return nil
}
