package llama_test

import (
	"fmt"
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

func newCPU(t testing.TB, w *weights.Model, o llama.Options, pages, threads int) *llama.CPU {
	m, err := llama.New(w, o)
	require.NoError(t, err)
	c, err := llama.NewCPU(m, pages, threads)
	require.NoError(t, err)
	t.Cleanup(c.Rest)
	return c
}

// step runs a batch and gives its logits, output after output.
func step(c *llama.CPU, vocab int, b llama.Batch) [][]float32 {
	n := 0
	for _, p := range b.Pieces {
		n += p.Outputs
	}
	out := make([][]float32, n)
	c.Step(&b, func(_, i int, logits []float32) { out[i] = slices.Clone(logits[:vocab]) })
	return out
}

func randomTokens(n, vocab int, seed uint64) []int {
	random := rand.New(rand.NewPCG(seed, 7))
	tokens := make([]int, n)
	for i := range tokens {
		tokens[i] = random.IntN(vocab)
	}
	return tokens
}

func pages(from, n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(from + n - 1 - i) // in no natural order
	}
	return out
}

// requireClose compares relative to the greatest logit.
func requireClose(t *testing.T, want []float64, got []float32, tolerance float64) {
	t.Helper()
	require.Len(t, got, len(want))
	top, worst := 0.0, 0.0
	for i := range want {
		top = max(top, math.Abs(want[i]))
		worst = max(worst, math.Abs(want[i]-float64(got[i])))
	}
	require.Less(t, worst, tolerance*top, "greatest logit %v", top)
}

func TestLogitsAgreeWithReference(t *testing.T) {
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
		{"float32", base, gguf.F32, exact, 100, 1e-5},
		{"float32, cache of float16", base, gguf.F32, llama.Options{}, 100, 2e-3},
		{"float16", base, gguf.F16, exact, 40, 1e-5},
		{"bfloat16", base, gguf.BF16, exact, 40, 1e-5},
		{"eight bits", base, gguf.Q8_0, exact, 40, 0.1},
		{"quantised", base, gguf.F32, llama.Options{Quantise: true, ExactCache: true}, 40, 0.1},
		{"tied head", with(func(a *weights.Architecture) { a.TiedHead = true }), gguf.F32, exact, 40, 1e-5},
		{"one head of keys", with(func(a *weights.Architecture) { a.KVHeads = 1 }), gguf.F32, exact, 40, 1e-5},
		{"each query its keys", with(func(a *weights.Architecture) { a.KVHeads = 4 }), gguf.F32, exact, 40, 1e-5},
		{"neighbours turn together", with(func(a *weights.Architecture) { a.Rope.Pairing = weights.Neighbours }), gguf.F32, exact, 40, 1e-5},
		{"Llama 3.1's positions", with(func(a *weights.Architecture) {
			a.Rope.Llama3 = &weights.Llama3Scaling{Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContext: 64}
		}), gguf.F32, exact, 100, 1e-5},
		{"smallest", weights.Architecture{Vocab: 3, Hidden: 1, Intermediate: 1, NumLayers: 1, Heads: 1, KVHeads: 1, HeadDim: 2, Context: 64, RMSEps: 1e-5,
			Rope: base.Rope}, gguf.F32, exact, 5, 1e-5},
		{"odd sizes", weights.Architecture{Vocab: 101, Hidden: 19, Intermediate: 31, NumLayers: 3, Heads: 3, KVHeads: 1, HeadDim: 10, Context: 64, RMSEps: 1e-5,
			Rope: base.Rope, TiedHead: true}, gguf.F32, exact, 45, 1e-5},
		{"odd sizes, quantised", weights.Architecture{Vocab: 101, Hidden: 51, Intermediate: 75, NumLayers: 3, Heads: 3, KVHeads: 1, HeadDim: 10, Context: 64, RMSEps: 1e-5,
			Rope: base.Rope, TiedHead: true}, gguf.F32, llama.Options{Quantise: true, ExactCache: true}, 45, 0.1},
		{"heads wider than the model", weights.Architecture{Vocab: 11, Hidden: 7, Intermediate: 5, NumLayers: 1, Heads: 6, KVHeads: 3, HeadDim: 8, Context: 64, RMSEps: 1e-5,
			Rope: base.Rope}, gguf.F32, exact, 37, 1e-5},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := transformertest.Weights(c.a, c.kind, 11)
			tokens := randomTokens(c.tokens, c.a.Vocab, 5)
			want := transformertest.Logits(w, tokens)
			for _, threads := range []int{1, 2} {
				cpu := newCPU(t, w, c.options, 8, threads)
				got := step(cpu, c.a.Vocab, llama.Batch{Pieces: []llama.Piece{{Tokens: tokens, Pages: pages(2, 5), Outputs: len(tokens)}}})
				for i := range want {
					requireClose(t, want[i], got[i], c.tolerance)
				}
				last := step(cpu, c.a.Vocab, llama.Batch{Pieces: []llama.Piece{{Tokens: tokens, Pages: pages(2, 5), Outputs: 1}}})
				require.Equal(t, got[len(got)-1], last[0], "the last layer of a prompt is cut short")
			}
		})
	}
}

