package vllm

import (
	"testing"

	"github.com/sashabaranov/go-openai"
	"github.com/stretchr/testify/require"
)

func TestReadChoice(t *testing.T) {
	for text, want := range map[string]string{
		`{"choice":"card"}`:                      "card",
		"{ \"choice\" :\n \"card\" }\n":          "card",
		`{"choice":"a \"b\" \\ \u00e9 \n c"}`:    "a \"b\" \\ é \n c",
		`{"choice":""}`:                          "",
		`{"choice":"{\"choice\":\"nested\"}"}`:   `{"choice":"nested"}`,
		`{"choice":"card","choice":"balance"}`:   "-",
		`{"choice":"card","why":"it was asked"}`: "-",
		`{"choice":["card"]}`:                    "-",
		`{"choice":5}`:                           "-",
		`{"choice":null}`:                        "-",
		`{"choice":"card"`:                       "-",
		`{"choice":"car`:                         "-",
		`{"choice":"card"} thanks`:               "-",
		`{"Choice":"card"}`:                      "-",
		`"card"`:                                 "-",
		`card`:                                   "-",
		``:                                       "-",
		`{}`:                                     "-",
		`[]`:                                     "-",
	} {
		value, from, to, ok := readChoice(text)
		if want == "-" {
			require.False(t, ok, text)
			continue
		}
		require.True(t, ok, text)
		require.Equal(t, want, value)
		require.Equal(t, byte('"'), text[from-1], text)
		require.Equal(t, byte('"'), text[to], text)
	}
}

func FuzzReadChoice(f *testing.F) {
	f.Add(`{"choice":"card"}`)
	f.Add("{\"choice\":\"\xff\"}")
	f.Add(`{"choice"`)
	f.Fuzz(func(t *testing.T, text string) {
		if _, from, to, ok := readChoice(text); ok {
			require.LessOrEqual(t, from, to)
			require.LessOrEqual(t, to, len(text))
		}
	})
}

func TestChoiceConfidence(t *testing.T) {
	const text = `{"choice":"card lost"}`
	probs := func(tokens ...openai.LogProb) *openai.LogProbs { return &openai.LogProbs{Content: tokens} }
	token := func(text string, p float64) openai.LogProb { return openai.LogProb{Token: text, LogProb: p} }
	_, from, to, ok := readChoice(text)
	require.True(t, ok)

	got, _ := choiceConfidence(probs(token(`{"`, -5), token(`choice`, -5), token(`":"`, -5), token(`card`, -0.5), token(` lost`, -0.25), token(`"}`, -5), token("<|end|>", -5)), text, from, to)
	require.InDelta(t, 0.4724, *got, 1e-4, "exp(-0.75): only the tokens of the choice count")
	got, _ = choiceConfidence(probs(token(`{"choice":"card`, -0.5), token(` lost"}`, -0.25)), text, from, to)
	require.InDelta(t, 0.4724, *got, 1e-4, "a token that the choice is a part of counts")
	got, _ = choiceConfidence(probs(token(`{"choice":"card l`, -0.5),
		openai.LogProb{Token: "bytes:6f", Bytes: []byte("o"), LogProb: -0.25}, token(`st"}`, 0)), text, from, to)
	require.InDelta(t, 0.4724, *got, 1e-4, "a part of a character is known by its bytes")

	for _, p := range []*openai.LogProbs{nil, probs(), probs(token("something", -1)), probs(token(`{"choice":"ca`, -1))} {
		got, reason := choiceConfidence(p, text, from, to)
		require.Nil(t, got)
		require.NotEmpty(t, reason)
	}
}
