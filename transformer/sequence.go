package transformer

import (
	"sync/atomic"

	"teller/transformer/llama"
)

// sequence is a request at work: tokens that have gone through the model, and those that are to.
type sequence struct {
	job    job
	tokens []int
	done   int // how many have gone through
	want   int // logits are wanted after the tokens from this place on
	stable int // tokens before this place will never be taken back: their pages may be shared

	most     int // how many tokens will go through at most
	pages    []int32
	known    int    // how many of the pages, from the first on, are known to others
	parent   uint64 // the last known one's serial
	shared   int    // tokens that did not go through, because their pages were known
	canceled atomic.Bool
	ended    chan struct{} // closed after the last of job's calls
}

// job is what a sequence is for. All calls come from the engine's loop, those of take from several threads.
type job interface {
	// take gets the logits after the sequence's token number i. They may be overwritten.
	take(s *scratch, i int, logits []float32)
	// next follows when all tokens have gone through: it changes the sequence's tokens, or says that the job is finished.
	next(s *sequence) (finished bool)
	// fail ends the job.
	fail(err error)
}

func newSequence(j job, prompt []int, most int) *sequence {
	s := &sequence{job: j, most: most, want: len(prompt) - 1, ended: make(chan struct{})}
	s.tokens = append(make([]int, 0, most), prompt...)
	s.pages = make([]int32, 0, llama.PagesOf(most))
	return s
}

// adopt takes over known pages that hold the tokens to come, as far as their logits aren't wanted.
func (s *sequence) adopt(p *pages) {
	for s.done == s.known*llama.PageTokens && s.done+llama.PageTokens <= min(s.want, s.stable) {
		number, serial, ok := p.find(s.key())
		if !ok {
			return
		}
		s.pages = append(s.pages, number)
		s.parent = serial
		s.known++
		s.done += llama.PageTokens
		s.shared += llama.PageTokens
	}
}

// reach takes pages for n tokens.
func (s *sequence) reach(p *pages, n int) {
	for len(s.pages) < llama.PagesOf(n) {
		s.pages = append(s.pages, p.take())
	}
}

// publish makes the pages known that have become full.
func (s *sequence) publish(p *pages) {
	for (s.known+1)*llama.PageTokens <= min(s.done, s.stable) {
		s.pages[s.known], s.parent = p.publish(s.pages[s.known], s.key())
		s.known++
	}
}

// key is that of the first page that isn't known.
func (s *sequence) key() *pageKey {
	key := &pageKey{parent: s.parent}
	for i, id := range s.tokens[s.known*llama.PageTokens:][:llama.PageTokens] {
		key.tokens[i] = int32(id)
	}
	return key
}

// leave gives the pages back, the last one first: it is of use to the fewest.
func (s *sequence) leave(p *pages) {
	for i := len(s.pages) - 1; i >= 0; i-- {
		p.drop(s.pages[i])
	}
	s.pages = nil
	p.unpromise(llama.PagesOf(s.most))
}

// append adds a token, after which logits are wanted.
func (s *sequence) append(id int) {
	s.want = len(s.tokens)
	s.tokens = append(s.tokens, id)
}
