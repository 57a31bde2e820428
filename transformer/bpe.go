package transformer

import (
	"slices"
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

// mergeLong gives what mergeShort gives, in O(n log n): the tokens form a linked list and the places that
// can be merged wait in a heap. A place is stale once a token of its pair has been merged; then the pair that
// is there now has another rank.
func (t *Tokenizer) mergeLong(ids []int, piece string) []int {
	nodes := make([]node, len(piece))
	for i := range nodes {
		nodes[i] = node{id: t.byteIDs[piece[i]], prev: int32(i - 1), next: int32(i + 1)}
	}
	nodes[len(nodes)-1].next = -1
	ruleAt := func(at int32) (rule, bool) {
		next := nodes[at].next
		if nodes[at].merged || next < 0 {
			return rule{}, false
		}
		r, ok := t.rules[pair{nodes[at].id, nodes[next].id}]
		return r, ok
	}
	queue := make(places, 0, len(nodes))
	for i := range nodes {
		if r, ok := ruleAt(int32(i)); ok {
			queue = append(queue, newPlace(r.rank, int32(i)))
		}
	}
	slices.Sort(queue) // a sorted slice is a heap
	for len(queue) > 0 {
		top := queue.pop()
		at := top.at()
		r, ok := ruleAt(at)
		if !ok || r.rank != top.rank() {
			continue
		}
		left := &nodes[at]
		right := &nodes[left.next]
		right.merged = true
		left.id, left.next = r.result, right.next
		if left.next >= 0 {
			nodes[left.next].prev = at
		}
		for _, changed := range [2]int32{left.prev, at} {
			if changed < 0 {
				continue
			}
			if r, ok := ruleAt(changed); ok {
				queue.push(newPlace(r.rank, changed))
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

// place is a pair that can be merged: its rank in the upper half, the node of its left token in the
// lower. So the least place is the one of lowest rank, the leftmost of equals.
type place uint64

func newPlace(rank uint32, at int32) place { return place(rank)<<32 | place(at) }
func (p place) rank() uint32               { return uint32(p >> 32) }
func (p place) at() int32                  { return int32(uint32(p)) }

// places is a binary heap, the least first. container/heap would allocate for each of a million places.
type places []place

func (q *places) push(p place) {
	h := append(*q, p)
	i := len(h) - 1
	for i > 0 && h[i] < h[(i-1)/2] {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
		i = (i - 1) / 2
	}
	*q = h
}

func (q *places) pop() place {
	h := *q
	least, last := h[0], len(h)-1
	h[0] = h[last]
	h = h[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && h[child+1] < h[child] {
			child++
		}
		if h[i] <= h[child] {
			break
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
	*q = h
	return least
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
