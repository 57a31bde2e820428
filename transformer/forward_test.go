package transformer_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/transformer"
	"teller/transformer/safetensors"
	"teller/transformer/transformertest"
)

// reference computes the logits after the last of tokens in float64, for the whole sequence at once and
// straight from the formulas, with no cache: slow, plain, and sharing no code with the package.
func reference(c transformer.Config, tensors []safetensors.Tensor, tokens []int) []float64 {
	weights := map[string][]float32{}
	for _, t := range tensors {
		weights[t.Name] = t.Float32s()
	}
	linear := func(name string, x []float64) []float64 {
		w := weights[name]
		y := make([]float64, len(w)/len(x))
		for i := range y {
			for j := range x {
				y[i] += float64(w[i*len(x)+j]) * x[j]
			}
		}
		return y
	}
	norm := func(name string, x []float64) []float64 {
		mean := 0.0
		for _, v := range x {
			mean += v * v / float64(len(x))
		}
		y := make([]float64, len(x))
		for i := range x {
			y[i] = x[i] / math.Sqrt(mean+c.RMSNormEps) * float64(weights[name][i])
		}
		return y
	}
	// rope is a rotation of the complex number x[i] + j x[i+half], for each i.
	rope := func(x []float64, position int) {
		half := c.HeadDim / 2
		for h := 0; h < len(x); h += c.HeadDim {
			for i := range half {
				angle := float64(position) / math.Pow(c.RopeTheta, float64(2*i)/float64(c.HeadDim))
				turned := complex(x[h+i], x[h+i+half]) * complex(math.Cos(angle), math.Sin(angle))
				x[h+i], x[h+i+half] = real(turned), imag(turned)
			}
		}
	}
	n := len(tokens)
	x := make([][]float64, n)
	for t, id := range tokens {
		for _, v := range weights["model.embed_tokens.weight"][id*c.HiddenSize : (id+1)*c.HiddenSize] {
			x[t] = append(x[t], float64(v))
		}
	}
	for i := range c.NumHiddenLayers {
		name := func(part string) string { return fmt.Sprintf("model.layers.%d.%s.weight", i, part) }
		q, k, v := make([][]float64, n), make([][]float64, n), make([][]float64, n)
		for t := range n {
			h := norm(name("input_layernorm"), x[t])
			q[t], k[t], v[t] = linear(name("self_attn.q_proj"), h), linear(name("self_attn.k_proj"), h), linear(name("self_attn.v_proj"), h)
			rope(q[t], t)
			rope(k[t], t)
		}
		for t := range n {
			gathered := make([]float64, len(q[t]))
			for h := range c.NumAttentionHeads {
				kv := h * c.NumKeyValueHeads / c.NumAttentionHeads
				weight, total := make([]float64, t+1), 0.0
				for p := range weight {
					score := 0.0
					for d := range c.HeadDim {
						score += q[t][h*c.HeadDim+d] * k[p][kv*c.HeadDim+d]
					}
					weight[p] = math.Exp(score / math.Sqrt(float64(c.HeadDim)))
					total += weight[p]
				}
				for p := range weight {
					for d := range c.HeadDim {
						gathered[h*c.HeadDim+d] += weight[p] / total * v[p][kv*c.HeadDim+d]
					}
				}
			}
			for j, y := range linear(name("self_attn.o_proj"), gathered) {
				x[t][j] += y
			}
		}
		for t := range n {
			h := norm(name("post_attention_layernorm"), x[t])
			gate, up := linear(name("mlp.gate_proj"), h), linear(name("mlp.up_proj"), h)
			for j := range gate {
				gate[j] *= up[j] / (1 + math.Exp(-gate[j]))
			}
			for j, y := range linear(name("mlp.down_proj"), gate) {
				x[t][j] += y
			}
		}
	}
	return linear("model.embed_tokens.weight", norm("model.norm.weight", x[n-1]))
}

// requireClose compares relative to the largest logit.
func requireClose(t *testing.T, want []float64, got []float32, tolerance float64) {
	t.Helper()
	require.Len(t, got, len(want))
	top, worst := 0.0, 0.0
	for i := range want {
		top = max(top, math.Abs(want[i]))
		worst = max(worst, math.Abs(want[i]-float64(got[i])))
	}
	require.Less(t, worst, tolerance*top, "largest logit %v", top)
}

func randomTokens(n, vocab int, seed uint64) []int {
	random := rand.New(rand.NewPCG(seed, 7))
	tokens := make([]int, n)
	for i := range tokens {
		tokens[i] = random.IntN(vocab)
	}
	return tokens
}

