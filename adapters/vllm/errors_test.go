package vllm

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/adapters/internal/upstream"
	"teller/config"
	"teller/llm"
)

// answer is a server that gives one response, without a network.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.status, Status: http.StatusText(a.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: io.NopCloser(strings.NewReader(a.body)), ContentLength: int64(len(a.body)),
	}, nil
}

func model(a answer) *Model {
	return newModel(config.Model{BaseURL: "http://canaryhost.invalid/v1", APIKey: "CANARYKEY", Model: "banking"},
		upstream.NewClientFor(a, nil))
}

// The errors that servers of this protocol were seen to send.
func TestErrorBodies(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		code   llm.Code
	}{
		{"OpenAI context", 400, `{"error":{"message":"This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`, llm.ContextTooLong},
		{"context code alone", 400, `{"error":{"message":"no","code":"context_length_exceeded"}}`, llm.ContextTooLong},
		{"vLLM max_tokens", 400, `{"error":{"message":"'max_tokens' or 'max_completion_tokens' is too large: 8000. This model's maximum context length is 4096 tokens and your request has 2778 input tokens (8000 > 4096 - 2778). None","type":"BadRequestError","param":null,"code":400}}`, llm.ContextTooLong},
		{"vLLM decoder prompt", 400, `{"object":"error","message":"The decoder prompt (length 8357) is longer than the maximum model length of 8192.","type":"BadRequestError","param":null,"code":400}`, llm.ContextTooLong},
		{"vLLM old object", 404, `{"object":"error","message":"The model x does not exist.","type":"NotFoundError","param":null,"code":404}`, llm.NotFound},
		{"vLLM new wording", 400, `{"error":{"message":"You passed 5001 input tokens and requested 10 output tokens. However, the model's context length is only 4096 tokens.","type":"BadRequestError","code":400}}`, llm.ContextTooLong},
		{"llama.cpp", 400, `{"error":{"code":400,"message":"request (13392 tokens) exceeds the available context size (8192 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":13392,"n_ctx":8192}}`, llm.ContextTooLong},
		{"as a server error", 500, `{"error":{"message":"The decoder prompt (length 9) is longer than the maximum model length of 8.","type":"InternalServerError","code":500}}`, llm.ContextTooLong},
		{"words of a rate limit", 429, `{"error":{"message":"maximum context length","code":"rate_limit_exceeded"}}`, llm.RateLimited},
		{"quota", 403, `{"error":{"message":"no","type":"insufficient_quota","code":"insufficient_quota"}}`, llm.RateLimited},
		{"payment required", 402, `{"error":{"message":"Insufficient Balance"}}`, llm.RateLimited},
		{"model as 400", 400, `{"error":{"message":"no","code":"model_not_found"}}`, llm.NotFound},
		{"key as 400", 400, `{"error":{"message":"no","code":"invalid_api_key"}}`, llm.Unauthenticated},
		{"content filter", 400, `{"error":{"message":"filtered","code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}`, llm.Refused},
		{"FastAPI validation", 422, `{"detail":[{"loc":["body","temperature"],"msg":"no"}]}`, llm.InvalidRequest},
		{"FastAPI not found", 404, `{"detail":"Not Found"}`, llm.NotFound},
		{"error as a string", 400, `{"error":"bad"}`, llm.InvalidRequest},
		{"error as a list", 500, `{"error":[1,2]}`, llm.Unavailable},
		{"too large for a proxy", 413, `<html>`, llm.ContextTooLong},
		{"request timeout", 408, ``, llm.Timeout},
		{"gateway of status 200", 200, `{"error":{"message":"upstream","code":429}}`, llm.RateLimited},
		{"gateway of status 200, no code", 200, `{"error":{"message":"upstream"}}`, llm.Unavailable},
		{"gateway of status 200, context", 200, `{"error":{"message":"maximum context length is 4096 tokens","code":400}}`, llm.ContextTooLong},
		{"no content", 204, ``, llm.BadReply},
		{"refusal", 200, `{"choices":[{"message":{"role":"assistant","content":null,"refusal":"I cannot."},"finish_reason":"stop"}]}`, llm.Refused},
		{"tool call", 200, `{"choices":[{"message":{"role":"assistant","content":null,"tool_calls":[]},"finish_reason":"tool_calls"}]}`, llm.EmptyReply},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := model(answer{status: c.status, body: c.body}).Complete(t.Context(), ask("hello"), nil)
			require.Equal(t, c.code, llm.CodeOf(err), "%v", err)
		})
	}
}

