package vllm

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/llm"
)

// What servers of OpenAI's protocol were seen to send as a stream.
func TestStreamBodies(t *testing.T) {
	const (
		begin = `data: {"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n"
		hello = `data: {"model":"m","choices":[{"index":0,"delta":{"content":"hel"}}]}` + "\n\n" + `data: {"choices":[{"index":0,"delta":{"content":"lo"}}]}` + "\n\n"
		stop  = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
		usage = `data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}` + "\n\n"
		done  = "data: [DONE]\n\n"
	)
	for name, c := range map[string]struct {
		body string
		text string // "": it fails
		code llm.Code
	}{
		"vLLM":                       {begin + hello + stop + usage + done, "hello", ""},
		"without [DONE]":             {begin + hello + stop + usage, "hello", ""},
		"without a finish reason":    {begin + hello + usage + done, "hello", ""},
		"without spaces and CR":      {strings.ReplaceAll(strings.ReplaceAll(begin+hello+stop+usage+done, "data: ", "data:"), "\n", "\r\n"), "hello", ""},
		"comments of a proxy":        {strings.Repeat(": PROCESSING\n\n", 2000) + begin + hello + stop + usage + done + ": bye\n\n", "hello", ""},
		"usage in each chunk":        {strings.ReplaceAll(begin+hello, `"choices"`, `"usage":{"prompt_tokens":1},"choices"`) + stop + usage + done, "hello", ""},
		"a second choice":            {begin + hello + `data: {"choices":[{"index":1,"delta":{"content":"x"}}]}` + "\n\n" + stop + usage + done, "hello", ""},
		"it breaks off":              {begin + hello, "", llm.Unavailable},
		"an error, then [DONE]":      {begin + hello + `data: {"error":{"message":"no","type":"InternalServerError","code":500}}` + "\n\n" + done, "", llm.Unavailable},
		"an error of another status": {begin + `data: {"error":{"message":"no","code":429}}` + "\n\n", "", llm.RateLimited},
		"an error without a code":    {begin + `data: {"error":{"message":"no"}}` + "\n\n", "", llm.Unavailable},
		"a gateway's error":          {`{"error":{"message":"upstream","code":429}}`, "", llm.RateLimited},
		"a reply that is no stream":  {`{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}`, "", llm.BadReply},
		"half a chunk":               {begin + hello + `data: {"choices":[{"ind`, "", llm.Unavailable},
		"a chunk that is none":       {begin + hello + "data: {\"choices\":[{\"ind\n\n" + stop + done, "", llm.BadReply},
		"no text":                    {begin + stop + usage + done, "", llm.EmptyReply},
		"a refusal":                  {begin + `data: {"choices":[{"delta":{"refusal":"I cannot."}}]}` + "\n\n" + stop + done, "", llm.Refused},
		"filtered away":              {begin + strings.Replace(stop, "stop", "content_filter", 1) + done, "", llm.Refused},
		"nothing but the end":        {done, "", llm.EmptyReply},
		"nothing":                    {"", "", llm.BadReply},
	} {
		t.Run(name, func(t *testing.T) {
			var told strings.Builder
			out, err := model(answer{status: 200, body: c.body}).Complete(t.Context(), ask("hello"), func(d llm.Delta) { told.WriteString(d.Text) })
			if c.text == "" {
				require.Equal(t, c.code, llm.CodeOf(err), "%v", err)
				requireSafe(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.text, out.Text)
			require.Equal(t, c.text, told.String())
			require.Equal(t, llm.Usage{PromptTokens: 3, CompletionTokens: 2}, out.Usage)
			require.Equal(t, llm.FinishStop, out.FinishReason)
			require.Equal(t, "m", out.Served)
		})
	}
}

// The log-probabilities of tokens that are a part of a character come with the character.
func TestLogProbsOfPartsOfACharacter(t *testing.T) {
	const body = `data: {"choices":[{"delta":{"content":""},"logprobs":{"content":[{"token":"a","logprob":-1,"top_logprobs":[{"token":"a","logprob":-1},{"token":"b","logprob":-2}]}]}}]}
data: {"choices":[{"delta":{"content":"é"},"logprobs":{"content":[{"token":"b","logprob":-3}]}}]}
data: {"choices":[{"delta":{"content":"c"},"logprobs":{"content":[{"token":"c","logprob":-2}]},"finish_reason":"length"}]}
data: [DONE]
`
	req := ask("hello")
	req.LogProbs, req.TopLogProbs = true, 2
	var told []llm.Delta
	out, err := model(answer{status: 200, body: body}).Complete(t.Context(), req, func(d llm.Delta) { told = append(told, d) })
	require.NoError(t, err)
	a := llm.TokenLogProb{Token: "a", LogProb: -1, Top: []llm.TokenLogProb{{Token: "a", LogProb: -1}, {Token: "b", LogProb: -2}}}
	b, c := llm.TokenLogProb{Token: "b", LogProb: -3}, llm.TokenLogProb{Token: "c", LogProb: -2}
	require.Equal(t, []llm.Delta{{Text: "é", LogProbs: []llm.TokenLogProb{a, b}}, {Text: "c", LogProbs: []llm.TokenLogProb{c}}}, told)
	require.Equal(t, []llm.TokenLogProb{a, b, c}, out.LogProbs)
	require.InDelta(t, 0.1353, *out.Confidence, 1e-4)
}

func FuzzStream(f *testing.F) {
	f.Add("data: {\"choices\":[{\"delta\":{\"content\":\"CANARYBODY\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	f.Add("data: {\"error\":{\"message\":\"CANARYBODY\"}}\n\n")
	f.Add(": comment\n\ndata:\ndata: {}\n\n")
	f.Add("data: [DONE]")
	f.Add("\n\r\n")
	f.Fuzz(func(t *testing.T, body string) {
		var told strings.Builder
		out, err := model(answer{status: 200, body: body}).Complete(t.Context(), ask("CANARYPROMPT"), func(d llm.Delta) { told.WriteString(d.Text) })
		requireSafe(t, err)
		if err == nil {
			require.Equal(t, out.Text, told.String())
		}
	})
}
