package transformer

import (
	"context"
	"errors"
	"fmt"

	"teller/transformer/llama"
)

// ErrNoTokens tells that there was nothing to run.
var ErrNoTokens = errors.New("no tokens to run")

// WindowError tells that a sequence does not fit the window.
type WindowError struct {
	Tokens int // length of the sequence that was asked for
	Window int // the most that fits
}

func (e *WindowError) Error() string {
	return fmt.Sprintf("%d tokens do not fit the window of %d", e.Tokens, e.Window)
}

// stateChunk is how many tokens of a State go through the layers together.
const stateChunk = 32

// State is one sequence on its way through a Model, by itself on one thread: for tests and examinations. An Engine runs many at once, and
// faster. It is for one goroutine at a time.
type State struct {
	model  *Model
	cpu    *llama.CPU
	tokens []int // so far, and those at work
	done   int   // so far
	pages  []int32
	batch  llama.Batch
	logits []float32  // (vocab)
	keep   llama.Take // copies to logits
}

// NewState makes an empty sequence. It has room for the keys and values of a whole window, and panics when the system gives it none.
func (m *Model) NewState() *State {
	n := llama.PagesOf(m.Window())
	cpu, err := llama.NewCPU(m.net, n, 1)
	if err != nil {
		panic(err)
	}
	s := &State{model: m, cpu: cpu, tokens: make([]int, 0, m.Window()), pages: make([]int32, n), logits: make([]float32, m.Vocab())}
	for i := range s.pages {
		s.pages[i] = int32(i)
	}
	s.keep = func(_, _ int, logits []float32) { copy(s.logits, logits) }
	return s
}

// Reset forgets the sequence.
func (s *State) Reset() { s.done = 0 }

// Len is the number of tokens so far.
func (s *State) Len() int { return s.done }

// Append runs tokens after those so far and gives the logits (vocab) of the token that follows the last one,
// valid until the next call. It fails with ErrNoTokens, *WindowError, on an id outside the vocabulary, and
// with ctx's error when ctx ends: it looks at ctx before each chunk of the tokens. After an error the sequence holds the chunks that
// were finished.
func (s *State) Append(ctx context.Context, tokens []int) ([]float32, error) {
	if err := s.model.check(tokens, s.done+len(tokens), s.model.Window()); err != nil {
		return nil, err
	}
	s.tokens = append(s.tokens[:s.done], tokens...)
	for s.done < len(s.tokens) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := min(stateChunk, len(s.tokens)-s.done)
		piece := llama.Piece{Tokens: s.tokens[s.done:][:n], First: s.done, Pages: s.pages}
		if s.done+n == len(s.tokens) {
			piece.Outputs = 1
		}
		s.batch.Pieces = append(s.batch.Pieces[:0], piece)
		s.batch.Extras = s.model.appendExtras(s.batch.Extras[:0], 0, s.tokens, s.done, s.done+n)
		if err := s.cpu.Step(&s.batch, s.keep); err != nil {
			return nil, err
		}
		s.done += n
	}
	return s.logits, nil
}

// check refuses tokens of a sequence that will have total tokens.
func (m *Model) check(tokens []int, total, window int) error {
	if len(tokens) == 0 {
		return ErrNoTokens
	}
	if total > window {
		return &WindowError{Tokens: total, Window: window}
	}
	return m.checkIDs(tokens)
}

func (m *Model) checkIDs(tokens []int) error {
	for _, id := range tokens {
		if id < 0 || id >= m.Vocab() {
			return fmt.Errorf("token %d is outside the vocabulary of %d", id, m.Vocab())
		}
	}
	return nil
}
