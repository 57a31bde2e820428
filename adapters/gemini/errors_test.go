package gemini

import (
	"errors"
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

var sdks = []string{config.SDKGenAI, config.SDKGenerativeAIGo}

// canned makes a model of the SDK whose server gives what current points to.
func canned(t testing.TB, sdk string, current *answer) *Model {
	m := newModel(config.Model{BaseURL: "http://canaryhost.invalid", APIKey: "CANARYKEY", Model: "gemini-2.5-flash", SDK: sdk},
		func(header http.Header) *http.Client {
			return upstream.NewClientFor(roundTrip(func(r *http.Request) (*http.Response, error) { return current.RoundTrip(r) }), header)
		})
	require.Nil(t, m.unusable)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func ask(text string) llm.Request {
	return llm.Request{Messages: []llm.Message{{Role: llm.User, Text: text}}}
}

// The errors that the API was seen to send.
func TestErrorBodies(t *testing.T) {
	for _, c := range []struct {
		name       string
		status     int
		body       string
		code       llm.Code
		retryAfter time.Duration
	}{
		{"wrong key", 400, `{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}`, llm.Unauthenticated, 0},
		{"blocked key", 403, `{"error":{"code":403,"status":"PERMISSION_DENIED","details":[{"reason":"API_KEY_SERVICE_BLOCKED"}]}}`, llm.Unauthenticated, 0},
		{"no key", 401, `{"error":{"code":401,"status":"UNAUTHENTICATED"}}`, llm.Unauthenticated, 0},
		{"location", 400, `{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}`, llm.Unauthenticated, 0},
		{"context", 400, `{"error":{"code":400,"message":"The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).","status":"INVALID_ARGUMENT"}}`, llm.ContextTooLong, 0},
		{"invalid", 400, `{"error":{"code":400,"message":"* GenerateContentRequest.generation_config.temperature: out of range","status":"INVALID_ARGUMENT"}}`, llm.InvalidRequest, 0},
		{"quota with RetryInfo", 429, `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.074824224s"}]}}`, llm.RateLimited, 34074824224},
		{"endless RetryInfo", 429, `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"999999999h"},{"retryDelay":"315576000s"}]}}`, llm.RateLimited, 24 * time.Hour},
		{"odd RetryInfo", 429, `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"-3s"}]}}`, llm.RateLimited, 0},
		{"details of a wrong type", 429, `{"error":{"code":"x","status":"RESOURCE_EXHAUSTED","details":"no"}}`, llm.RateLimited, 0},
		{"overloaded", 503, `{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}`, llm.Unavailable, 0},
		{"internal", 500, `{"error":{"code":500,"status":"INTERNAL"}}`, llm.Unavailable, 0},
		{"deadline", 504, `{"error":{"code":504,"status":"DEADLINE_EXCEEDED"}}`, llm.Timeout, 0},
		{"canceled there", 499, `{"error":{"code":499,"status":"CANCELLED"}}`, llm.Unavailable, 0},
		{"retired model", 404, `{"error":{"code":404,"status":"NOT_FOUND"}}`, llm.NotFound, 0},
		{"error of a stream", 503, `[{"error":{"code":503,"status":"UNAVAILABLE"}}]`, llm.Unavailable, 0},
		{"no status word", 400, `{"error":{"message":"the input token count exceeds the limit"}}`, llm.ContextTooLong, 0},
		{"unknown status word", 418, `{"error":{"status":"TEAPOT"}}`, llm.InvalidRequest, 0},
		{"error as a string", 502, `{"error":"CANARY"}`, llm.Unavailable, 0},
	} {
		for _, sdk := range sdks {
			t.Run(c.name+"/"+sdk, func(t *testing.T) {
				_, err := canned(t, sdk, &answer{status: c.status, body: c.body}).Complete(t.Context(), ask("hello"), nil)
				var e *llm.Error
				require.True(t, errors.As(err, &e))
				require.Equal(t, c.code, e.Code, "%v", err)
				require.Equal(t, c.retryAfter, e.RetryAfter)
			})
		}
	}
}

// wrap gives a message in the form that the SDK's call answers with.
func wrap(sdk string, messages ...string) string {
	if sdk == config.SDKGenAI {
		return messages[0]
	}
	return "[" + strings.Join(messages, ",\n") + "]"
}

func TestFinishReasons(t *testing.T) {
	const text = `"content":{"role":"model","parts":[{"text":"hi"}]},`
	for _, c := range []struct {
		candidate string
		finish    llm.FinishReason
		code      llm.Code
	}{
		{text + `"finishReason":"STOP"`, llm.FinishStop, ""},
		{text + `"finishReason":1`, llm.FinishStop, ""},
		{text + `"finishReason":"MAX_TOKENS"`, llm.FinishLength, ""},
		{text + `"finishReason":2`, llm.FinishLength, ""},
		{text + `"finishReason":"SAFETY"`, llm.FinishContentFilter, ""},
		{text + `"finishReason":"RECITATION"`, llm.FinishContentFilter, ""},
		{text + `"finishReason":"BLOCKLIST"`, llm.FinishContentFilter, ""},
		{text + `"finishReason":"PROHIBITED_CONTENT"`, llm.FinishContentFilter, ""},
		{text + `"finishReason":"SPII"`, llm.FinishContentFilter, ""},
		{text + `"finishReason":"OF_NEXT_YEAR"`, llm.FinishStop, ""},
		{text + `"index":0`, "", llm.BadReply}, // it breaks off
		{`"finishReason":"STOP"`, "", llm.EmptyReply},
		{`"finishReason":"MAX_TOKENS"`, "", llm.EmptyReply},
		{`"finishReason":"SAFETY"`, "", llm.Refused},
		{`"finishReason":"RECITATION"`, "", llm.Refused},
		{`"finishReason":"BLOCKLIST"`, "", llm.Refused},
		{`"finishReason":"PROHIBITED_CONTENT"`, "", llm.Refused},
		{`"finishReason":"SPII"`, "", llm.Refused},
		{`"content":{"role":"model"},"finishReason":"OTHER"`, "", llm.EmptyReply},
	} {
		for _, sdk := range sdks {
			if strings.HasSuffix(c.candidate, `":1`) || strings.HasSuffix(c.candidate, `":2`) {
				if sdk == config.SDKGenAI {
					continue // it asks for names
				}
			}
			t.Run(sdk+"/"+c.candidate, func(t *testing.T) {
				out, err := canned(t, sdk, &answer{status: 200, body: wrap(sdk, `{"candidates":[{`+c.candidate+`}]}`)}).Complete(t.Context(), ask("hello"), nil)
				if c.code != "" {
					require.Equal(t, c.code, llm.CodeOf(err), "%v", err)
					return
				}
				require.NoError(t, err)
				require.Equal(t, "hi", out.Text)
				require.Equal(t, c.finish, out.FinishReason)
			})
		}
	}
}

// A reply with thinking: its tokens are counted, its text is not shown, and the version that answered is named.
func TestThinkingReply(t *testing.T) {
	body := `{"candidates":[{"content":{"role":"model","parts":[{"text":"CANARY","thought":true},{"text":"hi"}]},"finishReason":"STOP","avgLogprobs":-0.5}],
		"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":3,"thoughtsTokenCount":40,"totalTokenCount":50},"modelVersion":"gemini-2.5-flash-001"}`
	out, err := canned(t, config.SDKGenAI, &answer{status: 200, body: body}).Complete(t.Context(), ask("hello"), nil)
	require.NoError(t, err)
	require.Equal(t, "hi", out.Text)
	require.Equal(t, llm.Usage{PromptTokens: 7, CompletionTokens: 43}, out.Usage)
	require.Equal(t, "gemini-2.5-flash-001", out.Served)
	require.InDelta(t, 0.6065, *out.Confidence, 1e-4)

	stream := wrap(config.SDKGenerativeAIGo,
		`{"candidates":[{"content":{"role":"model","parts":[{"text":"h"}]}}],"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":1},"modelVersion":"gemini-2.5-flash-001"}`,
		`{"candidates":[{"content":{"role":"model","parts":[{"text":"i"}]},"finishReason":1,"avgLogprobs":-0.5}],"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":3,"thoughtsTokenCount":40},"modelVersion":"gemini-2.5-flash-001"}`)
	again, err := canned(t, config.SDKGenerativeAIGo, &answer{status: 200, body: stream}).Complete(t.Context(), ask("hello"), nil)
	require.NoError(t, err)
	require.Equal(t, out, again, "both SDKs read the same reply alike")
}

// A stream can break down after it began.
func TestErrorInsideStream(t *testing.T) {
	const first = `{"candidates":[{"content":{"role":"model","parts":[{"text":"Your balance is"}]}}]}`
	for name, c := range map[string]struct {
		body string
		code llm.Code
	}{
		"error":          {wrap(config.SDKGenerativeAIGo, first, `{"error":{"code":503,"status":"UNAVAILABLE"}}`), llm.Unavailable},
		"breaks off":     {"[" + first, llm.BadReply},
		"no end":         {"[" + first + "]", llm.BadReply},
		"not an array":   {first, llm.BadReply},
		"unknown part":   {`[{"candidates":[{"content":{"parts":[{"functionResponse":{"name":"x"}}]}}]}]`, llm.BadReply},
		"blocked prompt": {`[{"promptFeedback":{"blockReason":1}}]`, llm.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := canned(t, config.SDKGenerativeAIGo, &answer{status: 200, body: c.body}).Complete(t.Context(), ask("hello"), nil)
			require.Equal(t, c.code, llm.CodeOf(err), "%v", err)
		})
	}
}

// The key goes out in a header and nowhere else.
func TestKeyStaysOutOfTheURL(t *testing.T) {
	for _, sdk := range sdks {
		var requests []*http.Request
		m := newModel(config.Model{APIKey: "CANARYKEY", Model: "models/gemini-2.5-flash", SDK: sdk},
			func(header http.Header) *http.Client {
				return upstream.NewClientFor(roundTrip(func(r *http.Request) (*http.Response, error) {
					requests = append(requests, r)
					return answer{status: 500}.RoundTrip(r)
				}), header)
			})
		_, err := m.Complete(t.Context(), ask("hello"), nil)
		require.Equal(t, llm.Unavailable, llm.CodeOf(err))
		_, err = m.Check(t.Context())
		require.Equal(t, llm.Unavailable, llm.CodeOf(err))
		require.NoError(t, m.Close())
		require.Len(t, requests, 2)
		for _, r := range requests {
			require.Equal(t, "generativelanguage.googleapis.com", r.URL.Host)
			require.NotContains(t, r.URL.String(), "CANARYKEY")
			require.Equal(t, []string{"CANARYKEY"}, r.Header.Values("x-goog-api-key"))
			require.Contains(t, r.URL.Path, "/v1beta/models/gemini-2.5-flash")
		}
	}
}

// Whatever the server sends, a call ends with a completion or an *llm.Error that repeats nothing of it.
func FuzzComplete(f *testing.F) {
	for _, status := range []int{200, 204, 301, 400, 401, 404, 408, 429, 500, 503, 999} {
		f.Add(status, `{"error":{"code":400,"message":"CANARYBODY","status":"INVALID_ARGUMENT","details":[{"reason":"CANARYBODY 1","retryDelay":"1e9s"}]}}`)
		f.Add(status, `[{"error":{"code":429,"message":"CANARYBODY","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3s"}]}}]`)
		f.Add(status, `[{"candidates":[{"content":{"role":"model","parts":[{"text":"CANARYBODY"}]},"finishReason":1,"avgLogprobs":-1}],"usageMetadata":{"promptTokenCount":1},"modelVersion":"v"}]`)
		f.Add(status, `{"candidates":[{"content":{"role":"model","parts":[{"text":"CANARYBODY"}]},"finishReason":"MAX_TOKENS"}],"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"thoughtsTokenCount":1}}`)
		f.Add(status, `{"name":"models/gemini-2.5-flash","version":"001"}`)
		f.Add(status, "<html>CANARYBODY")
		f.Add(status, "")
	}
	var current answer
	models := []*Model{canned(f, sdks[0], &current), canned(f, sdks[1], &current)}
	f.Fuzz(func(t *testing.T, status int, body string) {
		current = answer{status: status, body: body}
		for _, m := range models {
			_, err := m.Complete(t.Context(), ask("CANARYPROMPT"), nil)
			requireSafe(t, err)
			_, err = m.Check(t.Context())
			requireSafe(t, err)
		}
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
	require.NotContains(t, e.Message, "CANARY")
	for _, canary := range []string{"CANARYKEY", "CANARYPROMPT", "canaryhost"} {
		require.NotContains(t, err.Error(), canary)
	}
}
