package vllm_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest/openaiserver"
	"teller/adapters/vllm"
	"teller/config"
	"teller/llm"
)

// A dialogue that is too long for a configured window loses its oldest turns, and the completion says so.
func TestAConfiguredWindow(t *testing.T) {
	server, err := openaiserver.Start("127.0.0.1:0", "banking")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	req := llm.Request{Messages: []llm.Message{
		{Role: llm.System, Text: "Balance: 12.50"},
		{Role: llm.User, Text: strings.Repeat("Fees? ", 300)}, {Role: llm.Assistant, Text: "None."},
		{Role: llm.User, Text: "What is a bank?"},
	}}
	for _, c := range []struct {
		window, omitted int
		emit            func(llm.Delta)
	}{{0, 0, nil}, {4096, 0, nil}, {512, 2, nil}, {512, 2, func(llm.Delta) {}}} {
		model := vllm.New(config.Model{BaseURL: server.URL(), Model: "banking", ContextTokens: c.window})
		out, err := model.Complete(t.Context(), req, c.emit)
		require.NoError(t, err)
		require.Equal(t, c.omitted, out.OmittedMessages)
		requests := server.Requests()
		require.Len(t, requests[len(requests)-1].Messages, 4-c.omitted)
		require.NoError(t, model.Close())
	}
}
