package transformer_test

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/transformer"
	"teller/transformer/llama/devicetest"
	"teller/transformer/transformertest"
	"teller/transformer/weights"
)

// logProbs is the log-softmax of the reference's logits after a sequence.
func logProbs(w *weights.Model, sequence []int) []float64 {
	out := transformertest.Logits(w, sequence)[len(sequence)-1]
	var sum float64
	for _, l := range out {
		sum += math.Exp(l)
	}
	for i := range out {
		out[i] -= math.Log(sum)
	}
	return out
}

func TestScoreIsExact(t *testing.T) {
	cfg := transformertest.Config()
	engine := transformer.NewEngine(transformertest.RandomModel(cfg, 3), 1)
	prompt := devicetest.Tokens(20, cfg.VocabSize, 1)
	long := devicetest.Tokens(50, cfg.VocabSize, 2) // more than one chunk
	choices := [][]int{{5, 6, 7, 2}, {9}, {5, 6, 8}, {5, 6}, {}, long, {9}, {5, 6, 7, 2, 11}, append([]int{5}, long...)}
	got, err := engine.Score(t.Context(), prompt, choices)
	require.NoError(t, err)
	require.Len(t, got, len(choices))
	w := opened(t, cfg, transformertest.Tensors(cfg, 3))
	for i, choice := range choices {
		var want float64
		for d, id := range choice {
			want += logProbs(w, append(prompt[:len(prompt):len(prompt)], choice[:d]...))[id]
		}
		require.InDelta(t, want, got[i], 1e-4*(1+math.Abs(want)), "choice %d", i)
	}
	again, err := engine.Score(t.Context(), prompt, choices)
	require.NoError(t, err)
	require.Equal(t, got, again)
}

func TestScoreRefuses(t *testing.T) {
	cfg := transformertest.Config()
	engine := transformer.NewEngine(transformertest.RandomModel(cfg, 3), 1)
	prompt := make([]int, 120)
	fits, err := engine.Score(t.Context(), prompt, [][]int{make([]int, 9)})
	require.NoError(t, err)
	require.Len(t, fits, 1)
	var window *transformer.WindowError
	_, err = engine.Score(t.Context(), prompt, [][]int{{1}, make([]int, 10)})
	require.ErrorAs(t, err, &window)
	_, err = engine.Score(t.Context(), nil, [][]int{{1}})
	require.ErrorIs(t, err, transformer.ErrNoTokens)
	_, err = engine.Score(t.Context(), prompt, [][]int{{-1}})
	require.ErrorContains(t, err, "outside the vocabulary")
	_, err = engine.ScoreNext(t.Context(), prompt, []int{cfg.VocabSize})
	require.ErrorContains(t, err, "outside the vocabulary")
	_, err = engine.ScoreNext(t.Context(), prompt, nil)
	require.ErrorIs(t, err, transformer.ErrNoTokens)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = engine.Score(ended, prompt, [][]int{{1}})
	require.ErrorIs(t, err, context.Canceled)
	_, err = engine.ScoreNext(t.Context(), prompt, []int{1})
	require.NoError(t, err, "its one slot is free again")
}

func TestChooseLabel(t *testing.T) {
	b := transformertest.LabelledBundle(5)
	require.Equal(t, map[string][]string{"teller": {"balance", "card", "other"}, "public": {"a", "b"}}, b.Labels())
	engine := transformer.NewEngine(b.Model, 1)
	dialogue := []transformer.Message{{Role: transformer.RoleUser, Text: "What is my balance?"}}
	prompt, err := b.Tokenizer.EncodeDialogue(dialogue)
	require.NoError(t, err)
	logits, err := b.Model.NewState().Append(t.Context(), prompt)
	require.NoError(t, err)
	for namespace, names := range b.Labels() {
		got, err := b.ChooseLabel(t.Context(), engine, dialogue, namespace)
		require.NoError(t, err)
		var sum float64
		for _, name := range names {
			id, ok := b.Tokenizer.TokenID(transformer.LabelToken(namespace, name))
			require.True(t, ok)
			sum += math.Exp(float64(logits[id]))
		}
		for i, name := range names {
			id, _ := b.Tokenizer.TokenID(transformer.LabelToken(namespace, name))
			require.InDelta(t, math.Exp(float64(logits[id]))/sum, got[i], 1e-6)
		}
	}
	_, err = b.ChooseLabel(t.Context(), engine, dialogue, "elsewhere")
	require.ErrorContains(t, err, `no labels of "elsewhere"`)
}