// What a sequence gets must be the same to the last bit, alone or among others, at once or in pieces.
func TestLogitsDoNotDependOnTheBatch(t *testing.T) {
	a := transformertest.Architecture()
	a.Hidden, a.Intermediate = 288, 320 // more columns than one block of depth
	for _, kind := range []gguf.Type{gguf.F32, gguf.F16, gguf.BF16, gguf.Q8_0} {
		t.Run(kind.String(), func(t *testing.T) {
			w := transformertest.Weights(a, kind, 3)
			cpu := newCPU(t, w, llama.Options{}, 64, 2)
			const sequences = 7
			var tokens [][]int
			var alone [][][]float32
			for i := range sequences {
				tokens = append(tokens, randomTokens(40+i, a.Vocab, uint64(i)))
				alone = append(alone, nil)
				for at, id := range tokens[i] { // token after token
					got := step(cpu, a.Vocab, llama.Batch{Pieces: []llama.Piece{{Tokens: []int{id}, First: at, Pages: pages(60, 3), Outputs: 1}}})
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
						b.Pieces = append(b.Pieces, llama.Piece{Tokens: tokens[i][done[i]:][:n], First: done[i], Pages: pages(3*i, 3), Outputs: n})
					}
					if running = len(of) > 0; !running {
						break
					}
					got := step(cpu, a.Vocab, b)
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

func TestExtrasAreAddedToEmbeddings(t *testing.T) {
	a := transformertest.Architecture()
	w := transformertest.Weights(a, gguf.F32, 3)
	cpu := newCPU(t, w, llama.Options{ExactCache: true}, 4, 2)
	vector := w.Embedding.Float32s()[5*a.Hidden : 6*a.Hidden]
	// Token 3 plus what makes it token 5.
	difference := slices.Clone(vector)
	for i, v := range w.Embedding.Float32s()[3*a.Hidden : 4*a.Hidden] {
		difference[i] -= v
	}
	run := func(tokens []int, extras ...llama.Extra) []float32 {
		return step(cpu, a.Vocab, llama.Batch{Pieces: []llama.Piece{
			{Tokens: []int{1, 2}, Pages: pages(0, 1), Outputs: 0}, {Tokens: tokens, Pages: pages(1, 1), Outputs: 1},
		}, Extras: extras})[0]
	}
	want, got := run([]int{7, 5, 9}), run([]int{7, 3, 9}, llama.Extra{Piece: 1, Token: 1, Vector: difference})
	for i := range want {
		require.InDelta(t, want[i], got[i], 1e-5)
	}
}

func TestStepDoesNotAllocate(t *testing.T) {
	for _, threads := range []int{1, 2} {
		a := transformertest.Architecture()
		cpu := newCPU(t, transformertest.Weights(a, gguf.Q8_0, 3), llama.Options{}, 8, threads)
		b := llama.Batch{}
		for i := range 3 {
			b.Pieces = append(b.Pieces, llama.Piece{Tokens: []int{i}, First: 5, Pages: pages(i, 1), Outputs: 1})
		}
		take := func(int, int, []float32) {}
		cpu.Step(&b, take)
		require.Zero(t, testing.AllocsPerRun(50, func() { cpu.Step(&b, take) }))
	}
}

func BenchmarkStep(b *testing.B) {
	for _, size := range []weights.Architecture{
		{Vocab: 32000, Hidden: 288, Intermediate: 768, NumLayers: 6, Heads: 6, KVHeads: 6, HeadDim: 48},
		{Vocab: 32000, Hidden: 768, Intermediate: 2048, NumLayers: 12, Heads: 12, KVHeads: 12, HeadDim: 64},
	} {
		size.Context, size.RMSEps, size.Rope, size.TiedHead = 2048, 1e-5, transformertest.Architecture().Rope, true
		for _, kind := range []gguf.Type{gguf.Q8_0, gguf.F32} {
			w := transformertest.Weights(size, kind, 1)
			for _, threads := range []int{1, 2} {
				cpu := newCPU(b, w, llama.Options{}, 64, threads)
				for _, rows := range []int{1, 8, 512} {
					b.Run(fmt.Sprintf("hidden=%d/%v/threads=%d/rows=%d", size.Hidden, kind, threads, rows), func(b *testing.B) {
						batch := llama.Batch{}
						if rows == 512 {
							batch.Pieces = []llama.Piece{{Tokens: randomTokens(512, 32000, 1), Pages: pages(0, 16), Outputs: 1}}
						} else {
							for i := range rows {
								batch.Pieces = append(batch.Pieces, llama.Piece{Tokens: []int{i}, First: 60, Pages: pages(2*i, 2), Outputs: 1})
							}
						}
						take := func(int, int, []float32) {}
						for b.Loop() {
							cpu.Step(&batch, take)
						}
						b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "tokens/s")
					})
				}
			}
		}
	}
}
