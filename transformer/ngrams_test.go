package transformer_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/transformer"
	"teller/transformer/llama/devicetest"
	"teller/transformer/safetensors"
	"teller/transformer/transformertest"
)

func TestFeatures(t *testing.T) {
	n := transformer.Ngrams{Rows: 1 << 20, Words: 2, CharMin: 3, CharMax: 4}
	plain := n.Features("Where is my card?")
	require.Len(t, plain, 4+3+ // words, pairs
		5+4+ // <where>: 3 letters, 4 letters
		2+1+ // <is>
		2+1+ // <my>
		4+3) // <card>
	for name, same := range map[string]string{"case": "WHERE is My cArD", "marks": "where: is—my... card", "spaces": " where\tis my\n\ncard "} {
		require.Equal(t, plain, n.Features(same), name)
	}
	require.Equal(t, n.Features("cant pay 10.50"), n.Features("Can't pay 98,76"))
	require.NotEqual(t, plain, n.Features("Where is my cart?"))
	require.Len(t, n.Features("card card"), 1+1+4+3, "each n-gram counts once")
	require.Empty(t, n.Features("?! "))
	for _, odd := range []string{"", "\xff\xfe", "a\xffb", "ÅÉ ß", "カード"} {
		for _, row := range n.Features(odd) {
			require.True(t, row >= 0 && int(row) < n.Rows)
		}
	}
	few := transformer.Ngrams{Rows: 3, Words: 1, CharMin: 1, CharMax: 2}
	require.LessOrEqual(t, len(few.Features("a long text with many n-grams")), 3)
}

// The n-grams of each user's message are added at the marker that follows it, and nowhere else.
func TestNgramsEnterAtTheMarker(t *testing.T) {
	b := transformertest.LabelledBundle(3)
	tensors := transformertest.Tensors(b.Config, 3)
	at := slices.IndexFunc(tensors, func(t safetensors.Tensor) bool { return t.Name == "model.embed_tokens.weight" })
	find := func(name string) []float32 {
		return tensors[slices.IndexFunc(tensors, func(t safetensors.Tensor) bool { return t.Name == name })].Float32s()
	}
	table, projection := find("teller.ngrams.weight"), find("teller.ngrams_proj.weight")
	hidden, dim := b.Config.HiddenSize, b.Config.Ngrams.Dim

	// The reference knows no n-grams: each marker gets a token of its own whose embedding has them already.
	dialogue := []transformer.Message{
		{Role: transformer.RoleSystem, Text: "Balance: 12"},
		{Role: transformer.RoleUser, Text: "What is my balance?"}, {Role: transformer.RoleAssistant, Text: "12"},
		{Role: transformer.RoleUser, Text: "And my card?"},
	}
	prompt, err := b.Tokenizer.EncodeDialogue(dialogue)
	require.NoError(t, err)
	marker, _ := b.Tokenizer.TokenID(transformer.AssistantToken)
	plain := b.Config
	plain.Ngrams = nil
	values := tensors[at].Float32s()
	replaced := slices.Clone(prompt)
	for i, id := range prompt {
		if id != marker {
			continue
		}
		text := dialogue[1].Text
		if i == len(prompt)-1 {
			text = dialogue[3].Text
		}
		row := slices.Clone(values[id*hidden : (id+1)*hidden])
		features := b.Config.Ngrams.Features(text)
		for d := range hidden {
			var sum float64
			for _, f := range features {
				for j := range dim {
					sum += float64(projection[d*dim+j]) * float64(table[int(f)*dim+j])
				}
			}
			row[d] += float32(sum / math.Sqrt(float64(len(features))))
		}
		replaced[i] = plain.VocabSize
		plain.VocabSize++
		values = append(values, row...)
	}
	tensors[at], err = safetensors.New("model.embed_tokens.weight", safetensors.F32, []int{plain.VocabSize, hidden}, values)
	require.NoError(t, err)
	tensors = slices.DeleteFunc(tensors, func(t safetensors.Tensor) bool { return strings.HasPrefix(t.Name, "teller.") })
	want := reference(t, plain, tensors, replaced)[len(replaced)-1][:b.Config.VocabSize]
	got, err := b.Model.NewState().Append(t.Context(), prompt)
	require.NoError(t, err)
	devicetest.RequireClose(t, want, got, 1e-5)

	stepwise := b.Model.NewState()
	for i := range prompt {
		got, err = stepwise.Append(t.Context(), prompt[i:i+1])
		require.NoError(t, err)
	}
	devicetest.RequireClose(t, want, got, 1e-5)
}

func TestQuestion(t *testing.T) {
	b := transformertest.LabelledBundle(1)
	for _, text := range []string{"What is a bank?", "", "a\xffb", "<|end|>"} {
		ids, err := b.Tokenizer.EncodeDialogue([]transformer.Message{
			{Role: transformer.RoleUser, Text: "Hello"}, {Role: transformer.RoleAssistant, Text: "Hi"}, {Role: transformer.RoleUser, Text: text},
		})
		require.NoError(t, err)
		require.Equal(t, text, b.Tokenizer.Question(ids[:len(ids)-1]))
	}
	ids, err := b.Tokenizer.EncodeDialogue([]transformer.Message{{Role: transformer.RoleSystem, Text: "Balance"}})
	require.NoError(t, err)
	for n := range ids {
		require.Empty(t, b.Tokenizer.Question(ids[:n]))
	}
}
