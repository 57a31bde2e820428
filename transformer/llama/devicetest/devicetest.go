// Package devicetest holds a llama.Device to the formulas of a Llama, and to what package transformer's engine relies on. Every device
// passes it.
package devicetest

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/transformer/gguf"
	"teller/transformer/llama"
	"teller/transformer/transformertest"
	"teller/transformer/weights"
)

// Suite is how one kind of device is tested.
type Suite struct {
	// Open makes a device with room for so many pages, which is closed when the test ends.
	Open func(t testing.TB, m *llama.Model, pages int) llama.Device
	// Tolerance bounds how far logits may be from those of float64, relative to the greatest of them, where weights and cache are exact.
	Tolerance float64
	// Quantised is Tolerance for weights of eight or four bits, the formulas computing with what these bits stand for: it is larger where a
	// device rounds its inputs to eight bits as well.
	Quantised float64
}

// Run runs all tests.
func (s Suite) Run(t *testing.T) {
	t.Run("logits agree with the reference", s.reference)
	t.Run("logits do not depend on the batch", s.batches)
	t.Run("extras are added to embeddings", s.extras)
	t.Run("pages are where they are said to be", s.pages)
	t.Run("nothing is asked for", s.nothing)
}

func (s Suite) open(t testing.TB, w *weights.Model, o llama.Options, pages int) llama.Device {
	m, err := llama.New(w, o)
	require.NoError(t, err)
	d := s.Open(t, m, pages)
	t.Cleanup(d.Close)
	require.NotEmpty(t, d.Name())
	require.Equal(t, pages, d.Pages())
	require.Positive(t, d.Threads())
	return d
}

// Step runs a batch and gives its logits, output after output.
func Step(t testing.TB, d llama.Device, vocab int, b llama.Batch) [][]float32 {
	t.Helper()
	n := 0
	for _, p := range b.Pieces {
		n += p.Outputs
	}
	out := make([][]float32, n)
	require.NoError(t, d.Step(&b, func(worker, i int, logits []float32) {
		if worker < 0 || worker >= d.Threads() || out[i] != nil {
			t.Errorf("output %d came twice, or from worker %d", i, worker)
		}
		out[i] = slices.Clone(logits[:vocab])
	}))
	return out
}

// Tokens gives n random ids.
func Tokens(n, vocab int, seed uint64) []int {
	random := rand.New(rand.NewPCG(seed, 7))
	tokens := make([]int, n)
	for i := range tokens {
		tokens[i] = random.IntN(vocab)
	}
	return tokens
}

// Pages gives n pages, the lowest of them from, in no natural order.
func Pages(from, n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(from + n - 1 - i)
	}
	return out
}

// RequireClose compares relative to the greatest logit, and gives the greatest difference.
func RequireClose(t testing.TB, want []float64, got []float32, tolerance float64) float64 {
	t.Helper()
	require.Len(t, got, len(want))
	top, worst := 0.0, 0.0
	for i := range want {
		top = max(top, math.Abs(want[i]))
		worst = max(worst, math.Abs(want[i]-float64(got[i])))
	}
	require.Less(t, worst, tolerance*top, "greatest logit %v", top)
	return worst / top
}

