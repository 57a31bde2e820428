package transformer

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/llm"
	engine "teller/transformer"
)

// told asks a model whose engine says the tokens of text one after the other, and gives what came while it spoke.
func told(t *testing.T, text string, finish engine.FinishReason, options llm.Options) (pieces []string, probs []llm.TokenLogProb, out llm.Completion, err error) {
	t.Helper()
	m, _ := withScript(text, finish)
	req := question("What is a bank?")
	req.Options = options
	out, err = m.Complete(t.Context(), req, func(d llm.Delta) {
		require.NotEmpty(t, d.Text)
		pieces, probs = append(pieces, d.Text), append(probs, d.LogProbs...)
	})
	if err == nil {
		require.Equal(t, out.Text, strings.Join(pieces, ""))
		require.Equal(t, out.LogProbs, probs)
		silent, silentErr := m.Complete(t.Context(), req, nil)
		require.NoError(t, silentErr)
		require.Equal(t, silent, out, "who listens changes nothing")
	}
	return pieces, probs, out, err
}

func TestPiecesComeOnlyOnceTheyAreSureToStay(t *testing.T) {
	for _, c := range []struct {
		name   string
		text   string
		stops  []string
		pieces []string // of a tokenizer whose tokens are the bytes but for a few words
		finish llm.FinishReason
	}{
		{"letters come one by one", "You", nil, []string{"Y", "o", "u"}, llm.FinishStop},
		{"a character comes whole", "a€b", nil, []string{"a", "€", "b"}, llm.FinishStop},
		{"half a character at the end", "a\xe2\x82", nil, []string{"a", "\uFFFD"}, llm.FinishStop},
		{"bytes that are no characters", "a\xff\xfeb\xffc", nil, []string{"a", "\uFFFD", "b", "\uFFFD", "c"}, llm.FinishStop},
		{"a figure comes whole", "x 120.50 y", nil, []string{"x", " ", "120.", "50 ", "y"}, llm.FinishStop},
		{"nothing before the first letter", " \n x", nil, []string{" \n x"}, llm.FinishStop},
		{"up to the stop text", "xySTOPz", []string{"STOP"}, []string{"x", "y"}, llm.FinishStop},
		{"what might have been a stop text", "xSTzSTOP", []string{"STOP"}, []string{"x", "STz"}, llm.FinishStop},
		{"the first of two stop texts", "xABCD", []string{"CD", "BC"}, []string{"x", "A"}, llm.FinishStop},
		{"the stop text that begins first", "xABCD", []string{"ABCD", "BC"}, []string{"x", "A"}, llm.FinishStop},
		{"half a stop text at the end", "xST", []string{"STOP"}, []string{"x", "ST"}, llm.FinishStop},
		{"a stop text of one character", "xy€z", []string{"€"}, []string{"x", "y"}, llm.FinishStop},
		{"a stop text of digits", "x129", []string{"29"}, []string{"x", "1"}, llm.FinishStop},
	} {
		t.Run(c.name, func(t *testing.T) {
			pieces, _, out, err := told(t, c.text, engine.FinishEOS, llm.Options{Stop: c.stops, LogProbs: true})
			require.NoError(t, err)
			require.Equal(t, strings.Join(c.pieces, ""), out.Text)
			require.LessOrEqual(t, len(pieces), len(c.pieces))
			for i, piece := range pieces { // a token can be more than a byte: pieces may come joined, never cut elsewhere
				require.Contains(t, strings.Join(c.pieces, ""), piece, i)
			}
			require.Equal(t, c.finish, out.FinishReason)
		})
	}
}

// Of a text that is withdrawn in the end, nothing that is wrong was shown.
func TestAnEndlessFigureIsNoReply(t *testing.T) {
	_, _, out, err := told(t, "Your card 4929123412341234 has a limit of GBP 1,204.50.", engine.FinishEOS, llm.Options{})
	require.NoError(t, err)
	require.Contains(t, out.Text, "4929123412341234")

	for _, text := range []string{"You have £" + strings.Repeat("9", 40), "You have £" + strings.Repeat("9", 40) + " pounds."} {
		pieces, _, _, err := told(t, text, engine.FinishMaxTokens, llm.Options{})
		requireCode(t, llm.BadReply, err)
		require.NotContains(t, strings.Join(pieces, ""), "9")
	}
}

func TestLogProbsOfTheReplysTokens(t *testing.T) {
	_, probs, out, err := told(t, "A bank€ STOP and more", engine.FinishEOS, llm.Options{LogProbs: true, TopLogProbs: 2, Stop: []string{"STOP"}})
	require.NoError(t, err)
	require.Equal(t, "A bank€ ", out.Text)
	require.NotEmpty(t, probs)
	for _, p := range probs {
		require.NotContains(t, p.Token, "T")
		require.InDelta(t, -0.5, p.LogProb, 1e-9)
	}
	_, probs, out, err = told(t, "A bank", engine.FinishEOS, llm.Options{})
	require.NoError(t, err)
	require.Empty(t, probs)
	require.Empty(t, out.LogProbs, "nobody asked for them")
}

// However a text is cut into tokens and whatever the stop text is: the pieces joined are the text, up to the stop.
func TestPiecesJoinedAreTheText(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	alphabet := []string{"a", "b", "€", "1", "2", " ", "\xe2", "\x82", "\xff", "👩🏽"}
	words := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString(alphabet[random.IntN(len(alphabet))])
		}
		return b.String()
	}
	for range 2000 {
		whole := words(1 + random.IntN(30))
		stop := strings.ToValidUTF8(words(1+random.IntN(3)), "x")
		spelled := map[int]string{}
		rest := whole
		for id := 0; rest != ""; id++ {
			n := min(len(rest), 1+random.IntN(4))
			spelled[id], rest = rest[:n], rest[n:]
		}
		var pieces strings.Builder
		said := newReply(llm.Request{Options: llm.Options{Stop: []string{stop}}}, func(id int, _ bool) string { return spelled[id] },
			func(d llm.Delta) { pieces.WriteString(d.Text) })
		for id := 0; id < len(spelled) && said.add(engine.Token{ID: id}); id++ {
		}
		failed := said.end()
		want, _, _ := strings.Cut(strings.ToValidUTF8(whole, "\uFFFD"), stop)
		if strings.TrimSpace(want) == "" {
			require.NotNil(t, failed, "%q", whole)
			require.Empty(t, pieces.String())
			continue
		}
		require.Nil(t, failed)
		require.Equal(t, want, pieces.String(), "%q stop %q", whole, stop)
	}
}
