package adaptertest

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest/fakeserver"
	"teller/llm"
)

// options are the cases about what steers a completion beside its bound and temperature.
func (s suite) options(t *testing.T) {
	t.Run("top_p, seed and stop arrive", func(t *testing.T) {
		s.need(t, HTTP)
		sub := s.New(t)
		for _, topP := range []float64{1e-60, 0.25, 1} {
			req := ask("What is a bank?")
			seed := int64(17)
			req.TopP, req.Seed, req.Stop = &topP, &seed, []string{"END", "###"}
			_, err := sub.Model.Complete(testContext(t), req, nil)
			require.NoError(t, err)
			got := sub.lastRequest(t)
			require.NotNil(t, got.TopP)
			require.InDelta(t, topP, *got.TopP, 1e-7)
			require.Equal(t, req.Stop, got.Stop)
			if !s.lacks(Seed) {
				require.Equal(t, &seed, got.Seed)
			}
		}
		_, err := sub.Model.Complete(testContext(t), ask("What is a bank?"), nil)
		require.NoError(t, err)
		got := sub.lastRequest(t)
		require.Nil(t, got.TopP)
		require.Nil(t, got.Seed)
		require.Empty(t, got.Stop)
	})
	t.Run("any seed", func(t *testing.T) {
		sub := s.New(t)
		for _, seed := range []int64{0, -1, math.MinInt64, math.MaxInt64, 1 << 40} {
			req := ask("What is a bank?")
			req.Seed, req.MaxTokens = &seed, 4
			_, err := sub.Model.Complete(testContext(t), req, nil)
			if err != nil { // a small untrained model may have nothing to say
				sub.requireError(t, err, llm.EmptyReply)
			}
		}
	})
	t.Run("a seed repeats", func(t *testing.T) {
		if !s.lacks(HTTP) {
			t.Skip("a fake provider does not sample")
		}
		sub := s.New(t)
		hot, topP := 1.5, 1.0
		said := map[string]bool{}
		for seed := range int64(8) {
			req := ask("What is a bank?")
			req.Temperature, req.TopP, req.Seed, req.MaxTokens = &hot, &topP, &seed, 16
			first, err := sub.Model.Complete(testContext(t), req, nil)
			require.NoError(t, err)
			second, err := sub.Model.Complete(testContext(t), req, nil)
			require.NoError(t, err)
			require.Equal(t, first, second)
			said[first.Text] = true
		}
		require.Greater(t, len(said), 1, "another seed, other words")
	})
	t.Run("stop", func(t *testing.T) {
		sub := s.New(t)
		req := ask("What is a bank?")
		req.MaxTokens = 64
		whole, err := sub.Model.Complete(testContext(t), req, nil)
		require.NoError(t, err)
		runes := []rune(whole.Text)
		require.Greater(t, len(runes), 8)
		stop := string(runes[len(runes)/2 : len(runes)/2+3])
		want, _, _ := strings.Cut(whole.Text, stop)
		if strings.TrimSpace(want) == "" {
			t.Skip("the model says the same over and over")
		}
		req.Stop = []string{stop, "never said"}
		for _, l := range []*listener{nil, listen(t)} {
			emit := (func(llm.Delta))(nil)
			if l != nil {
				emit = l.emit
			}
			out, err := sub.Model.Complete(testContext(t), req, emit)
			require.NoError(t, err)
			require.Equal(t, want, out.Text)
			require.Equal(t, llm.FinishStop, out.FinishReason)
			if l != nil {
				require.Equal(t, want, l.text(), "nothing of the stop text is shown")
			}
		}
	})
	t.Run("log-probabilities", func(t *testing.T) {
		s.need(t, LogProbs)
		sub := s.New(t)
		if sub.Provider != nil {
			logProb := -0.25
			sub.Provider.Script(fakeserver.Behaviour{LogProb: &logProb})
		}
		plain, err := sub.Model.Complete(testContext(t), ask("What is a bank?"), nil)
		require.NoError(t, err)
		require.Empty(t, plain.LogProbs, "nobody asked for them")
		for _, top := range []int{0, 3, llm.MaxTopLogProbs} {
			req := ask("What is a bank?")
			req.LogProbs, req.TopLogProbs = true, top
			l := listen(t)
			out, err := sub.Model.Complete(testContext(t), req, l.emit)
			require.NoError(t, err)
			require.Len(t, out.LogProbs, out.Usage.CompletionTokens)
			// A last token without a text of its own, half a character, has no piece to come with.
			require.LessOrEqual(t, len(l.logProbs), len(out.LogProbs))
			require.Equal(t, out.LogProbs[:len(l.logProbs)], l.logProbs, "they come with their pieces")
			spelled, mean := "", 0.0
			for _, token := range out.LogProbs {
				spelled += token.Token
				mean += token.LogProb / float64(len(out.LogProbs))
				require.LessOrEqual(t, token.LogProb, 0.0)
				require.Len(t, token.Top, top)
				for i := 1; i < len(token.Top); i++ {
					require.GreaterOrEqual(t, token.Top[i-1].LogProb, token.Top[i].LogProb, "best first")
				}
			}
			if sub.Provider != nil {
				require.InDelta(t, math.Exp(mean), *out.Confidence, 1e-9)
				require.Equal(t, out.Text, spelled)
				require.Len(t, l.logProbs, len(out.LogProbs))
			}
			silent, err := sub.Model.Complete(testContext(t), req, nil)
			require.NoError(t, err)
			require.Equal(t, silent, out)
		}
	})
	zero, over, nan := 0.0, 1.1, math.NaN()
	user := []llm.Message{{Role: llm.User, Text: prompt}}
	for name, options := range map[string]llm.Options{
		"top_p 0":                       {TopP: &zero},
		"top_p over 1":                  {TopP: &over},
		"top_p NaN":                     {TopP: &nan},
		"five stop texts":               {Stop: []string{"a", "b", "c", "d", "e"}},
		"an empty stop text":            {Stop: []string{"a", ""}},
		"a stop text that is no UTF-8":  {Stop: []string{"CANARY\xff"}},
		"top_logprobs without logprobs": {TopLogProbs: 1},
		"top_logprobs below 0":          {LogProbs: true, TopLogProbs: -1},
		"top_logprobs over 20":          {LogProbs: true, TopLogProbs: 21},
	} {
		t.Run("invalid/"+name, func(t *testing.T) {
			sub := s.New(t)
			_, err := sub.Model.Complete(testContext(t), llm.Request{Messages: user, Options: options}, nil)
			sub.requireError(t, err, llm.InvalidRequest)
			if sub.Provider != nil {
				require.Zero(t, sub.Provider.Calls(), "an invalid request costs no call")
			}
		})
	}
}