// The reply is written after its label, which is no part of it.
func TestGenerateNamesItsLabelFirst(t *testing.T) {
	b := transformertest.LabelledBundle(5)
	engine := transformer.NewEngine(b.Model, 1)
	dialogue := []transformer.Message{{Role: transformer.RoleUser, Text: "What is my balance?"}}
	prompt, err := b.Tokenizer.EncodeDialogue(dialogue)
	require.NoError(t, err)
	probabilities, err := b.ChooseLabel(t.Context(), engine, dialogue, transformer.TellerNamespace)
	require.NoError(t, err)
	opts := transformer.GenerateOptions{MaxTokens: 40, Sampling: transformer.Sampling{Temperature: 5, Seed: 1}}
	result, err := engine.Generate(t.Context(), prompt, opts, nil)
	require.NoError(t, err)
	require.InDeltaSlice(t, probabilities, transformer.Softmax(result.LabelLogProbs), 1e-6)
	best := 0
	for i, p := range probabilities {
		if p > probabilities[best] {
			best = i
		}
	}
	set, ok := b.Tokenizer.LabelSet(transformer.TellerNamespace)
	require.True(t, ok)
	given, err := engine.Generate(t.Context(), append(prompt, set.From+best), opts, nil)
	require.NoError(t, err)
	require.Equal(t, given.Tokens, result.Tokens)
	require.Nil(t, given.LabelLogProbs)
	for _, token := range result.Tokens {
		require.Less(t, token.ID, set.From, "no label in a text")
	}

	texts := []string{"A bank.", b.Tokenizer.Decode(ids(result.Tokens))}
	scores, err := b.ScoreTexts(t.Context(), engine, dialogue, texts)
	require.NoError(t, err)
	want, err := engine.Score(t.Context(), append(prompt, set.From+best), [][]int{append(b.Tokenizer.Encode(texts[0]), b.Config.EOSTokenID)})
	require.NoError(t, err)
	require.InDelta(t, want[0], scores[0], 1e-9)

	full := make([]int, b.Config.MaxPositionEmbeddings)
	full[len(full)-1] = prompt[len(prompt)-1]
	result, err = engine.Generate(t.Context(), full, opts, nil)
	require.NoError(t, err, "a full window has no room for a label")
	require.Nil(t, result.LabelLogProbs)
}

func TestLabelsAreSaved(t *testing.T) {
	b := transformertest.LabelledBundle(5)
	dir := t.TempDir()
	require.NoError(t, transformer.SaveDir(dir, b.Config, transformertest.Tensors(b.Config, 5), b.Tokenizer))
	loaded, err := transformer.LoadDir(dir)
	require.NoError(t, err)
	require.Equal(t, b.Labels(), loaded.Labels())
	dialogue := []transformer.Message{{Role: transformer.RoleUser, Text: "What is my balance?"}}
	want, err := b.ChooseLabel(t.Context(), transformer.NewEngine(b.Model, 1), dialogue, "public")
	require.NoError(t, err)
	got, err := loaded.ChooseLabel(t.Context(), transformer.NewEngine(loaded.Model, 1), dialogue, "public")
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, loaded.Tokenizer.Encode("<|teller/card|>"), b.Tokenizer.Encode("<|teller/card|>"), "spelled out it is text")
	require.Greater(t, len(b.Tokenizer.Encode("<|teller/card|>")), 3)
}

func TestBadLabelsAreRefused(t *testing.T) {
	for name, set := range map[string]transformer.LabelSet{
		"no namespace": {Names: []string{"a"}}, "no name": {Namespace: "x", Names: []string{""}}, "a slash": {Namespace: "x/y", Names: []string{"a"}},
		"twice": {Namespace: "x", Names: []string{"a", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := transformertest.Tokenizer().WithLabels(set)
			require.ErrorContains(t, err, "label")
		})
	}
	_, err := transformertest.Tokenizer().WithLabels(
		transformer.LabelSet{Namespace: "x", Names: []string{"a"}}, transformer.LabelSet{Namespace: "y", Names: []string{"a"}}, transformer.LabelSet{Namespace: "x", Names: []string{"b"}},
	)
	require.ErrorContains(t, err, "do not stand together")
}
