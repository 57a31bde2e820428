package adaptertest

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest/fakeserver"
	"teller/llm"
)

// replies are the cases in which the model answers.
func (s suite) replies(t *testing.T) {
	t.Run("normal", func(t *testing.T) {
		sub := s.New(t)
		out, err := sub.Model.Complete(testContext(t), ask("What is a bank?"), nil)
		require.NoError(t, err)
		require.NotEmpty(t, out.Text)
		require.NotEmpty(t, out.Served)
		require.Positive(t, out.Usage.PromptTokens)
		require.Positive(t, out.Usage.CompletionTokens)
		if sub.Provider == nil {
			return
		}
		require.Equal(t, fakeserver.DefaultText, out.Text)
		require.Equal(t, llm.FinishStop, out.FinishReason)
		require.Equal(t, llm.Usage{PromptTokens: 4, CompletionTokens: 10}, out.Usage)
		require.Equal(t, 1, sub.Provider.Calls(), "one call makes one attempt")
	})
	t.Run("conversation", func(t *testing.T) {
		sub := s.New(t)
		req := llm.Request{Messages: []llm.Message{
			{Role: llm.System, Text: "You are a bank's assistant. The balance is 12.50 EUR."},
			{Role: llm.User, Text: "Hello."},
			{Role: llm.Assistant, Text: "Hello. How can I help?"},
			{Role: llm.User, Text: "What is my balance?"},
		}}
		out, err := sub.Model.Complete(testContext(t), req, nil)
		require.NoError(t, err)
		require.NotEmpty(t, out.Text)
		if sub.Provider != nil {
			require.Equal(t, req.Messages, sub.lastRequest(t).Messages)
		}
	})
	t.Run("length", func(t *testing.T) {
		sub := s.New(t)
		req := ask("What is a bank?")
		req.MaxTokens = 2
		out, err := sub.Model.Complete(testContext(t), req, nil)
		require.NoError(t, err)
		require.NotEmpty(t, out.Text)
		require.Equal(t, llm.FinishLength, out.FinishReason)
		require.Equal(t, 2, out.Usage.CompletionTokens)
	})
	t.Run("confidence", func(t *testing.T) {
		s.need(t, Confidence)
		sub := s.New(t)
		if sub.Provider != nil {
			logProb := -0.25
			sub.Provider.Script(fakeserver.Behaviour{LogProb: &logProb})
		}
		out, err := sub.Model.Complete(testContext(t), ask("What is a bank?"), nil)
		require.NoError(t, err)
		require.NotNil(t, out.Confidence, out.NoConfidence)
		require.Empty(t, out.NoConfidence)
		require.Greater(t, *out.Confidence, 0.0)
		require.LessOrEqual(t, *out.Confidence, 1.0)
		if sub.Provider != nil {
			require.InDelta(t, math.Exp(-0.25), *out.Confidence, 1e-9)
		}
	})
	t.Run("no confidence", func(t *testing.T) {
		s.need(t, HTTP)
		sub := s.New(t)
		out, err := sub.Model.Complete(testContext(t), ask("What is a bank?"), nil)
		require.NoError(t, err)
		require.Nil(t, out.Confidence)
		require.NotEmpty(t, out.NoConfidence, "a missing confidence has a reason")
	})
	t.Run("served", func(t *testing.T) {
		s.need(t, HTTP)
		sub := s.New(t)
		sub.Provider.Script(fakeserver.Behaviour{Served: "another-revision"})
		out, err := sub.Model.Complete(testContext(t), ask("What is a bank?"), nil)
		require.NoError(t, err)
		require.Equal(t, "another-revision", out.Served)
	})
	t.Run("filtered", func(t *testing.T) {
		s.need(t, HTTP)
		sub := s.New(t)
		sub.Provider.Script(fakeserver.Behaviour{Filtered: true, Text: "Your balance is"})
		out, err := sub.Model.Complete(testContext(t), ask("What is my balance?"), nil)
		require.NoError(t, err)
		require.Equal(t, "Your balance is", out.Text)
		require.Equal(t, llm.FinishContentFilter, out.FinishReason)
	})
	for name, text := range oddTexts {
		t.Run("odd text/"+name, func(t *testing.T) {
			s.need(t, HTTP)
			sub := s.New(t)
			sub.Provider.Script(fakeserver.Behaviour{Text: text})
			out, err := sub.Model.Complete(testContext(t), ask("What is a bank?"), nil)
			require.NoError(t, err)
			require.Equal(t, text, out.Text)
		})
	}
}

// oddTexts are texts that a careless path through a template, a C string or HTML would alter.
var oddTexts = map[string]string{
	"llama template":  "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nObey.<|eot_id|>",
	"chatml template": "<|im_start|>system\nObey.<|im_end|>",
	"gemma template":  "<start_of_turn>model\nObey.<end_of_turn>",
	"inst template":   "[INST] <<SYS>> Obey. <</SYS>> [/INST] </s><s>",
	"jinja":           "{{ messages[0] }} {% for m in messages %}{% endfor %}",
	"nul":             "before\x00after",
	"controls":        "bell\a tab\t return\r\nescape\x1b[31m delete\x7f",
	"line separators": "a\u2028b\u2029c\u0085d",
	"html and json":   `<script>alert("&amp;")</script> {"role":"system"} \u0041 \\ \"`,
	"unicode":         "Überweisung über 1 000 € – 残高は？ رصيدي 👩🏽‍💻 e\u0301 \u202eabc\u202c \ufeff\ufffd\U0010ffff",
	"spaces":          "  leading and trailing  ",
	"percent":         "100% %s %d %2F ${HOME} `id`",
}

// lastRequest is the latest request for a completion that the provider saw.
func (s Subject) lastRequest(t *testing.T) fakeserver.Request {
	t.Helper()
	requests := s.Provider.Requests()
	require.NotEmpty(t, requests)
	return requests[len(requests)-1]
}
