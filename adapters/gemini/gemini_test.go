package gemini_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest"
	"teller/adapters/adaptertest/geminiserver"
	"teller/adapters/gemini"
	"teller/config"
)

const key = "CANARYKEY-7c1d"

// Both SDK paths keep the same contract. The ids are of models that answer without thinking on that
// path, so that max tokens arrive as they are.
func TestConformance(t *testing.T) {
	for sdk, id := range map[string]string{config.SDKGenAI: "gemini-2.5-flash", config.SDKGenerativeAIGo: "gemini-2.0-flash"} {
		t.Run(sdk, func(t *testing.T) {
			adaptertest.Run(t, adaptertest.Harness{New: func(t *testing.T) adaptertest.Subject {
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
