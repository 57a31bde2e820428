package kernels

import (
	"fmt"
	"math"
	"unsafe"
)

// PageUnit divides the number of tokens of a page.
const PageUnit = 32

// Cache says how the keys and values of one attention head of one layer lie in pages of tokens:
//
//	keys    (PageTokens/32, HeadDim, 32)    32 tokens side by side, so that one query times 32 keys needs no sums across a register
//	values  (PageTokens, ValueStep)         ValueStep is HeadDim rounded up to 16; the rest is zero or whatever it was
//
// The elements are float32 or the bits of float16 (uint16). float16 keeps 11 bits of each number; bfloat16's 8 would show in the logits.
type Cache struct {
	HeadDim    int
	PageTokens int // a multiple of PageUnit
}

// NewCache checks the sizes.
func NewCache(headDim, pageTokens int) (Cache, error) {
	if headDim < 1 || pageTokens < 1 || pageTokens%PageUnit != 0 {
		return Cache{}, fmt.Errorf("kernels: a cache of heads of %d in pages of %d tokens (a multiple of %d)", headDim, pageTokens, PageUnit)
	}
	return Cache{headDim, pageTokens}, nil
}

// KeyLen is the number of elements of a page's keys.
func (c Cache) KeyLen() int { return c.HeadDim * c.PageTokens }

// ValueStep is the distance between the values of two tokens.
func (c Cache) ValueStep() int { return ceilDiv(c.HeadDim, 16) * 16 }

// ValueLen is the number of elements of a page's values.
func (c Cache) ValueLen() int { return c.ValueStep() * c.PageTokens }

// Cached is what a cache's elements can be: float32, or float16 as bits.
type Cached interface{ uint16 | float32 }

// Head is where one sequence's keys and values of one head lie: those of its page number i begin at Data[Table[i]·Step+Keys] and
// Data[Table[i]·Step+Values].
type Head[T Cached] struct {
	Cache        Cache
	Data         []T
	Table        []int32
	Step         int
	Keys, Values int
}

func (h *Head[T]) keys(page int) []T {
	return h.Data[int(h.Table[page])*h.Step+h.Keys:][:h.Cache.KeyLen()]
}

func (h *Head[T]) values(page int) []T {
	return h.Data[int(h.Table[page])*h.Step+h.Values:][:h.Cache.ValueLen()]
}

// Store writes the key and the value, HeadDim numbers each, of the token at a position of the sequence.
func Store[T Cached](h *Head[T], position int, key, value []float32) {
	c := h.Cache
	key, value = key[:c.HeadDim], value[:c.HeadDim]
	slot := position % c.PageTokens
	keys := h.keys(position / c.PageTokens)[slot/PageUnit*c.HeadDim*PageUnit+slot%PageUnit:]
	values := h.values(position / c.PageTokens)[slot*c.ValueStep():][:c.ValueStep()]
	switch values := any(values).(type) {
	case []float32:
		copy(values, value)
		keys := any(keys).([]float32)
		for i, v := range key {
			keys[i*PageUnit] = v
		}
	case []uint16:
		toHalf(values[:len(value)], value)
		keys := any(keys).([]uint16)
		for len(key) > 0 {
			var part [64]uint16
			n := min(len(key), len(part))
			toHalf(part[:n], key[:n])
			for i, v := range part[:n] {
				keys[i*PageUnit] = v
			}
			keys, key = keys[min(len(keys), n*PageUnit):], key[n:]
		}
	}
}

// Scratch is what Attend needs to work in. Each thread has its own; the zero value is ready.
type Scratch struct {
	queries, scores, sums []float32
}

// Queries are the queries of tokens that follow one another, for the heads that share one head of keys and values. Those of token t, which stands at
// position First+t and sees itself and all before it, begin at Q[t·Step] and lie side by side, Heads of them. Out is laid out in the
// same way, with OutStep.
type Queries struct {
	Q             []float32
	Step          int
	Out           []float32
	OutStep       int
	First, Tokens int
	Heads         int
}

