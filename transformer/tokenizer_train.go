package transformer

import (
	"container/heap"
	"fmt"
	"iter"
	"slices"
)

// TrainTokenizer learns a byte-level BPE of at most vocabSize tokens from texts: first the special tokens
// with ids from 0, then the 256 bytes, then merges, the most frequent pair first. Pairs of equal frequency go
// by the lower ids, so the same texts always give the same tokenizer. It ends early when no pair
// occurs twice; VocabSize tells.
func TrainTokenizer(texts iter.Seq[string], vocabSize int, special []string) (*Tokenizer, error) {
	if least := len(special) + 256; vocabSize < least || vocabSize > maxVocab {
		return nil, fmt.Errorf("tokenizer: vocabSize is %d, must be %d to %d", vocabSize, least, maxVocab)
	}
	tr := trainer{special: make(map[string]int), ids: make(map[string]uint32), merged: make(map[pair]bool)}
	for id, token := range special {
		if _, twice := tr.special[token]; twice || len(token) < 2 {
			return nil, fmt.Errorf("tokenizer: special token %q occurs twice or is shorter than two bytes", token)
		}
		tr.special[token] = id
		tr.tokens = append(tr.tokens, token)
	}
	tr.addBytes()
	tr.countWords(texts)
	tr.countPairs()
	for len(tr.tokens) < vocabSize && tr.mergeBest() {
	}
	return newTokenizer(tr.tokens, tr.special, tr.merges)
}

type trainer struct {
	special map[string]int
	tokens  []string
	ids     map[string]uint32 // of the ordinary tokens
	merges  []pair
	merged  map[pair]bool

	words  []countedWord
	counts map[pair]int
	places map[pair][]int // words in which a pair occurs, perhaps twice, perhaps no more
	queue  pairQueue
}

// countedWord is one distinct piece of the texts.
type countedWord struct {
	ids   []uint32
	count int
}

// addBytes adds the bytes in the order of GPT-2's alphabet, as other trainers do.
func (tr *trainer) addBytes() {
	order := make([]byte, 256)
	for b := range order {
		order[b] = byte(b)
	}
	slices.SortFunc(order, func(a, b byte) int { return int(byteToRune[a] - byteToRune[b]) })
	for _, b := range order {
		tr.add(string([]byte{b}))
	}
}

// add gives the id of a token, a new one unless the same bytes were reached by another merge before.
func (tr *trainer) add(token string) uint32 {
	if id, ok := tr.ids[token]; ok {
		return id
	}
	id := uint32(len(tr.tokens))
	tr.ids[token] = id
	tr.tokens = append(tr.tokens, token)
	return id
}

func (tr *trainer) countWords(texts iter.Seq[string]) {
	counts := map[string]int{}
	for text := range texts {
		for len(text) > 0 {
			n := nextPiece(text)
			counts[text[:n]]++
			text = text[n:]
		}
	}
	for piece, count := range counts {
		ids := make([]uint32, len(piece))
		for i := range ids {
			ids[i] = tr.ids[piece[i:i+1]]
		}
		tr.words = append(tr.words, countedWord{ids, count})
	}
}

func (tr *trainer) countPairs() {
	tr.counts = map[pair]int{}
	tr.places = map[pair][]int{}
	for w, word := range tr.words {
		for i := range len(word.ids) - 1 {
			p := pair{word.ids[i], word.ids[i+1]}
			tr.counts[p] += word.count
			tr.places[p] = append(tr.places[p], w)
		}
	}
	for p, count := range tr.counts {
		tr.queue = append(tr.queue, countedPair{p, count})
	}
	heap.Init(&tr.queue)
}

// mergeBest makes a token of the most frequent pair, and tells whether there was one.
func (tr *trainer) mergeBest() bool {
	for len(tr.queue) > 0 {
		best := heap.Pop(&tr.queue).(countedPair)
		if now := tr.counts[best.pair]; now != best.count {
			if now > 0 {
				heap.Push(&tr.queue, countedPair{best.pair, now})
			}
			continue
		}
		if best.count < 2 {
			return false
		}
		token := tr.tokens[best.left] + tr.tokens[best.right]
		if _, ok := tr.special[token]; ok { // text must never become a control token
			delete(tr.counts, best.pair)
			continue
		}
		tr.merge(best.pair, tr.add(token))
		return true
	}
	return false
}

// merge replaces a pair by its token in all words and keeps the counts of the neighbouring pairs.
func (tr *trainer) merge(p pair, result uint32) {
	if !tr.merged[p] { // it comes again when a merge gives a token that was there before
		tr.merged[p] = true
		tr.merges = append(tr.merges, p)
	}
	grown := map[pair]bool{}
	for _, w := range tr.places[p] {
		word := &tr.words[w]
		change := func(p pair, by int) {
			tr.counts[p] += by * word.count
			if by > 0 {
				tr.places[p] = append(tr.places[p], w)
				grown[p] = true
			}
		}
		ids := word.ids
		for i := 0; i+1 < len(ids); i++ {
			if ids[i] != p.left || ids[i+1] != p.right {
				continue
			}
			if i > 0 {
				change(pair{ids[i-1], p.left}, -1)
				change(pair{ids[i-1], result}, +1)
			}
			if i+2 < len(ids) {
				change(pair{p.right, ids[i+2]}, -1)
				change(pair{result, ids[i+2]}, +1)
			}
			ids[i] = result
			ids = append(ids[:i+1], ids[i+2:]...)
		}
		word.ids = ids
	}
	delete(tr.counts, p)
	delete(tr.places, p)
	for p := range grown {
		if count := tr.counts[p]; count > 0 {
			heap.Push(&tr.queue, countedPair{p, count})
		}
	}
}

type countedPair struct {
	pair
	count int
}

// pairQueue is a heap: most frequent first, lower ids first among equals. That order is total, so the
// order in which pairs were pushed does not show.
type pairQueue []countedPair

func (q pairQueue) Len() int { return len(q) }
func (q pairQueue) Less(i, j int) bool {
	a, b := q[i], q[j]
	if a.count != b.count {
		return a.count > b.count
	}
	return a.left < b.left || a.left == b.left && a.right < b.right
}
func (q pairQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *pairQueue) Push(x any)   { *q = append(*q, x.(countedPair)) }
func (q *pairQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
