package gemini_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest/geminiserver"
	"teller/adapters/gemini"
	"teller/config"
	"teller/llm"
)

// A dialogue that is too long for a configured window loses its oldest turns, and the completion says so.
func TestAConfiguredWindow(t *testing.T) {
	server, err := geminiserver.Start("127.0.0.1:0", "gemini-2.5-flash")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	req := llm.Request{Messages: []llm.Message{
		{Role: llm.User, Text: strings.Repeat("Fees? ", 300)}, {Role: llm.Assistant, Text: "None."},
		{Role: llm.User, Text: "What is a bank?"},
	}}
	for _, sdk := range []string{config.SDKGenAI, config.SDKGenerativeAIGo} {
		for window, omitted := range map[int]int{0: 0, 4096: 0, 512: 2} {
			model := gemini.New(config.Model{BaseURL: server.URL(), APIKey: key, Model: "gemini-2.5-flash", SDK: sdk, ContextTokens: window})
			out, err := model.Complete(t.Context(), req, nil)
			require.NoError(t, err)
			require.Equal(t, omitted, out.OmittedMessages)
			requests := server.Requests()
			require.Len(t, requests[len(requests)-1].Messages, 3-omitted)
			require.NoError(t, model.Close())
		}
	}
}