func TestFinishReasons(t *testing.T) {
	for wire, want := range map[string]llm.FinishReason{
		`"stop"`: llm.FinishStop, `"length"`: llm.FinishLength, `"content_filter"`: llm.FinishContentFilter,
		`"tool_calls"`: llm.FinishStop, `"eos"`: llm.FinishStop, `null`: llm.FinishStop,
	} {
		body := `{"model":"m","choices":[{"message":{"role":"assistant","content":"hi"},"finish_reason":` + wire + `}]}`
		out, err := model(answer{status: 200, body: body}).Complete(t.Context(), ask("hello"), nil)
		require.NoError(t, err)
		require.Equal(t, want, out.FinishReason, wire)
	}
}

func TestConfidence(t *testing.T) {
	for name, c := range map[string]struct {
		logProbs string
		want     float64 // 0: none
	}{
		"mean":                  {`{"content":[{"token":"a","logprob":-1},{"token":"b","logprob":-3}]}`, 0.1353352832366127},
		"certain":               {`{"content":[{"token":"a","logprob":0}]}`, 1},
		"rounded over 1":        {`{"content":[{"token":"a","logprob":1e-7}]}`, 1},
		"vLLM's minus infinity": {`{"content":[{"token":"a","logprob":-9999}]}`, 5e-324},
		"not a probability":     {`{"content":[{"token":"a","logprob":4}]}`, 0},
		"no token":              {`{"content":[]}`, 0},
		"null":                  {`null`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			body := `{"model":"m","choices":[{"message":{"role":"assistant","content":"hi"},"finish_reason":"stop","logprobs":` + c.logProbs + `}]}`
			out, err := model(answer{status: 200, body: body}).Complete(t.Context(), ask("hello"), nil)
			require.NoError(t, err)
			if c.want == 0 {
				require.Nil(t, out.Confidence)
				require.NotEmpty(t, out.NoConfidence)
				return
			}
			require.NotNil(t, out.Confidence)
			require.InEpsilon(t, c.want, *out.Confidence, 1e-9)
		})
	}
}

func ask(text string) llm.Request {
	return llm.Request{Messages: []llm.Message{{Role: llm.User, Text: text}}}
}

// Whatever a server sends, a call ends with a completion or an *llm.Error that repeats nothing of it.
func FuzzComplete(f *testing.F) {
	for _, status := range []int{200, 204, 301, 400, 401, 404, 408, 413, 429, 500, 503, 529, 999} {
		f.Add(status, `{"error":{"message":"CANARYBODY","type":"CANARYBODY","code":"CANARYBODY 1","param":null}}`, "7")
		f.Add(status, `{"object":"error","message":"maximum context length CANARYBODY","code":400}`, "Wed, 21 Oct 2065 07:28:00 GMT")
		f.Add(status, `{"model":"CANARYBODY","choices":[{"message":{"role":"assistant","content":"CANARYBODY"},"finish_reason":"length","logprobs":{"content":[{"logprob":-1}]}}],"usage":{"prompt_tokens":1}}`, "-1e300")
		f.Add(status, `{"data":[{"id":"banking"}]}`, "NaN")
		f.Add(status, "<html>CANARYBODY", "")
		f.Add(status, "", "\x00")
	}
	f.Fuzz(func(t *testing.T, status int, body, retryAfter string) {
		m := model(answer{status: status, body: body, header: http.Header{"Retry-After": {retryAfter}}})
		_, err := m.Complete(t.Context(), ask("CANARYPROMPT"), nil)
		requireSafe(t, err)
		_, err = m.Check(t.Context())
		requireSafe(t, err)
	})
}

func requireSafe(t *testing.T, err error) {
	if err == nil {
		return
	}
	var e *llm.Error
	require.True(t, errors.As(err, &e), "%T", err)
	require.NotEmpty(t, e.Code)
	require.GreaterOrEqual(t, e.RetryAfter, time.Duration(0))
	for _, canary := range []string{"CANARYKEY", "CANARYPROMPT", "canaryhost"} {
		require.NotContains(t, fmt.Sprint(e.Message, "|", err), canary)
	}
	require.NotContains(t, e.Message, "CANARY")
}
