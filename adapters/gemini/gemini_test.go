package gemini_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest"
	"teller/adapters/adaptertest/fakeserver"
	"teller/adapters/adaptertest/geminiserver"
	"teller/adapters/gemini"
	"teller/config"
	"teller/llm"
)

const key = "CANARYKEY-7c1d"

// Both SDK paths keep the same contract. The ids are of models that answer without thinking on that
// path, so that max tokens arrive as they are.
func TestConformance(t *testing.T) {
	for sdk, id := range map[string]string{config.SDKGenAI: "gemini-2.5-flash", config.SDKGenerativeAIGo: "gemini-2.0-flash"} {
		t.Run(sdk, func(t *testing.T) {
			lacks := []adaptertest.Capability{adaptertest.LogProbs}
			if sdk == config.SDKGenerativeAIGo {
				lacks = append(lacks, adaptertest.Schema, adaptertest.Seed)
			}
			adaptertest.Run(t, adaptertest.Harness{Lacks: lacks, New: func(t *testing.T) adaptertest.Subject {
				server, err := geminiserver.Start("127.0.0.1:0", "gemini-1.0-pro", id)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, server.Close()) })
				server.SetKey(key)
				model := gemini.New(config.Model{Kind: config.Gemini, BaseURL: server.URL(), APIKey: key, Model: id, SDK: sdk})
				t.Cleanup(func() { require.NoError(t, model.Close()) })
				return adaptertest.Subject{Model: model, Provider: server.Server, Secret: key}
			}})
		})
	}
}

// Thinking counts against the API's bound: a model that thinks gets room for it, and its tokens are
// billed as the reply's.
func TestRoomForThinking(t *testing.T) {
	server, err := geminiserver.Start("127.0.0.1:0", "gemini-3-pro-preview")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	server.Script(fakeserver.Behaviour{Text: "Yes.", ThinkingTokens: 40})
	for _, sdk := range []string{config.SDKGenAI, config.SDKGenerativeAIGo} {
		model := gemini.New(config.Model{BaseURL: server.URL(), APIKey: key, Model: "gemini-3-pro-preview", SDK: sdk})
		req := llm.Request{Options: llm.Options{MaxTokens: 50}, Messages: []llm.Message{{Role: llm.User, Text: "Is it open?"}}}
		out, err := model.Complete(t.Context(), req, nil)
		require.NoError(t, err)
		require.Equal(t, llm.Usage{PromptTokens: 3, CompletionTokens: 41}, out.Usage)
		requests := server.Requests()
		last := requests[len(requests)-1]
		require.Greater(t, *last.MaxTokens, 1000)
		require.Equal(t, sdk == config.SDKGenAI, strings.Contains(string(last.Body), `"thinkingLevel":"LOW"`))
		require.NoError(t, model.Close())
	}
}
