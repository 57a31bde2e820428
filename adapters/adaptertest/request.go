package adaptertest

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/llm"
)

// requests are the cases about what reaches the model, and what must not.
func (s suite) requests(t *testing.T) {
	for name, text := range oddTexts {
		t.Run("odd text/"+name, func(t *testing.T) {
			sub := s.New(t)
			req := llm.Request{Options: llm.Options{MaxTokens: 8}, Messages: []llm.Message{
				{Role: llm.System, Text: text}, {Role: llm.User, Text: text}, {Role: llm.Assistant, Text: text}, {Role: llm.User, Text: text},
			}}
			_, err := sub.Model.Complete(testContext(t), req, nil)
			if sub.Provider == nil {
				if err != nil { // a small untrained model may have nothing to say to it
					sub.requireError(t, err, llm.EmptyReply, llm.ContextTooLong)
				}
				return
			}
			require.NoError(t, err)
			require.Equal(t, req.Messages, sub.lastRequest(t).Messages)
		})
	}
	t.Run("temperature", func(t *testing.T) {
		s.need(t, HTTP)
		sub := s.New(t)
		for _, want := range []float64{0, 1e-60, 0.25, 1, 2} {
			req := ask("What is a bank?")
			req.Temperature = &want
			_, err := sub.Model.Complete(testContext(t), req, nil)
			require.NoError(t, err)
			got := sub.lastRequest(t).Temperature
			require.NotNil(t, got, "temperature %v was dropped", want)
			require.InDelta(t, want, *got, 1e-9)
		}
		_, err := sub.Model.Complete(testContext(t), ask("What is a bank?"), nil)
		require.NoError(t, err)
		require.Nil(t, sub.lastRequest(t).Temperature, "no temperature leaves it to the model")
	})
	t.Run("greedy", func(t *testing.T) {
		if !s.lacks(HTTP) {
			t.Skip("a fake provider does not sample")
		}
		sub := s.New(t)
		req := ask("What is a bank?")
		zero := 0.0
		req.Temperature, req.MaxTokens = &zero, 16
		first, err := sub.Model.Complete(testContext(t), req, nil)
		require.NoError(t, err)
		second, err := sub.Model.Complete(testContext(t), req, nil)
		require.NoError(t, err)
		require.Equal(t, first.Text, second.Text, "temperature 0 is greedy")
	})
	t.Run("max tokens", func(t *testing.T) {
		s.need(t, HTTP)
		sub := s.New(t)
		req := ask("What is a bank?")
		req.MaxTokens = 77
		_, err := sub.Model.Complete(testContext(t), req, nil)
		require.NoError(t, err)
		got := sub.lastRequest(t).MaxTokens
		require.NotNil(t, got)
		require.Equal(t, 77, *got)

		_, err = sub.Model.Complete(testContext(t), ask("What is a bank?"), nil)
		require.NoError(t, err)
		require.Nil(t, sub.lastRequest(t).MaxTokens, "0 leaves the bound to the model")
	})

	nan, low, high := math.NaN(), -0.1, 2.1
	user := []llm.Message{{Role: llm.User, Text: prompt}}
	for name, req := range map[string]llm.Request{
		"no message":             {},
		"empty message":          {Messages: []llm.Message{{Role: llm.User}}},
		"invalid UTF-8":          {Messages: []llm.Message{{Role: llm.User, Text: "CANARYPROMPT \xff\xfe"}}},
		"unknown role":           {Messages: []llm.Message{{Role: "tool", Text: prompt}}},
		"late system message":    {Messages: []llm.Message{user[0], {Role: llm.System, Text: prompt}, user[0]}},
		"ends with the reply":    {Messages: []llm.Message{user[0], {Role: llm.Assistant, Text: prompt}}},
		"system message only":    {Messages: []llm.Message{{Role: llm.System, Text: prompt}}},
		"negative max tokens":    {Messages: user, Options: llm.Options{MaxTokens: -1}},
		"temperature NaN":        {Messages: user, Options: llm.Options{Temperature: &nan}},
		"temperature below zero": {Messages: user, Options: llm.Options{Temperature: &low}},
		"temperature above two":  {Messages: user, Options: llm.Options{Temperature: &high}},
	} {
		t.Run("invalid/"+name, func(t *testing.T) {
			sub := s.New(t)
			_, err := sub.Model.Complete(testContext(t), req, nil)
			sub.requireError(t, err, llm.InvalidRequest)
			if sub.Provider != nil {
				require.Zero(t, sub.Provider.Calls(), "an invalid request costs no call")
			}
		})
	}
	t.Run("context too long", func(t *testing.T) {
		sub := s.New(t)
		window := sub.Window
		if sub.Provider != nil {
			window = 64
			sub.Provider.SetWindow(window)
		}
		require.Positive(t, window, "the harness names no window")
		_, err := sub.Model.Complete(testContext(t), ask(prompt+words(window+1)), nil)
		sub.requireError(t, err, llm.ContextTooLong)
		_, err = sub.Model.Complete(testContext(t), ask("What is a bank?"), nil)
		require.NoError(t, err, "a refused dialogue does no harm to the next one")
	})
}

// words is a text of n words, so of at least n tokens.
func words(n int) string {
	b := make([]byte, 0, 4*n)
	for range n {
		b = append(b, " abc"...)
	}
	return string(b)
}