func TestLogitsAgreeWithReference(t *testing.T) {
	for _, c := range []struct {
		name                                                   string
		vocab, hidden, inner, layers, heads, kvHeads, dim, len int
	}{
		{"smallest", 3, 1, 1, 1, 1, 1, 2, 5},
		{"one group per head", 37, 24, 40, 2, 4, 4, 6, 20},
		{"two groups", 37, 24, 40, 2, 4, 2, 6, 33},
		{"one group", 37, 24, 40, 2, 4, 1, 6, 64},
		{"odd sizes", 101, 19, 31, 3, 3, 1, 10, 45},
		{"heads wider than the model", 11, 7, 5, 1, 6, 3, 8, 37},
		{"several chunks", 64, 16, 24, 2, 2, 1, 8, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := transformertest.Config()
			cfg.VocabSize, cfg.HiddenSize, cfg.IntermediateSize, cfg.NumHiddenLayers = c.vocab, c.hidden, c.inner, c.layers
			cfg.NumAttentionHeads, cfg.NumKeyValueHeads, cfg.HeadDim = c.heads, c.kvHeads, c.dim
			cfg.BOSTokenID, cfg.EOSTokenID = 0, 1
			cfg.RopeTheta = 500
			tensors := transformertest.Tensors(cfg, 11)
			model, err := transformer.NewModel(cfg, tensors)
			require.NoError(t, err)
			tokens := randomTokens(c.len, c.vocab, 5)
			want := reference(cfg, tensors, tokens)

			whole := model.NewState()
			logits, err := whole.Append(t.Context(), tokens)
			require.NoError(t, err)
			require.Equal(t, c.len, whole.Len())
			requireClose(t, want, logits, 1e-5)

			stepwise := model.NewState()
			for i := range tokens {
				logits, err = stepwise.Append(t.Context(), tokens[i:i+1])
				require.NoError(t, err)
			}
			requireClose(t, want, logits, 1e-5)

			whole.Reset() // and once more over the old cache, in uneven parts
			cut := 1 + c.len/3
			_, err = whole.Append(t.Context(), tokens[:cut])
			require.NoError(t, err)
			logits, err = whole.Append(t.Context(), tokens[cut:])
			require.NoError(t, err)
			requireClose(t, want, logits, 1e-5)
		})
	}
}

func TestAppendRefuses(t *testing.T) {
	cfg := transformertest.Config()
	state := transformertest.RandomModel(cfg, 1).NewState()
	_, err := state.Append(t.Context(), nil)
	require.ErrorIs(t, err, transformer.ErrNoTokens)
	_, err = state.Append(t.Context(), []int{cfg.VocabSize})
	require.ErrorContains(t, err, "outside the vocabulary")
	_, err = state.Append(t.Context(), []int{-1})
	require.ErrorContains(t, err, "outside the vocabulary")

	_, err = state.Append(t.Context(), make([]int, cfg.MaxPositionEmbeddings))
	require.NoError(t, err, "a full window fits")
	_, err = state.Append(t.Context(), []int{1})
	var window *transformer.WindowError
	require.ErrorAs(t, err, &window)
	require.Equal(t, transformer.WindowError{Tokens: 129, Window: 128}, *window)
}

// lookCounter is a context that ends at its n-th look.
type lookCounter struct {
	context.Context
	left int
}

func (c *lookCounter) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestAppendStopsInsideAPrompt(t *testing.T) {
	cfg := transformertest.Config()
	model := transformertest.RandomModel(cfg, 1)
	tokens := randomTokens(100, cfg.VocabSize, 9)
	want, err := model.NewState().Append(t.Context(), tokens)
	require.NoError(t, err)

	state := model.NewState()
	_, err = state.Append(&lookCounter{t.Context(), 3}, tokens) // two layers of the first chunk, one of the second
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 32, state.Len(), "one chunk was finished")
	got, err := state.Append(t.Context(), tokens[state.Len():])
	require.NoError(t, err)
	require.Equal(t, want, got, "the sequence goes on as if nothing had happened")
}

func TestAppendDoesNotAllocate(t *testing.T) {
	cfg := transformertest.Config()
	state := transformertest.RandomModel(cfg, 1).NewState()
	token := []int{7}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := state.Append(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}))
}

// benchmarkConfig has 2.5M parameters, the size of a small banking model.
func benchmarkConfig() transformer.Config {
	cfg := transformertest.Config()
	cfg.VocabSize, cfg.HiddenSize, cfg.IntermediateSize, cfg.NumHiddenLayers = 2048, 192, 512, 4
	cfg.NumAttentionHeads, cfg.NumKeyValueHeads, cfg.HeadDim, cfg.MaxPositionEmbeddings = 6, 2, 32, 512
	return cfg
}

func BenchmarkDecode(b *testing.B) {
	cfg := benchmarkConfig()
	state := transformertest.RandomModel(cfg, 1).NewState()
	b.ReportMetric(float64(cfg.Parameters()), "params")
	b.ReportAllocs()
	token := []int{7}
	for b.Loop() {
		if state.Len() == 256 {
			state.Reset()
		}
		if _, err := state.Append(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}

func BenchmarkPrefill(b *testing.B) {
	cfg := benchmarkConfig()
	state := transformertest.RandomModel(cfg, 1).NewState()
	tokens := randomTokens(256, cfg.VocabSize, 3)
	b.ReportAllocs()
	for b.Loop() {
		state.Reset()
		if _, err := state.Append(b.Context(), tokens); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(tokens))/b.Elapsed().Seconds(), "tokens/s")
}
