package transformer_test

import (
	"context"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/transformer"
	"teller/transformer/llama/devicetest"
	"teller/transformer/transformertest"
)

// referenceGreedy is greedy decoding with the reference, for n tokens.
func referenceGreedy(t *testing.T, cfg transformer.Config, seed uint64, prompt []int, n int) []int {
	w := opened(t, cfg, transformertest.Tensors(cfg, seed))
	sequence := slices.Clone(prompt)
	for range n {
		logits := transformertest.Logits(w, sequence)[len(sequence)-1]
		sequence = append(sequence, slices.Index(logits, slices.Max(logits)))
	}
	return sequence[len(prompt):]
}

func ids(tokens []transformer.Token) []int {
	out := []int{}
	for _, t := range tokens {
		out = append(out, t.ID)
	}
	return out
}

func TestGenerate(t *testing.T) {
	cfg := transformertest.Config()
	engine := transformer.NewEngine(transformertest.RandomModel(cfg, 3), 1)
	prompt := devicetest.Tokens(20, cfg.VocabSize, 1)
	want := referenceGreedy(t, cfg, 3, prompt, 12)

	var seen []transformer.Token
	result, err := engine.Generate(t.Context(), prompt, transformer.GenerateOptions{MaxTokens: 12}, func(token transformer.Token) {
		seen = append(seen, token)
	})
	require.NoError(t, err)
	require.Equal(t, want, ids(result.Tokens))
	require.Equal(t, result.Tokens, seen)
	require.Equal(t, transformer.FinishMaxTokens, result.Finish)
	for _, token := range result.Tokens {
		require.Less(t, token.LogProb, 0.0)
	}
	require.Less(t, result.MeanLogProb(), 0.0)

	t.Run("ends where the model ends", func(t *testing.T) {
		cfg := cfg
		cfg.EOSTokenID = want[5]
		first := slices.Index(want, want[5])
		engine := transformer.NewEngine(transformertest.RandomModel(cfg, 3), 1)
		result, err := engine.Generate(t.Context(), prompt, transformer.GenerateOptions{}, nil)
		require.NoError(t, err)
		require.Equal(t, want[:first], ids(result.Tokens))
		require.Equal(t, transformer.FinishEOS, result.Finish)
	})
}

func TestGenerateFillsTheWindow(t *testing.T) {
	cfg := transformertest.Config()
	cfg.EOSTokenID = 0
	engine := transformer.NewEngine(transformertest.RandomModel(cfg, 3), 1)
	for _, c := range []struct{ prompt, max, want int }{
		{128, 0, 1}, {120, 0, 9}, {120, 100, 9}, {120, math.MaxInt, 9}, {120, 8, 8}, {120, 9, 9},
	} {
		opts := transformer.GenerateOptions{MaxTokens: c.max, Sampling: transformer.Sampling{Temperature: 2, Seed: 4}}
		result, err := engine.Generate(t.Context(), devicetest.Tokens(c.prompt, cfg.VocabSize, 2), opts, nil)
		require.NoError(t, err)
		require.Len(t, result.Tokens, c.want)
		want := transformer.FinishWindow
		if c.max == c.want {
			want = transformer.FinishMaxTokens
		}
		require.Equal(t, want, result.Finish)
	}
}

func TestGenerateRefuses(t *testing.T) {
	cfg := transformertest.Config()
	engine := transformer.NewEngine(transformertest.RandomModel(cfg, 3), 1)
	generate := func(prompt []int, opts transformer.GenerateOptions) error {
		_, err := engine.Generate(t.Context(), prompt, opts, nil)
		return err
	}
	var window *transformer.WindowError
	require.ErrorAs(t, generate(make([]int, 129), transformer.GenerateOptions{}), &window)
	require.Equal(t, 129, window.Tokens)
	require.ErrorIs(t, generate(nil, transformer.GenerateOptions{}), transformer.ErrNoTokens)
	require.ErrorContains(t, generate([]int{-1}, transformer.GenerateOptions{}), "outside the vocabulary")
	require.ErrorContains(t, generate([]int{1}, transformer.GenerateOptions{MaxTokens: -1}), "max tokens")
	for _, bad := range []transformer.Sampling{
		{Temperature: -1}, {Temperature: math.NaN()}, {Temperature: math.Inf(1)}, {TopK: -1}, {TopP: 1.1}, {TopP: math.NaN()},
	} {
		require.ErrorContains(t, generate([]int{1}, transformer.GenerateOptions{Sampling: bad}), "must be")
	}
	require.NoError(t, generate([]int{1}, transformer.GenerateOptions{MaxTokens: 1}), "its one slot is free again")
}

func TestGenerateConcurrently(t *testing.T) {
	cfg := transformertest.Config()
	engine := transformer.NewEngine(transformertest.RandomModel(cfg, 3), 2)
	require.Equal(t, 2, engine.Slots())
	alone := make([][]int, 8)
	run := func(i int) []int {
		opts := transformer.GenerateOptions{MaxTokens: 10, Sampling: transformer.Sampling{Temperature: float64(i % 2), Seed: uint64(i)}}
		result, err := engine.Generate(t.Context(), devicetest.Tokens(5+9*i, cfg.VocabSize, uint64(i)), opts, nil)
		if err != nil {
			t.Error(err)
		}
		return ids(result.Tokens)
	}
	for i := range alone {
		alone[i] = run(i)
	}
	together := make([][]int, 8)
	var wg sync.WaitGroup
	for i := range together {
		wg.Go(func() { together[i] = run(i) })
	}
	wg.Wait()
	require.Equal(t, alone, together, "generations must not touch one another")
}

func TestGenerateHonoursContext(t *testing.T) {
	cfg := transformertest.Config()
	cfg.EOSTokenID = 0
	engine := transformer.NewEngine(transformertest.RandomModel(cfg, 3), 1)
	opts := transformer.GenerateOptions{Sampling: transformer.Sampling{Temperature: 2, Seed: 4}}

	ctx, cancel := context.WithCancel(t.Context())
	result, err := engine.Generate(ctx, []int{1}, opts, func(transformer.Token) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, result.Tokens, 1, "it stopped before the next token")

	_, err = engine.Generate(ctx, []int{1}, opts, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = engine.Generate(t.Context(), []int{1}, opts, nil)
	require.NoError(t, err, "the slot is free again")
}
