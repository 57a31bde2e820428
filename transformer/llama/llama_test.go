package llama_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/transformer/gguf"
	"teller/transformer/llama"
	"teller/transformer/llama/devicetest"
	"teller/transformer/transformertest"
	"teller/transformer/weights"
)

func newCPU(t testing.TB, w *weights.Model, pages, threads int) *llama.CPU {
	m, err := llama.New(w, llama.Options{})
	require.NoError(t, err)
	c, err := llama.NewCPU(m, pages, threads)
	require.NoError(t, err)
	t.Cleanup(c.Rest)
	return c
}

func TestCPU(t *testing.T) {
	for _, threads := range []int{1, 2} {
		t.Run(fmt.Sprintf("threads=%d", threads), devicetest.Suite{
			Open: func(t testing.TB, m *llama.Model, pages int) llama.Device {
				c, err := llama.NewCPU(m, pages, threads)
				require.NoError(t, err)
				return c
			},
			Tolerance: 1e-5,
			Quantised: 0.1, // inputs are rounded to eight bits, too
		}.Run)
	}
}

func TestStepDoesNotAllocate(t *testing.T) {
	for _, threads := range []int{1, 2} {
		a := transformertest.Architecture()
		cpu := newCPU(t, transformertest.Weights(a, gguf.Q8_0, 3), 8, threads)
		b := llama.Batch{}
		for i := range 3 {
			b.Pieces = append(b.Pieces, llama.Piece{Tokens: []int{i}, First: 5, Pages: devicetest.Pages(i, 1), Outputs: 1})
		}
		take := func(int, int, []float32) {}
		step := func() {
			if err := cpu.Step(&b, take); err != nil {
				t.Error(err)
			}
		}
		step()
		require.Zero(t, testing.AllocsPerRun(50, step))
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
				cpu := newCPU(b, w, 64, threads)
				for _, rows := range []int{1, 8, 512} {
					b.Run(fmt.Sprintf("hidden=%d/%v/threads=%d/rows=%d", size.Hidden, kind, threads, rows), func(b *testing.B) {
						batch := llama.Batch{}
						if rows == 512 {
							batch.Pieces = []llama.Piece{{Tokens: devicetest.Tokens(512, 32000, 1), Pages: devicetest.Pages(0, 16), Outputs: 1}}
						} else {
							for i := range rows {
								batch.Pieces = append(batch.Pieces, llama.Piece{Tokens: []int{i}, First: 60, Pages: devicetest.Pages(2*i, 2), Outputs: 1})
							}
						}
						take := func(int, int, []float32) {}
						for b.Loop() {
							if err := cpu.Step(&batch, take); err != nil {
								b.Fatal(err)
							}
						}
						b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "tokens/s")
					})
				}
			}
		}
	}
}
