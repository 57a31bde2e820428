package tokenizers

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// bpe merges neighbouring tokens: of all pairs that have a rule the one of lowest rank first, the leftmost of equals.
type bpe struct {
	rules map[pair]rule
	// A text starts as bytes, each a token, or as the runes that are tokens and the bytes of those that are not.
	bytes [256]int32       // -1 where the vocabulary has no token for a byte
	runes map[string]int32 // nil: bytes only
	// unknown stands for what has neither; -1 leaves it out. fuse makes one of several in a row.
	unknown int32
	fuse    bool
	whole   map[string]int32 // pieces that are tokens and need no merging; nil for none
	cache   wordCache
}

// pair is two neighbouring tokens.
type pair struct{ left, right int32 }

// rule is what a pair becomes.
type rule struct{ rank, result int32 }

// shortPiece is the number of symbols up to which scanning for the best pair beats keeping a heap of them.
const shortPiece = 32

// longestCached is the length in bytes up to which pieces are remembered.
const longestCached = 64

func (b *bpe) append(ids []int, piece string) []int {
	if piece == "" {
		return ids
	}
	if len(piece) > longestCached {
		return appendIDs(ids, b.encode(piece))
	}
	word, ok := b.cache.get(piece)
	if !ok {
		word = b.encode(piece)
		b.cache.put(piece, word)
	}
	return appendIDs(ids, word)
}

func appendIDs(ids []int, word []int32) []int {
	for _, id := range word {
		ids = append(ids, int(id))
	}
	return ids
}

func (b *bpe) encode(piece string) []int32 {
	if id, ok := b.whole[piece]; ok {
		return []int32{id}
	}
	word := b.symbols(piece)
	if len(word) <= shortPiece {
		return b.mergeShort(word)
	}
	return b.mergeLong(word)
}

// symbols is what merging starts from.
func (b *bpe) symbols(piece string) []int32 {
	word := make([]int32, 0, len(piece))
	unknown := func() {
		if b.unknown >= 0 && !(b.fuse && len(word) > 0 && word[len(word)-1] == b.unknown) {
			word = append(word, b.unknown)
		}
	}
	if b.runes == nil {
		for i := range len(piece) {
			if id := b.bytes[piece[i]]; id >= 0 {
				word = append(word, id)
			} else {
				unknown()
			}
		}
		return word
	}
	for len(piece) > 0 {
		_, size := utf8.DecodeRuneInString(piece)
		r := piece[:size]
		piece = piece[size:]
		if id, ok := b.runes[r]; ok {
			word = append(word, id)
			continue
		}
		if b.haveBytes(r) {
			for i := range len(r) {
				word = append(word, b.bytes[r[i]])
			}
		} else {
			unknown()
		}
	}
	return word
}

func (b *bpe) haveBytes(r string) bool {
	for i := range len(r) {
		if b.bytes[r[i]] < 0 {
			return false
		}
	}
	return true
}

func (b *bpe) mergeShort(word []int32) []int32 {
	for {
		at, best := -1, rule{}
		for i := range len(word) - 1 {
			if r, ok := b.rules[pair{word[i], word[i+1]}]; ok && (at < 0 || r.rank < best.rank) {
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

// mergeLong gives what mergeShort gives, in O(n log n): the tokens form a linked list and the places that can be merged wait in a
// heap. A place is stale once the pair that is there has another rank, or another result.
func (b *bpe) mergeLong(word []int32) []int32 {
	nodes := make([]node, len(word))
	for i, id := range word {
		nodes[i] = node{id: id, prev: int32(i - 1), next: int32(i + 1)}
	}
	nodes[len(nodes)-1].next = -1
	ruleAt := func(at int32) (rule, bool) {
		next := nodes[at].next
		if nodes[at].merged || next < 0 {
			return rule{}, false
		}
		r, ok := b.rules[pair{nodes[at].id, nodes[next].id}]
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
	out := word[:0]
	for i := int32(0); i >= 0; i = nodes[i].next {
		out = append(out, nodes[i].id)
	}
	return out
}

// node is a token in the linked list; prev and next are -1 at the ends.
type node struct {
	id         int32
	prev, next int32
	merged     bool // into its left neighbour
}

// place is a pair that can be merged: its rank in the upper half, the node of its left token in the lower. So the least place
// is the one of lowest rank, the leftmost of equals.
type place uint64

func newPlace(rank, at int32) place { return place(rank)<<32 | place(at) }
func (p place) rank() int32         { return int32(p >> 32) }
func (p place) at() int32           { return int32(uint32(p)) }

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

// wordCache remembers the tokens of short pieces. When it is full it starts again: the words of a language come back at once, and
// text made up to fill it costs no more than not having it.
type wordCache struct {
	mu    sync.RWMutex
	words map[string][]int32
}

const maxCachedWords = 8192

func (c *wordCache) get(piece string) ([]int32, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	word, ok := c.words[piece]
	return word, ok
}

func (c *wordCache) put(piece string, word []int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.words == nil || len(c.words) >= maxCachedWords {
		c.words = make(map[string][]int32)
	}
	c.words[strings.Clone(piece)] = slices.Clone(word) // clones, so that no large array is kept alive
}

// addMerges makes rules of merges in the order of their ranks. A merge whose result is no ordinary token is left out, so that no text
// merges into a control token.
func (b *bpe) addMerges(merges []merge, ids map[string]int32, tokens []token) error {
	b.rules = make(map[pair]rule, len(merges))
	for rank, m := range merges {
		left, okLeft := ids[m[0]]
		right, okRight := ids[m[1]]
		result, okResult := ids[m[0]+m[1]]
		if !okLeft || !okRight || !okResult {
			return fmt.Errorf("merge %d of %q and %q: a part or the whole is not in the vocabulary", rank, m[0], m[1])
		}
		if k := tokens[result].kind; k != Normal && k != UserDefined {
			continue
		}
		p := pair{left, right}
		if _, twice := b.rules[p]; twice {
			return fmt.Errorf("merge %d of %q and %q occurs twice", rank, m[0], m[1])
		}
		b.rules[p] = rule{rank: int32(rank), result: result}
	}
	return nil
}
