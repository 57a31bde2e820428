package openai

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/llm"
)

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

// Clients switch on which members are there and which are null.
func TestChunks(t *testing.T) {
	const head = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"custom",`
	c := Chunks{Head: Head{ID: ID("1"), Created: 7, Model: "custom"}}
	reply := llm.Completion{Text: "Yes.", FinishReason: llm.FinishLength, Served: "v1", Usage: llm.Usage{PromptTokens: 3, CompletionTokens: 2}}
	extra := Teller{TurnID: "1", ModelVersion: "qlora", LatencyMs: 4}

	require.Equal(t, head+`"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}`, asJSON(t, c.Role()))
	require.Equal(t, head+`"choices":[{"index":0,"delta":{"content":"Yes."},"logprobs":null,"finish_reason":null}]}`,
		asJSON(t, c.Text(llm.Delta{Text: "Yes.", LogProbs: []llm.TokenLogProb{{Token: "Yes."}}})))
	require.Equal(t, head+`"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":null}]}`, asJSON(t, c.Text(llm.Delta{})), "in a silence")
	require.Equal(t, `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"qlora","system_fingerprint":"v1",`+
		`"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}],"teller":{"turn_id":"1","model_version":"qlora","latency_ms":4,"confidence":null}}`,
		asJSON(t, c.End(reply, extra)))
	_, ok := c.LastUsage(reply, extra)
	require.False(t, ok, "unasked")

	c.IncludeUsage = true
	require.True(t, strings.HasSuffix(asJSON(t, c.Role()), `"finish_reason":null}],"usage":null}`))
	last, ok := c.LastUsage(reply, extra)
	require.True(t, ok)
	require.Equal(t, `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"qlora","system_fingerprint":"v1","choices":[],`+
		`"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`, asJSON(t, last))
}
