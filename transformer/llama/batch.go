package llama

import "teller/transformer/kernels"

// PageTokens is how many tokens' keys and values a page of the cache holds.
const PageTokens = kernels.PageUnit

// PagesOf is how many pages hold the keys and values of so many tokens.
func PagesOf(tokens int) int { return (tokens + PageTokens - 1) / PageTokens }

// Batch is what one step runs.
type Batch struct {
	Pieces []Piece
	Extras []Extra
}

// Piece is tokens of one sequence that follow one another, with all tokens before them already in the cache. A sequence has at most
// one piece in a batch.
type Piece struct {
	Tokens  []int   // ids in [0, Vocab), at least one
	First   int     // the position of Tokens[0]
	Pages   []int32 // the sequence's pages in their order: PagesOf(First+len(Tokens)) of them or more
	Outputs int     // after how many of the tokens logits are wanted, the last ones
}

// Extra is a vector (hidden) that is added to the embedding of a token.
type Extra struct {
	Piece, Token int
	Vector       []float32
}

// Rows is how many tokens the batch runs.
func (b *Batch) Rows() int {
	n := 0
	for i := range b.Pieces {
		n += len(b.Pieces[i].Tokens)
	}
	return n
}

// Take gets the logits (vocab) after one token: output numbers all outputs of a batch, piece after piece. Calls for different outputs
// happen on several threads at once; worker, below Device.Threads, tells these apart. logits may be overwritten; they are valid during the call.
type Take func(worker, output int, logits []float32)
