package train

import (
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"teller/corpus"
	"teller/transformer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOnlyTheLastReplyCountsInFull(t *testing.T) {
	c, o := tiny(t)
	o.PromptWeight = 0.25
	tokenizer, err := trainTokenizer(c, o)
	require.NoError(t, err)
	enc, err := newEncoder(tokenizer, o)
	require.NoError(t, err)
	s, err := enc.sample([]corpus.Message{
		{Role: "system", Text: "Balance: £12."}, {Role: "user", Text: "Hello"}, {Role: "assistant", Text: "Hello."},
		{Role: "user", Text: "What is a bank?"}, {Role: "assistant", Text: "A bank lends."},
	})
	require.NoError(t, err)
	text := map[float32]string{}
	for i, w := range s.Weights[:len(s.IDs)-1] {
		next := int(s.IDs[i+1])
		if special := transformer.SpecialTokens(); next < len(special) {
			text[w] += special[next]
		} else {
			text[w] += tokenizer.Decode([]int{next})
		}
	}
	end := transformer.EndToken
	require.Equal(t, map[float32]string{
		1:    "A bank lends." + end,
		0.25: "Hello" + end + "What is a bank?" + end,
		0:    transformer.SystemToken + "Balance: £12." + end + transformer.UserToken + transformer.AssistantToken + "Hello." + end + transformer.UserToken + transformer.AssistantToken,
	}, text)
}

func TestFiguresAreReadDigitByDigit(t *testing.T) {
	c, o := tiny(t)
	tokenizer, err := trainTokenizer(c, o)
	require.NoError(t, err)
	digits := regexp.MustCompile(`\d`)
	for id := range tokenizer.VocabSize() {
		text := tokenizer.Decode([]int{id})
		require.False(t, len(text) > 1 && digits.MatchString(text), "token %q", text)
	}
}

func TestNoise(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	figures := regexp.MustCompile(`\d[\d.,]*`)
	const question = "Where is the payment of £1,204.50 that I made on 3 May?"
	changed := 0
	for range 2000 {
		got := noisy(rng, question)
		require.Equal(t, figures.FindAllString(question, -1), figures.FindAllString(got, -1), got)
		require.Equal(t, strings.TrimSpace(got), got)
		if got != question {
			changed++
		}
	}
	require.Greater(t, changed, 1000)
	for _, short := range []string{"", "?", "hi", "£5", "ééé éééé"} {
		for range 200 {
			require.NotPanics(t, func() { noisy(rng, short) })
		}
	}
}

func TestCurveIsAnSVG(t *testing.T) {
	c := Curve{}
	for name, fill := range map[string]func(){
		"empty":        func() {},
		"one step":     func() { c.add(trainLoss, 1, 5) },
		"many":         func() { c.add(validationLoss, 300, 0.4); c.add(trainLoss, 300, 0) },
		"a lucky loss": func() { c.add(validationLoss, 301, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			fill()
			svg := string(c.SVG())
			require.NotContains(t, svg, "NaN")
			require.NotContains(t, svg, "Inf")
			d := xml.NewDecoder(strings.NewReader(svg))
			for {
				_, err := d.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
			}
		})
	}
}

func TestBatchRefusesWhatDoesNotFit(t *testing.T) {
	b := NewBatch(8, 5)
	sample := func(n int) Sample { return Sample{IDs: make([]int32, n), Weights: make([]float32, n)} }
	for _, n := range []int{0, 1, 7} {
		_, err := b.Add(sample(n))
		require.Error(t, err, n)
	}
	ok, err := b.Add(sample(6))
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = b.Add(sample(5))
	require.NoError(t, err)
	require.False(t, ok, "4 tokens do not fit beside 5 in 8")
	require.Equal(t, []Doc{{0, 5}}, b.Docs)
}

func TestEvaluateCountsAnswers(t *testing.T) {
	c, o := tiny(t)
	_, err := Run(t.Context(), c, o, nil)
	require.NoError(t, err)
	bundle, err := transformer.LoadDir(o.Out)
	require.NoError(t, err)
	e, err := Evaluate(t.Context(), bundle, c, corpus.Validation, 1)
	require.NoError(t, err)
	require.Positive(t, e.All.Total)
	require.Equal(t, e.All.Total, e.All.Good+len(e.Failures))
	sum := 0
	for _, s := range e.ByKind {
		sum += s.Total
	}
	require.Equal(t, e.All.Total, sum)
}
