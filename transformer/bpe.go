package transformer

import (
	"container/heap"
	"strings"
	"sync"
)

// shortPiece is the length in bytes up to which scanning for the best pair beats keeping a heap of them.
const shortPiece = 32

// appendPiece encodes one piece of the split.
func (t *Tokenizer) appendPiece(ids []int, piece string) []int {
	if len(piece) == 1 {
		return append(ids, int(t.byteIDs[piece[0]]))
	}
	if len(piece) > shortPiece {
		return t.mergeLong(ids, piece)
	}
	word, ok := t.cache.get(piece)
	if !ok {
		word = t.mergeShort(piece)
		t.cache.put(piece, word)
	}
	for _, id := range word {
		ids = append(ids, int(id))
	}
	return ids
}

// mergeShort merges the pair of lowest rank, the leftmost of equals, until no pair has a rule.
func (t *Tokenizer) mergeShort(piece string) []uint32 {
	word := make([]uint32, len(piece))
	for i := range word {
		word[i] = t.byteIDs[piece[i]]
	}
	for {
		at, best := -1, rule{}
		for i := range len(word) - 1 {
			if r, ok := t.rules[pair{word[i], word[i+1]}]; ok && (at < 0 || r.rank < best.rank) {
				at, best = i, r
			}
		}
		if at < 0 {
			return word
		}
		word[at] = best.result
		word = append(word[:at+1], word[at+2:]...)
	}
}

// mergeLong gives what mergeShort gives, in O(n log n): the tokens form a linked list and the pairs that
// have a rule wait in a heap. A pair in the heap is stale once one of its tokens has been merged.
func (t *Tokenizer) mergeLong(ids []int, piece string) []int {
	nodes := make([]node, len(piece))
	for i := range nodes {
		nodes[i] = node{id: t.byteIDs[piece[i]], prev: int32(i - 1), next: int32(i + 1)}
	}
	nodes[len(nodes)-1].next = -1
	var queue candidates
	candidateAt := func(at int32) (candidate, bool) {
		next := nodes[at].next
		if next < 0 {
			return candidate{}, false
		}
		p := pair{nodes[at].id, nodes[next].id}
		r, ok := t.rules[p]
		return candidate{rule: r, pair: p, at: at}, ok
	}
	for i := range nodes {
		if c, ok := candidateAt(int32(i)); ok {
			queue = append(queue, c)
		}
	}
	heap.Init(&queue)
	for len(queue) > 0 {
		c := heap.Pop(&queue).(candidate)
		left := &nodes[c.at]
		if left.merged || left.next < 0 || c.pair != (pair{left.id, nodes[left.next].id}) {
			continue
		}
		right := &nodes[left.next]
		right.merged = true
		left.id, left.next = c.result, right.next
		if left.next >= 0 {
			nodes[left.next].prev = c.at
		}
		if c, ok := candidateAt(c.at); ok {
			heap.Push(&queue, c)
		}
		if left.prev >= 0 {
			if c, ok := candidateAt(left.prev); ok {
				heap.Push(&queue, c)
			}
		}
	}
	for i := int32(0); i >= 0; i = nodes[i].next {
		ids = append(ids, int(nodes[i].id))
	}
	return ids
}

// node is a token in the linked list; prev and next are -1 at the ends.
type node struct {
	id         uint32
	prev, next int32
	merged     bool // into its left neighbour
}

// candidate is a pair that may be merged, at the node of its left token.
type candidate struct {
	rule
	pair
	at int32
}

// candidates is a heap: lowest rank first, leftmost of equals.
type candidates []candidate

func (q candidates) Len() int { return len(q) }
func (q candidates) Less(i, j int) bool {
	return q[i].rank < q[j].rank || q[i].rank == q[j].rank && q[i].at < q[j].at
}
func (q candidates) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *candidates) Push(x any)   { *q = append(*q, x.(candidate)) }
func (q *candidates) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// wordCache remembers the tokens of short pieces. When it is full it starts again: the words of a
// language come back at once, and text made up to fill it costs no more than not having it.
type wordCache struct {
	mu    sync.RWMutex
	words map[string][]uint32
}

const maxCachedWords = 8192

func (c *wordCache) get(piece string) ([]uint32, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	word, ok := c.words[piece]
	return word, ok
}

func (c *wordCache) put(piece string, word []uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.words == nil || len(c.words) >= maxCachedWords {
		c.words = make(map[string][]uint32)
	}
	c.words[strings.Clone(piece)] = word // a clone, so that the caller's whole text is not kept alive
}