func (s Suite) reference(t *testing.T) {
	base := transformertest.Architecture()
	with := func(change func(*weights.Architecture)) weights.Architecture {
		a := base
		change(&a)
		return a
	}
	exact := llama.Options{ExactCache: true}
	for _, c := range []struct {
		name      string
		a         weights.Architecture
		kind      gguf.Type
		options   llama.Options
		tokens    int
		tolerance float64
	}{
		{"float32", base, gguf.F32, exact, 100, s.Tolerance},
		{"float32, cache of float16", base, gguf.F32, llama.Options{}, 100, 2e-3},
		{"float16", base, gguf.F16, exact, 40, s.Tolerance},
		{"bfloat16", base, gguf.BF16, exact, 40, s.Tolerance},
		{"eight bits", base, gguf.Q8_0, exact, 40, s.Quantised},
		{"four bits", base, gguf.Q4_0, exact, 40, s.Quantised},
		{"quantised", base, gguf.F32, llama.Options{Quantise: true, ExactCache: true}, 40, 0.1},
		{"tied head", with(func(a *weights.Architecture) { a.TiedHead = true }), gguf.F32, exact, 40, s.Tolerance},
		{"one head of keys", with(func(a *weights.Architecture) { a.KVHeads = 1 }), gguf.F32, exact, 40, s.Tolerance},
		{"each query its keys", with(func(a *weights.Architecture) { a.KVHeads = 4 }), gguf.F32, exact, 40, s.Tolerance},
		{"neighbours turn together", with(func(a *weights.Architecture) { a.Rope.Pairing = weights.Neighbours }), gguf.F32, exact, 40, s.Tolerance},
		{"Llama 3.1's positions", with(func(a *weights.Architecture) {
			a.Rope.Llama3 = &weights.Llama3Scaling{Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContext: 64}
		}), gguf.F32, exact, 100, s.Tolerance},
		{"smallest", weights.Architecture{Vocab: 3, Hidden: 1, Intermediate: 1, NumLayers: 1, Heads: 1, KVHeads: 1, HeadDim: 2, Context: 64, RMSEps: 1e-5,
			Rope: base.Rope}, gguf.F32, exact, 5, s.Tolerance},
		{"odd sizes", weights.Architecture{Vocab: 101, Hidden: 19, Intermediate: 31, NumLayers: 3, Heads: 3, KVHeads: 1, HeadDim: 10, Context: 64, RMSEps: 1e-5,
			Rope: base.Rope, TiedHead: true}, gguf.F32, exact, 45, s.Tolerance},
		{"odd sizes, quantised", weights.Architecture{Vocab: 101, Hidden: 51, Intermediate: 75, NumLayers: 3, Heads: 3, KVHeads: 1, HeadDim: 10, Context: 64, RMSEps: 1e-5,
			Rope: base.Rope, TiedHead: true}, gguf.F32, llama.Options{Quantise: true, ExactCache: true}, 45, 0.1},
		{"heads wider than the model", weights.Architecture{Vocab: 11, Hidden: 7, Intermediate: 5, NumLayers: 1, Heads: 6, KVHeads: 3, HeadDim: 8, Context: 64, RMSEps: 1e-5,
			Rope: base.Rope}, gguf.F32, exact, 37, s.Tolerance},
		{"wide heads", weights.Architecture{Vocab: 11, Hidden: 40, Intermediate: 24, NumLayers: 1, Heads: 2, KVHeads: 1, HeadDim: 144, Context: 64, RMSEps: 1e-5,
			Rope: base.Rope}, gguf.F32, exact, 37, s.Tolerance},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := transformertest.Weights(c.a, c.kind, 11)
			tokens := Tokens(c.tokens, c.a.Vocab, 5)
			want := transformertest.Logits(w, tokens)
			d := s.open(t, w, c.options, 8)
			got := Step(t, d, c.a.Vocab, llama.Batch{Pieces: []llama.Piece{{Tokens: tokens, Pages: Pages(2, 5), Outputs: len(tokens)}}})
			worst := 0.0
			for i := range want {
				worst = max(worst, RequireClose(t, want[i], got[i], c.tolerance))
			}
			t.Logf("greatest difference %.1e", worst)
			last := Step(t, d, c.a.Vocab, llama.Batch{Pieces: []llama.Piece{{Tokens: tokens, Pages: Pages(2, 5), Outputs: 1}}})
			require.Equal(t, got[len(got)-1], last[0], "the last layer of a prompt may be cut short")
		})
	}
}

// What a sequence gets must be the same to the last bit, alone or among others, at once or in pieces.
func (s Suite) batches(t *testing.T) {
	a := transformertest.Architecture()
	a.Hidden, a.Intermediate = 288, 320 // more columns than one block of depth
	for _, kind := range []gguf.Type{gguf.F32, gguf.F16, gguf.BF16, gguf.Q8_0} {
		t.Run(kind.String(), func(t *testing.T) {
			w := transformertest.Weights(a, kind, 3)
			d := s.open(t, w, llama.Options{}, 64)
			const sequences = 7
			var tokens [][]int
			var alone [][][]float32
			for i := range sequences {
				tokens = append(tokens, Tokens(40+i, a.Vocab, uint64(i)))
				alone = append(alone, nil)
				for at, id := range tokens[i] { // token after token
					got := Step(t, d, a.Vocab, llama.Batch{Pieces: []llama.Piece{{Tokens: []int{id}, First: at, Pages: Pages(60, 3), Outputs: 1}}})
					alone[i] = append(alone[i], got[0])
				}
			}
			for _, cut := range []int{1, 2, 3, 13, 35} { // all together, each in pieces of its own
				done := make([]int, sequences)
				for running := true; running; {
					var b llama.Batch
					var of []int
					for i := range sequences {
						n := min(1+(cut+i)%cut*7+cut*(i%2), len(tokens[i])-done[i])
						if n == 0 {
							continue
						}
						of = append(of, i)
						b.Pieces = append(b.Pieces, llama.Piece{Tokens: tokens[i][done[i]:][:n], First: done[i], Pages: Pages(3*i, 3), Outputs: n})
					}
					if running = len(of) > 0; !running {
						break
					}
					got := Step(t, d, a.Vocab, b)
					for j, i := range of {
						for range b.Pieces[j].Outputs {
							require.Equal(t, alone[i][done[i]], got[0], "sequence %d, token %d, cut %d", i, done[i], cut)
							done[i]++
							got = got[1:]
						}
					}
				}
			}
		})
	}
}

