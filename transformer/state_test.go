package transformer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"teller/transformer"
	"teller/transformer/llama/devicetest"
	"teller/transformer/safetensors"
	"teller/transformer/transformertest"
	"teller/transformer/weights"
)

// reference gives the logits after each of tokens, as the plain forward pass computes them in float64.
func reference(t testing.TB, cfg transformer.Config, tensors []safetensors.Tensor, tokens []int) [][]float64 {
	return transformertest.Logits(opened(t, cfg, tensors), tokens)
}

// opened gives tensors as package weights reads them from a folder.
func opened(t testing.TB, cfg transformer.Config, tensors []safetensors.Tensor) *weights.Model {
	config, err := json.Marshal(cfg)
	require.NoError(t, err)
	var file bytes.Buffer
	require.NoError(t, safetensors.Write(&file, tensors, nil))
	w, err := weights.OpenFS(fstest.MapFS{"config.json": {Data: config}, "model.safetensors": {Data: file.Bytes()}})
	require.NoError(t, err)
	return w
}

func TestAppendAgreesWithReference(t *testing.T) {
	cfg := transformertest.Config()
	tokens := devicetest.Tokens(100, cfg.VocabSize, 5)
	want := reference(t, cfg, transformertest.Tensors(cfg, 11), tokens)
	model := transformertest.RandomModel(cfg, 11)
	whole := model.NewState()
	logits, err := whole.Append(t.Context(), tokens)
	require.NoError(t, err)
	require.Equal(t, len(tokens), whole.Len())
	devicetest.RequireClose(t, want[99], logits, 1e-5)

	stepwise := model.NewState()
	for i := range tokens {
		logits, err = stepwise.Append(t.Context(), tokens[i:i+1])
		require.NoError(t, err)
		devicetest.RequireClose(t, want[i], logits, 1e-5)
	}

	whole.Reset() // and once more over the old cache, in uneven parts
	_, err = whole.Append(t.Context(), tokens[:34])
	require.NoError(t, err)
	again, err := whole.Append(t.Context(), tokens[34:])
	require.NoError(t, err)
	require.Equal(t, logits, again, "to the last bit")
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
	tokens := devicetest.Tokens(100, cfg.VocabSize, 9)
	want, err := model.NewState().Append(t.Context(), tokens)
	require.NoError(t, err)

	state := model.NewState()
	_, err = state.Append(&lookCounter{t.Context(), 2}, tokens)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 64, state.Len(), "two chunks were finished")
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
