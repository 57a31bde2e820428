package pretrained

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/transformer"
	"teller/transformer/transformertest"
)

// What ships must load and answer with text.
func TestEmbeddedModelAnswers(t *testing.T) {
	b, err := Load()
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("this build carries no weights")
	}
	require.NoError(t, err)
	engine := transformer.NewEngine(b.Model, 1)
	for _, question := range []string{"What is a bank?", "What is my balance?"} {
		prompt, err := b.Tokenizer.EncodeDialogue([]transformer.Message{{Role: transformer.RoleUser, Text: question}})
		require.NoError(t, err)
		result, err := engine.Generate(t.Context(), prompt, transformer.GenerateOptions{}, nil)
		require.NoError(t, err)
		require.Equal(t, transformer.FinishEOS, result.Finish, "the reply ends by itself")
		var ids []int
		for _, token := range result.Tokens {
			ids = append(ids, token.ID)
		}
		t.Logf("%s -> %s (mean log-probability %.3f)", question, b.Tokenizer.Decode(ids), result.MeanLogProb())
		require.Greater(t, len(result.Tokens), 3)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	_, err := load(os.DirFS(dir))
	require.ErrorIs(t, err, fs.ErrNotExist)

	cfg := transformertest.Config()
	folder := filepath.Join(dir, "banking")
	require.NoError(t, transformer.SaveDir(folder, cfg, transformertest.Tensors(cfg, 1), transformertest.Tokenizer()))
	_, err = load(os.DirFS(dir))
	require.NoError(t, err)

	data, err := json.Marshal(cfg) // without its checksums
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "config.json"), data, 0o644))
	_, err = load(os.DirFS(dir))
	require.ErrorContains(t, err, "lacks")
}