func (s Suite) extras(t *testing.T) {
	a := transformertest.Architecture()
	w := transformertest.Weights(a, gguf.F32, 3)
	d := s.open(t, w, llama.Options{ExactCache: true}, 4)
	vector := w.Embedding.Float32s()[5*a.Hidden : 6*a.Hidden]
	// Token 3 plus what makes it token 5.
	difference := slices.Clone(vector)
	for i, v := range w.Embedding.Float32s()[3*a.Hidden : 4*a.Hidden] {
		difference[i] -= v
	}
	run := func(tokens []int, extras ...llama.Extra) []float32 {
		return Step(t, d, a.Vocab, llama.Batch{Pieces: []llama.Piece{
			{Tokens: []int{1, 2}, Pages: Pages(0, 1), Outputs: 0}, {Tokens: tokens, Pages: Pages(1, 1), Outputs: 1},
		}, Extras: extras})[0]
	}
	want, got := run([]int{7, 5, 9}), run([]int{7, 3, 9}, llama.Extra{Piece: 1, Token: 1, Vector: difference})
	for i := range want {
		require.InDelta(t, want[i], got[i], 1e-5)
	}
	half := slices.Clone(difference)
	for i := range half {
		half[i] /= 2
	}
	twice := run([]int{3, 3, 9}, llama.Extra{Piece: 1, Token: 1, Vector: half}, llama.Extra{Piece: 1, Token: 0, Vector: half},
		llama.Extra{Piece: 1, Token: 1, Vector: half}, llama.Extra{Piece: 1, Token: 0, Vector: half})
	want = run([]int{5, 5, 9})
	for i := range want {
		require.InDelta(t, want[i], twice[i], 1e-5)
	}
}

// Two sequences share the pages of their beginning, and one of them goes on where another page's sequence ended.
func (s Suite) pages(t *testing.T) {
	a := transformertest.Architecture()
	w := transformertest.Weights(a, gguf.F32, 3)
	d := s.open(t, w, llama.Options{}, 6)
	common := Tokens(2*llama.PageTokens, a.Vocab, 1)
	Step(t, d, a.Vocab, llama.Batch{Pieces: []llama.Piece{{Tokens: common, Pages: []int32{4, 1}}}})
	first, second := Tokens(9, a.Vocab, 2), Tokens(40, a.Vocab, 3)
	got := Step(t, d, a.Vocab, llama.Batch{Pieces: []llama.Piece{
		{Tokens: first, First: len(common), Pages: []int32{4, 1, 5}, Outputs: 1},
		{Tokens: second, First: len(common), Pages: []int32{4, 1, 0, 3}, Outputs: 1},
	}})
	for i, tokens := range [][]int{first, second} {
		want := transformertest.Logits(w, slices.Concat(common, tokens))
		RequireClose(t, want[len(want)-1], got[i], 2e-3)
	}
	again := Tokens(40, a.Vocab, 4)
	other := Step(t, d, a.Vocab, llama.Batch{Pieces: []llama.Piece{{Tokens: again, Pages: []int32{5, 2}, Outputs: 1}}})
	want := transformertest.Logits(w, again)
	RequireClose(t, want[len(want)-1], other[0], 2e-3)
}

// A step may want no logits at all, and a device that rested wakes up.
func (s Suite) nothing(t *testing.T) {
	a := transformertest.Architecture()
	w := transformertest.Weights(a, gguf.F32, 3)
	d := s.open(t, w, llama.Options{ExactCache: true}, 2)
	tokens := Tokens(20, a.Vocab, 1)
	require.Empty(t, Step(t, d, a.Vocab, llama.Batch{Pieces: []llama.Piece{{Tokens: tokens[:19], Pages: Pages(0, 1)}}}))
	d.Rest()
	d.Rest()
	got := Step(t, d, a.Vocab, llama.Batch{Pieces: []llama.Piece{{Tokens: tokens[19:], First: 19, Pages: Pages(0, 1), Outputs: 1}}})
	RequireClose(t, transformertest.Logits(w, tokens)[19], got[0], s.Tolerance)
}