// Attend sets Out to the attention of the queries to the keys and values of a head: softmax(q·k / sqrt(HeadDim))·v (Vaswani et al. 2017, eq. 1), causal.
// Positions up to First+Tokens-1 must have been stored.
func Attend[T Cached](s *Scratch, h *Head[T], q Queries) {
	rows := q.Tokens * q.Heads
	for first := 0; first < rows; first += inputRows {
		attendRows(s, h, &q, first, min(inputRows, rows-first))
	}
}

// attendRows does up to 12 rows: row r is head r%Heads of token r/Heads.
func attendRows[T Cached](s *Scratch, h *Head[T], q *Queries, first, rows int) {
	c := h.Cache
	dim, valueStep := c.HeadDim, c.ValueStep()
	format, size := elementFormat[T]()
	seen := q.First + (first+rows-1)/q.Heads + 1 // by the last row

	s.queries = grow(s.queries, inputRows*dim)
	for r := range rows {
		t, head := (first+r)/q.Heads, (first+r)%q.Heads
		copy(s.queries[r*dim:][:dim], q.Q[t*q.Step+head*dim:])
	}

	// Scores (rows, seen). The distance of rows is no power of two, which would put all of them in the same lines of the cache.
	units := ceilDiv(seen, PageUnit)
	scoreStep := units*PageUnit + 16
	s.scores = grow(s.scores, inputRows*scoreStep)
	alpha := float32(1 / math.Sqrt(float64(dim)))
	perPage := c.PageTokens / PageUnit
	keysOf := func(unit int) unsafe.Pointer {
		return unsafe.Pointer(&h.keys(unit / perPage)[unit%perPage*dim*PageUnit])
	}
	for unit := 0; unit < units; unit++ {
		if rows == 1 && unit+1 < units && wide(format, dim, &s.queries[0], 4, keysOf(unit), keysOf(unit+1), PageUnit*size, 2*PageUnit, &s.scores[unit*PageUnit], alpha, 0) {
			unit++
			continue
		}
		tile(format, rows, dim, &s.queries[0], 4*dim, 4, keysOf(unit), PageUnit*size, PageUnit, &s.scores[unit*PageUnit], 4*scoreStep, alpha, 0)
	}

	var inverse [inputRows]float32
	for r := range rows {
		row := s.scores[r*scoreStep:][:seen]
		own := q.First + (first+r)/q.Heads + 1
		inverse[r] = 1 / expSum(row[:own], 1, maximum(row[:own]))
		clear(row[own:])
	}

	s.sums = grow(s.sums, inputRows*valueStep)
	for page := range ceilDiv(seen, c.PageTokens) {
		values := h.values(page)
		tokens := min(c.PageTokens, seen-page*c.PageTokens)
		var beta float32
		if page > 0 {
			beta = 1
		}
		for col := 0; col < valueStep; {
			cols := min(64, valueStep-col)
			if rows == 1 && cols > 32 && wide(format, tokens, &s.scores[page*c.PageTokens], 4, unsafe.Pointer(&values[col]), unsafe.Pointer(&values[col+32]), valueStep*size, cols, &s.sums[col], 1, beta) {
				col += cols
				continue
			}
			cols = min(32, cols)
			tile(format, rows, tokens, &s.scores[page*c.PageTokens], 4*scoreStep, 4, unsafe.Pointer(&values[col]), valueStep*size, cols, &s.sums[col], 4*valueStep, 1, beta)
			col += cols
		}
	}
	for r := range rows {
		t, head := (first+r)/q.Heads, (first+r)%q.Heads
		scale(q.Out[t*q.OutStep+head*dim:][:dim], s.sums[r*valueStep:], inverse[r])
	}
}

func elementFormat[T Cached]() (Format, int) {
	var one T
	if unsafe.Sizeof(one) == 4 {
		return F32, 4
	}
	return F16, 2
}
