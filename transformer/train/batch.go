package train

import "fmt"

// Doc is one document's place in a batch: tokens [Start, End).
type Doc struct{ Start, End int }

// Len is the document's length in tokens.
func (d Doc) Len() int { return d.End - d.Start }

// Batch is a fixed number of tokens that holds documents back to back. Documents do not see one another: attention stays inside a
// document and positions count from its start. Tokens after the last document are padding and have no weight.
type Batch struct {
	Tokens  []int32   // (size) token ids
	Targets []int32   // (size) the id to predict after each token
	Weights []float32 // (size) how much each prediction counts; 0 is not at all
	Docs    []Doc
	Bags    []Bag // of the documents' markers; Place counts from the start of the batch
	MaxLen  int   // no document is longer than this, in tokens
	used    int   // tokens in documents
}

// Bag is the n-grams that enter at one token.
type Bag struct {
	Place    int     // of the token
	Features []int32 // rows of the table, as transformer.Ngrams gives them; at least one
}

// bagRoom is how many bags a batch of size tokens takes. A dialogue has at least this share of other tokens for each.
func bagRoom(size int) int { return (size + 3) / 4 }

// NewBatch makes an empty batch of size tokens for documents of at most maxLen tokens.
func NewBatch(size, maxLen int) *Batch {
	return &Batch{
		Tokens: make([]int32, size), Targets: make([]int32, size), Weights: make([]float32, size),
		MaxLen: min(maxLen, size),
	}
}

// Size is the number of tokens a batch holds, padding included.
func (b *Batch) Size() int { return len(b.Tokens) }

// Used is the number of tokens that belong to documents.
func (b *Batch) Used() int { return b.used }

// Reset empties the batch.
func (b *Batch) Reset() {
	clear(b.Tokens)
	clear(b.Targets)
	clear(b.Weights)
	b.Docs, b.Bags, b.used = b.Docs[:0], b.Bags[:0], 0
}

// Sample is one dialogue ready for training. Weights[i] says how much predicting IDs[i+1] from what stands before
// it counts; the last weight is not used.
type Sample struct {
	IDs     []int32
	Weights []float32
	Bags    []Bag
	Marker  int // where the label is predicted, of a sample that has one
}

// Add appends a sample as a document. It reports false, and changes nothing, when there is no room left.
func (b *Batch) Add(s Sample) (bool, error) {
	n := len(s.IDs) - 1
	if n < 1 || n > b.MaxLen {
		return false, fmt.Errorf("train: a document of %d tokens; a batch takes 1 to %d", n, b.MaxLen)
	}
	if b.used+n > b.Size() || len(b.Bags)+len(s.Bags) > bagRoom(b.Size()) && b.used > 0 {
		return false, nil
	}
	if len(s.Bags) > bagRoom(b.Size()) {
		return false, fmt.Errorf("train: a document with %d bags of n-grams; a batch takes %d", len(s.Bags), bagRoom(b.Size()))
	}
	copy(b.Tokens[b.used:], s.IDs[:n])
	copy(b.Targets[b.used:], s.IDs[1:])
	copy(b.Weights[b.used:], s.Weights[:n])
	b.Docs = append(b.Docs, Doc{b.used, b.used + n})
	for _, bag := range s.Bags {
		b.Bags = append(b.Bags, Bag{b.used + bag.Place, bag.Features})
	}
	b.used += n
	return true, nil
}
