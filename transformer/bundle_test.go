package transformer_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/transformer"
	"teller/transformer/safetensors"
	"teller/transformer/transformertest"
)

func TestSaveAndLoadDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "model")
	cfg := transformertest.Config()
	require.NoError(t, transformer.SaveDir(dir, cfg, transformertest.Tensors(cfg, 1), transformertest.Tokenizer()))
	first, err := transformer.LoadDir(dir)
	require.NoError(t, err)
	require.Regexp(t, regexp.MustCompile(`^custom-[0-9a-f]{8}$`), first.Version)
	require.Len(t, first.Config.WeightsSHA256, 64)
	require.Len(t, first.Config.TokenizerSHA256, 64)

	prompt, err := first.Tokenizer.EncodeDialogue([]transformer.Message{{Role: transformer.RoleUser, Text: "What is a bank?"}})
	require.NoError(t, err)
	want, err := transformertest.RandomModel(cfg, 1).NewState().Append(t.Context(), prompt)
	require.NoError(t, err)
	got, err := first.Model.NewState().Append(t.Context(), prompt)
	require.NoError(t, err)
	require.Equal(t, want, got)

	require.NoError(t, transformer.SaveDir(dir, cfg, transformertest.Tensors(cfg, 2), transformertest.Tokenizer()))
	second, err := transformer.LoadDir(dir)
	require.NoError(t, err)
	require.NotEqual(t, first.Version, second.Version)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 3, "no temporary file stays")
}

func TestLoadDirRefuses(t *testing.T) {
	cfg := transformertest.Config()
	write := func(t *testing.T, dir, name string, data []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	read := func(t *testing.T, dir, name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		return data
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   string
	}{
		{"no config", func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "config.json"))) }, "config.json"},
		{"no weights", func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "model.safetensors")))
		}, "model.safetensors"},
		{"truncated weights", func(t *testing.T, dir string) {
			data := read(t, dir, "model.safetensors")
			write(t, dir, "model.safetensors", data[:len(data)-1])
		}, "model.safetensors has SHA-256"},
		{"one altered bit", func(t *testing.T, dir string) {
			data := read(t, dir, "model.safetensors")
			data[len(data)/2] ^= 1
			write(t, dir, "model.safetensors", data)
		}, "damaged or belongs to another model"},
		{"another tokenizer", func(t *testing.T, dir string) {
			other, err := transformer.TrainTokenizer(slices.Values([]string{"abab cdcd"}), 280, transformer.SpecialTokens())
			require.NoError(t, err)
			data, err := other.MarshalJSON()
			require.NoError(t, err)
			write(t, dir, "tokenizer.json", data)
		}, "tokenizer.json has SHA-256"},
		{"another vocabulary, no checksum", func(t *testing.T, dir string) {
			other, err := transformer.TrainTokenizer(slices.Values([]string{""}), 262, transformer.SpecialTokens())
			require.NoError(t, err)
			data, err := other.MarshalJSON()
			require.NoError(t, err)
			write(t, dir, "tokenizer.json", data)
			plain := cfg
			data, err = json.Marshal(plain)
			require.NoError(t, err)
			write(t, dir, "config.json", data)
		}, "the tokenizer has 262 tokens, the model 280"},
		{"another end token", func(t *testing.T, dir string) {
			data := bytes.Replace(read(t, dir, "config.json"), []byte(`"eos_token_id": 2`), []byte(`"eos_token_id": 5`), 1)
			write(t, dir, "config.json", data)
		}, "<|end|> is 2"},
		{"another shape", func(t *testing.T, dir string) {
			data := bytes.Replace(read(t, dir, "config.json"), []byte(`"intermediate_size": 96`), []byte(`"intermediate_size": 95`), 1)
			write(t, dir, "config.json", data)
		}, `"model.layers.0.mlp.gate_proj.weight" is [96 48], must be [95 48]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, transformer.SaveDir(dir, cfg, transformertest.Tensors(cfg, 1), transformertest.Tokenizer()))
			c.damage(t, dir)
			_, err := transformer.LoadDir(dir)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := transformer.LoadDir(filepath.Join(t.TempDir(), "nowhere"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestNewModelRefuses(t *testing.T) {
	cfg := transformertest.Config()
	for _, c := range []struct {
		name   string
		change func([]safetensors.Tensor) []safetensors.Tensor
		want   string
	}{
		{"a missing tensor", func(ts []safetensors.Tensor) []safetensors.Tensor { return ts[1:] }, `"model.embed_tokens.weight" is missing`},
		{"an extra tensor", func(ts []safetensors.Tensor) []safetensors.Tensor {
			return append(ts, safetensors.Tensor{Name: "lm_head.weight", DType: safetensors.F32})
		}, `"lm_head.weight" is not part`},
		{"a tensor twice", func(ts []safetensors.Tensor) []safetensors.Tensor { return append(ts, ts[0]) }, "twice"},
		{"a transposed tensor", func(ts []safetensors.Tensor) []safetensors.Tensor {
			ts[0].Shape = []int{ts[0].Shape[1], ts[0].Shape[0]}
			return ts
		}, "must be [280 48]"},
		{"not a number", func(ts []safetensors.Tensor) []safetensors.Tensor {
			values := ts[0].Float32s()
			values[17] = float32(math.NaN())
			ts[0], _ = safetensors.New(ts[0].Name, safetensors.BF16, ts[0].Shape, values)
			return ts
		}, "holds NaN at 17"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tensors := c.change(transformertest.Tensors(cfg, 1))
			_, err := transformer.NewModel(cfg, tensors)
			require.ErrorContains(t, err, c.want)
			if !strings.Contains(c.name, "number") {
				require.Error(t, transformer.SaveDir(t.TempDir(), cfg, tensors, transformertest.Tokenizer()))
			}
		})
	}
}
