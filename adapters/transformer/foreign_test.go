package transformer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest"
	"teller/config"
	"teller/llm"
	engine "teller/transformer"
	"teller/transformer/gguf"
	"teller/transformer/modelfile"
	"teller/transformer/transformertest"
)

// foreignModel serves a random model from a GGUF file.
func foreignModel(t *testing.T, window int) *Model {
	t.Helper()
	dir := t.TempDir()
	cfg := transformertest.Config()
	cfg.MaxPositionEmbeddings = window
	require.NoError(t, engine.SaveDir(dir, cfg, transformertest.Tensors(cfg, 1), transformertest.Tokenizer()))
	file, err := modelfile.Open(dir)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "model.gguf")
	out, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, file.WriteGGUF(out, gguf.F32))
	require.NoError(t, out.Close())
	require.NoError(t, file.Close())
	m, err := New(config.Model{Kind: config.Transformer, Path: path})
	require.NoError(t, err)
	return m
}

func TestForeignConformance(t *testing.T) {
	const window = 1 << 14
	adaptertest.Run(t, adaptertest.Harness{
		Lacks: []adaptertest.Capability{adaptertest.HTTP, adaptertest.Schema},
		New: func(t *testing.T) adaptertest.Subject {
			m := foreignModel(t, window)
			started := make(chan struct{}, 1)
			m.generator = watched{m.generator, started}
			long := question("Go on.")
			long.MaxTokens = window
			return adaptertest.Subject{Model: m, Window: window, Started: started, Long: long}
		},
	})
}

func TestForeignDialogueFitsTheWindow(t *testing.T) {
	m := foreignModel(t, 128)
	language := m.language.(foreign)
	var messages []llm.Message
	messages = append(messages, llm.Message{Role: llm.System, Text: "Balance: 12.50"})
	for range 20 {
		messages = append(messages, llm.Message{Role: llm.User, Text: "Fees?"}, llm.Message{Role: llm.Assistant, Text: "None."})
	}
	messages = append(messages, llm.Message{Role: llm.User, Text: "What is my balance?"})
	for _, limit := range []int{60, 96, 128} {
		prompt, omitted, err := m.fit(messages, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, len(prompt), limit)
		require.Greater(t, len(prompt), limit-16, "no more is left out than must be")
		text := language.Tokenizer.Decode(prompt)
		require.True(t, strings.HasPrefix(text, "Balance: 12.50Fees?None."), text)
		require.True(t, strings.HasSuffix(text, "Fees?None.What is my balance?"), text)
		require.Equal(t, 40-2*strings.Count(text, "Fees?"), omitted)
	}
	prompt, omitted, err := m.fit(messages[:3], 128)
	require.NoError(t, err)
	require.Zero(t, omitted)
	require.NotEmpty(t, prompt)

	var window *engine.WindowError
	_, _, err = m.fit(messages, 10)
	require.ErrorAs(t, err, &window)
	_, _, err = m.fit(messages[:1], 5)
	require.ErrorAs(t, err, &window)
}

// Our own weights give the same choices and the same reply through the file that others read.
func TestForeignSaysWhatOwnSays(t *testing.T) {
	m := foreignModel(t, 128)
	plain := newModel(transformertest.RandomBundle(1))
	for _, choices := range [][]string{nil, {"yes", "no", "no way"}} {
		req := question("What is a bank?")
		req.Choices, req.MaxTokens = choices, 8
		want, err := plain.Complete(t.Context(), req, nil)
		require.NoError(t, err)
		got, err := m.Complete(t.Context(), req, nil)
		require.NoError(t, err)
		require.Equal(t, want.Usage, got.Usage)
		require.InDeltaSlice(t, want.ChoiceProbabilities, got.ChoiceProbabilities, 0.1)
	}
}

func TestNoModelThere(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "text": "hello", "cut short": "GGUF\x03\x00\x00\x00"} {
		path := filepath.Join(t.TempDir(), "model.gguf")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600), name)
		_, err := New(config.Model{Kind: config.Transformer, Path: path})
		requireCode(t, llm.NotConfigured, err)
	}
}
