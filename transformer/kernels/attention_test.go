package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// checkAttend stores a sequence in shuffled pages and compares the attention of its last tokens with float64.
func checkAttend[T Cached](t testing.TB, dim, pageTokens, first, tokens, heads int) {
	rng := rand.New(rand.NewPCG(uint64(dim), uint64(first)))
	c, err := NewCache(dim, pageTokens)
	require.NoError(t, err)
	total := first + tokens
	pages := (total + pageTokens - 1) / pageTokens
	h := Head[T]{Cache: c, Step: c.KeyLen() + c.ValueLen() + 5, Keys: 5, Values: 5 + c.KeyLen()}
	h.Data = guarded[T](t, pages*h.Step)
	for i := range h.Data { // what was there before must not matter, be it NaN
		switch d := any(h.Data).(type) {
		case []float32:
			d[i] = float32(math.NaN())
		case []uint16:
			d[i] = 0x7e00
		}
	}
	for _, p := range rng.Perm(pages) {
		h.Table = append(h.Table, int32(p))
	}
	keys, values := randomFloats(rng, total*dim), randomFloats(rng, total*dim)
	for p := range total {
		Store(&h, p, keys[p*dim:][:dim], values[p*dim:][:dim])
	}
	tolerance := 1e-5
	if format, _ := elementFormat[T](); format == F16 {
		tolerance = 1e-4
		for _, x := range [][]float32{keys, values} {
			half := make([]uint16, len(x))
			ToHalf(half, x)
			FromHalf(x, half)
		}
	}
	step, outStep := heads*dim+3, heads*dim+1
	q := Queries{Q: guarded[float32](t, (tokens-1)*step+heads*dim), Step: step, Out: guarded[float32](t, (tokens-1)*outStep+heads*dim), OutStep: outStep, First: first, Tokens: tokens, Heads: heads}
	copy(q.Q, randomFloats(rng, len(q.Q)))
	var s Scratch
	Attend(&s, &h, q)
	for token := range tokens {
		for head := range heads {
			query := q.Q[token*step+head*dim:][:dim]
			want := make([]float64, dim)
			var sum float64
			for p := range first + token + 1 {
				var dot float64
				for i, v := range query {
					dot += float64(v) * float64(keys[p*dim+i])
				}
				e := math.Exp(dot / math.Sqrt(float64(dim)))
				sum += e
				for i := range want {
					want[i] += e * float64(values[p*dim+i])
				}
			}
			for i := range want {
				require.InDelta(t, want[i]/sum, q.Out[token*outStep+head*dim+i], tolerance, "token %d, head %d, element %d", token, head, i)
			}
		}
	}
}

func TestAttendAgreesWithFloat64(t *testing.T) {
	onEachLevel(t, func(t *testing.T) {
		for _, s := range [][5]int{
			{1, 32, 0, 1, 1}, {3, 32, 0, 40, 1}, {48, 32, 100, 1, 1}, {48, 64, 0, 65, 1}, {64, 64, 63, 1, 4}, {64, 32, 31, 34, 3}, {100, 96, 200, 13, 2}, {128, 64, 5, 7, 8}, {16, 32, 0, 33, 13},
		} {
			t.Run(fmt.Sprint(s), func(t *testing.T) {
				checkAttend[float32](t, s[0], s[1], s[2], s[3], s[4])
				checkAttend[uint16](t, s[0], s[1], s[2], s[3], s[4])
			})
		}
	})
}

func FuzzAttend(f *testing.F) {
	f.Add(uint8(48), uint8(1), uint16(70), uint8(3), uint8(2))
	f.Fuzz(func(t *testing.T, dim, page uint8, first uint16, tokens, heads uint8) {
		defer func(l Level) { level = l }(level)
		for _, level = range supported() {
			checkAttend[float32](t, int(dim)%130+1, (int(page)%4+1)*32, int(first)%200, int(tokens)%30+1, int(heads)%9+1)
			checkAttend[uint16](t, int(dim)%130+1, (int(page)%4+1)*32, int(first)%200, int(tokens)%30+1, int(heads)%9+1)
		}
	})
}

func TestAttendDoesNotAllocate(t *testing.T) {
	c, err := NewCache(48, 64)
	require.NoError(t, err)
	h := Head[uint16]{Cache: c, Data: make([]uint16, c.KeyLen()+c.ValueLen()), Table: []int32{0}, Values: c.KeyLen()}
	x, out := make([]float32, 48), make([]float32, 48)
	var s Scratch
	q := Queries{Q: x, Step: 48, Out: out, OutStep: 48, First: 0, Tokens: 1, Heads: 1}
	Attend(&s, &h, q)
	require.Zero(t, testing.AllocsPerRun(10, func() {
		Store(&h, 0, x, x)
		Attend(&s, &h, q)
	}))
}

func TestNewCacheRefuses(t *testing.T) {
	for _, s := range [][2]int{{0, 32}, {48, 0}, {48, 33}, {-1, 32}, {48, -32}} {
		_, err := NewCache(s[0], s[1])
		require.Error(t, err)
	}
}

// A head of the 15M and of the 110M model: one new token after a context, and a chunk of 128. Operations count both products.
func BenchmarkAttend(b *testing.B) {
	for _, s := range [][3]int{{48, 255, 1}, {64, 1023, 1}, {48, 384, 128}, {64, 384, 128}} {
		dim, first, tokens := s[0], s[1], s[2]
		b.Run(fmt.Sprintf("dim=%d/context=%d/tokens=%d", dim, first, tokens), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			c, _ := NewCache(dim, 64)
			h := Head[uint16]{Cache: c, Step: c.KeyLen() + c.ValueLen(), Values: c.KeyLen()}
			for p := range (first + tokens + 63) / 64 {
				h.Table = append(h.Table, int32(p))
			}
			h.Data = aligned[uint16](len(h.Table) * h.Step)
			x := randomFloats(rng, dim)
			for p := range first + tokens {
				Store(&h, p, x, x)
			}
			var s Scratch
			q := Queries{Q: randomFloats(rng, tokens*dim), Step: dim, Out: make([]float32, tokens*dim), OutStep: dim, First: first, Tokens: tokens, Heads: 1}
			for b.Loop() {
				Attend(&s, &h, q)
			}
			pairs := tokens*first + tokens*(tokens+1)/2
			b.ReportMetric(4*float64(dim*pairs*b.N)/1e9/b.Elapsed().Seconds(), "GFLOP/s")
			b.ReportMetric(float64(2*2*dim*(first+tokens)*b.N)/1e9/b.Elapsed().Seconds(), "GB/s")
		})
	}
}
