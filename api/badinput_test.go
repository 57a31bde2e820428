package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestABadBodyIsRefused holds that a caller learns what is wrong and where, and that no model is asked.
func TestABadBodyIsRefused(t *testing.T) {
	const noParam = ""
	deep := func(open, shut string) string {
		return strings.Repeat(open, 100_000) + "1" + strings.Repeat(shut, 100_000)
	}
	for _, c := range []struct {
		name, body string
		param      string
		says       string // what the message must hold
	}{
		{"empty", "", noParam, "the body is empty: send a JSON object"},
		{"white space", " \r\n\t", noParam, "the body is empty: send a JSON object"},
		{"white space that is none of JSON's", "\f\u00a0", noParam, "must be a JSON object"},
		{"null", "null", noParam, "must be a JSON object"},
		{"array", `[{"message":"hello"}]`, noParam, "must be a JSON object"},
		{"string", `"hello"`, noParam, "must be a JSON object"},
		{"number", `5`, noParam, "must be a JSON object"},
		{"form", `message=hello`, noParam, "must be a JSON object"},
		{"truncated in a string", `{"message":"hel`, noParam, "ends too early"},
		{"truncated after a member", `{"message":"hello",`, noParam, "ends too early"},
		{"truncated at the start", `{`, noParam, "ends too early"},
		{"not JSON", `{message:"hello"}`, noParam, "not JSON: invalid character 'm'"},
		{"comment", `{"message":"hello"} // so`, noParam, "one JSON object and nothing after it"},
		{"two objects", `{"message":"hello"}{"message":"again"}`, noParam, "one JSON object and nothing after it"},
		{"two objects on two lines", "{\"message\":\"hello\"}\n{\"message\":\"again\"}", noParam, "one JSON object and nothing after it"},
		{"nested arrays", deep("[", "]"), noParam, "must be a JSON object"},
		{"nested arrays in a member", `{"message":` + deep("[", "]") + `}`, noParam, "exceeded max depth"},
		{"nested objects", deep(`{"message":`, "}"), noParam, "exceeded max depth"},
		{"nested and unclosed", strings.Repeat(`{"message":`, 100_000), noParam, "exceeded max depth"},
		{"invalid UTF-8", "{\"message\":\"caf\xe9\"}", noParam, "not valid UTF-8"},
		{"UTF-16", "\xff\xfe{\x00}\x00", noParam, "not valid UTF-8"},
		{"first half of a character", `{"message":"\ud83d"}`, noParam, "half of a surrogate pair"},
		{"second half of a character", `{"message":"so \\\uDE00"}`, noParam, "half of a surrogate pair"},
		{"halves in the wrong order", `{"message":"\ude00\ud83d"}`, noParam, "half of a surrogate pair"},

		{"unknown field", `{"message":"hello","tools":[]}`, "tools", `there is no field "tools"`},
		{"stream is a word", `{"message":"hello","stream":"yes"}`, "stream", "stream must be true or false"},
		{"unknown field with odd characters", `{"message":"hello","a\"b\n":1}`, "a\"b\n", `there is no field "a\"b\n"`},
		{"unknown field with a long name", `{"message":"hello","` + strings.Repeat("x", 200_000) + `":1}`, strings.Repeat("x", 40) + "...", "there is no field"},
		{"field in capitals", `{"MESSAGE":"hello"}`, "MESSAGE", `there is no field "MESSAGE"`},
		{"field without a name", `{"message":"hello","":1}`, noParam, `there is no field ""`},
		{"field twice", `{"message":"hello","max_tokens":5,"message":"again"}`, "message", "message stands there twice"},

		{"no message", `{}`, "message", "message is required"},
		{"message null", `{"message":null}`, "message", "message is required"},
		{"message empty", `{"message":""}`, "message", "more than white space"},
		{"message of white space", `{"message":" \n\t\u00a0\u2003"}`, "message", "more than white space"},
		{"message with an escaped NUL", `{"message":"a\u0000b"}`, "message", "must not hold a NUL"},
		{"message with a raw NUL", "{\"message\":\"a\x00b\"}", noParam, "not JSON"},
		{"message of 1 MB", `{"message":"` + strings.Repeat("a", 1<<20) + `"}`, "message", "1048576 bytes long and must be at most 32768"},
		{"message a byte too long", `{"message":"` + strings.Repeat("a", maxMessageBytes+1) + `"}`, "message", "must be at most 32768"},
		{"message a number", `{"message":5}`, "message", "message must be a string, not number"},
		{"message an object", `{"message":{"text":"hello"}}`, "message", "message must be a string, not object"},

		{"context with a NUL", `{"message":"hello","context":"\u0000"}`, "context", "must not hold a NUL"},
		{"context too long", `{"message":"hello","context":"` + strings.Repeat("a", maxMessageBytes+1) + `"}`, "context", "must be at most 32768"},
		{"context a list", `{"message":"hello","context":["balance"]}`, "context", "context must be a string, not array"},

		{"max_tokens 0", `{"message":"hello","max_tokens":0}`, "max_tokens", "from 1 to 32768"},
		{"max_tokens -1", `{"message":"hello","max_tokens":-1}`, "max_tokens", "from 1 to 32768"},
		{"max_tokens 32769", `{"message":"hello","max_tokens":32769}`, "max_tokens", "from 1 to 32768"},
		{"max_tokens 2^63", `{"message":"hello","max_tokens":9223372036854775808}`, "max_tokens", "must be a whole number, not number 9223372036854775808"},
		{"max_tokens with 100,000 digits", `{"message":"hello","max_tokens":` + strings.Repeat("9", 100_000) + `}`, "max_tokens", "must be a whole number"},
		{"max_tokens 1.5", `{"message":"hello","max_tokens":1.5}`, "max_tokens", "must be a whole number, not number 1.5"},
		{"max_tokens a string", `{"message":"hello","max_tokens":"5"}`, "max_tokens", "must be a whole number, not string"},

		{"temperature NaN", `{"message":"hello","temperature":NaN}`, noParam, "not JSON: invalid character 'N'"},
		{"temperature Infinity", `{"message":"hello","temperature":Infinity}`, noParam, "not JSON: invalid character 'I'"},
		{"temperature -1", `{"message":"hello","temperature":-1}`, "temperature", "from 0 to 2"},
		{"temperature 2.1", `{"message":"hello","temperature":2.1}`, "temperature", "from 0 to 2"},
		{"temperature 1e309", `{"message":"hello","temperature":1e309}`, "temperature", "must be a finite number, not number 1e309"},
		{"temperature a string", `{"message":"hello","temperature":"0"}`, "temperature", "must be a finite number, not string"},

		{"model a number", `{"message":"hello","model":4}`, "model", "model must be a string, not number"},

		{"conversation_id empty", `{"message":"hello","conversation_id":""}`, "conversation_id", "1 to 128 letters"},
		{"conversation_id with ../", `{"message":"hello","conversation_id":"../../etc/passwd"}`, "conversation_id", "1 to 128 letters"},
		{"conversation_id with an escaped ../", `{"message":"hello","conversation_id":"%2e%2e%2fetc"}`, "conversation_id", "1 to 128 letters"},
		{"conversation_id of two points", `{"message":"hello","conversation_id":".."}`, "conversation_id", "begin with a letter or digit"},
		{"conversation_id with a slash", `{"message":"hello","conversation_id":"a/b"}`, "conversation_id", "1 to 128 letters"},
		{"conversation_id with a space", `{"message":"hello","conversation_id":"my chat"}`, "conversation_id", "1 to 128 letters"},
		{"conversation_id with a line end", `{"message":"hello","conversation_id":"chat\n"}`, "conversation_id", "1 to 128 letters"},
		{"conversation_id with a quote", `{"message":"hello","conversation_id":"a' OR '1'='1"}`, "conversation_id", "1 to 128 letters"},
		{"conversation_id of 129 characters", `{"message":"hello","conversation_id":"` + strings.Repeat("a", 129) + `"}`, "conversation_id", "1 to 128 letters"},
		{"conversation_id a number", `{"message":"hello","conversation_id":7}`, "conversation_id", "conversation_id must be a string, not number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t)
			e := f.chat(t, c.body).requireError(t, http.StatusBadRequest, "invalid_request")
			require.Equal(t, "invalid_request_error", e.Type)
			if c.param == noParam {
				require.Nil(t, e.Param)
			} else {
				require.Equal(t, c.param, e.Param)
			}
			require.Contains(t, e.Message, c.says)
			require.Empty(t, f.turns.submitted())
		})
	}
}

func TestABodyOf10MBIsRefused(t *testing.T) {
	f := start(t)
	e := f.chat(t, `{"message":"`+strings.Repeat("a", 10<<20)+`"}`).requireError(t, http.StatusRequestEntityTooLarge, "body_too_large")
	require.Equal(t, "invalid_request_error", e.Type)
	require.Nil(t, e.Param)
	require.Contains(t, e.Message, "over 4194304 bytes: send a shorter one")
	require.Empty(t, f.turns.submitted())
}

func TestAnotherContentTypeIsRefused(t *testing.T) {
	const body = `{"message":"hello"}`
	for _, c := range []struct{ name, contentType string }{
		{"none", ""},
		{"form", "application/x-www-form-urlencoded"},
		{"text", "text/plain; charset=utf-8"},
		{"almost", "application/json-seq"},
		{"garbage", ";;/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t)
			var headers []string
			if c.contentType != "" {
				headers = []string{"Content-Type", c.contentType}
			}
			e := f.do(t, http.MethodPost, "/api/v1/chat", body, headers...).requireError(t, http.StatusUnsupportedMediaType, "unsupported_media_type")
			require.Equal(t, "invalid_request_error", e.Type)
			require.Nil(t, e.Param)
			require.Contains(t, e.Message, "Content-Type: application/json")
			require.Empty(t, f.turns.submitted())
		})
	}
	t.Run("a charset is fine", func(t *testing.T) {
		f := start(t)
		require.Equal(t, http.StatusOK, f.do(t, http.MethodPost, "/api/v1/chat", body, "Content-Type", "Application/JSON; charset=utf-8").status)
	})
}

func TestABadHeaderIsRefused(t *testing.T) {
	for _, c := range []struct {
		name, header string
		values       []string
		says         string
	}{
		{"key too long", "Idempotency-Key", []string{strings.Repeat("k", 256)}, "1 to 255 printable ASCII"},
		{"key not ASCII", "Idempotency-Key", []string{"schlüssel"}, "1 to 255 printable ASCII"},
		{"key not UTF-8", "Idempotency-Key", []string{"k\xff"}, "1 to 255 printable ASCII"},
		{"key with a tab", "Idempotency-Key", []string{"a\tb"}, "1 to 255 printable ASCII"},
		{"key empty", "Idempotency-Key", []string{""}, "1 to 255 printable ASCII"},
		{"two keys", "Idempotency-Key", []string{"a", "b"}, "one key"},
		{"timeout garbage", "X-Request-Timeout", []string{"soon"}, "between 1s and 10m"},
		{"timeout 0", "X-Request-Timeout", []string{"0"}, "between 1s and 10m"},
		{"timeout 0s", "X-Request-Timeout", []string{"0s"}, "between 1s and 10m"},
		{"timeout negative", "X-Request-Timeout", []string{"-5s"}, "between 1s and 10m"},
		{"timeout a second too short", "X-Request-Timeout", []string{"999ms"}, "between 1s and 10m"},
		{"timeout 1h", "X-Request-Timeout", []string{"1h"}, "between 1s and 10m"},
		{"timeout 601 s", "X-Request-Timeout", []string{"601"}, "between 1s and 10m"},
		{"timeout NaN", "X-Request-Timeout", []string{"NaN"}, "between 1s and 10m"},
		{"timeout infinite", "X-Request-Timeout", []string{"Inf"}, "between 1s and 10m"},
		{"timeout huge", "X-Request-Timeout", []string{"1e300"}, "between 1s and 10m"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t)
			var headers []string
			for _, value := range c.values {
				headers = append(headers, c.header, value)
			}
			e := f.chat(t, `{"message":"hello"}`, headers...).requireError(t, http.StatusBadRequest, "invalid_request")
			require.Equal(t, "invalid_request_error", e.Type)
			require.Equal(t, c.header, e.Param)
			require.Contains(t, e.Message, c.says)
			require.Empty(t, f.turns.submitted())
		})
	}
}

func TestAnUnknownModelIsRefused(t *testing.T) {
	for _, name := range []string{"gpt-5", "", "CUSTOM", "custom ", "../custom"} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			e := f.chat(t, `{"message":"hello","model":"`+name+`"}`).requireError(t, http.StatusNotFound, "model_not_found")
			require.Equal(t, "invalid_request_error", e.Type)
			require.Equal(t, "model", e.Param)
			require.Contains(t, e.Message, "GET /models lists them")
			require.Empty(t, f.turns.submitted())
		})
	}
}

func TestABadConversationIDInAPathIsRefused(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		for _, id := range []string{"..", ".", "%2e%2e", "my%20chat", "%00", "%ff", "a%0a", "a'", strings.Repeat("a", 129)} {
			t.Run(method+" "+id, func(t *testing.T) {
				f := start(t) // its transcript and erase would panic
				e := f.do(t, method, "/api/v1/conversations/"+id, "").requireError(t, http.StatusBadRequest, "invalid_request")
				require.Equal(t, "conversation_id", e.Param)
				require.Contains(t, e.Message, "1 to 128 letters")
			})
		}
		// With a slash in it, it is another path.
		for _, id := range []string{"", "../x", "%2e%2e%2fx", "a/b", "a%2Fb"} {
			t.Run(method+" path "+id, func(t *testing.T) {
				f := start(t)
				e := f.do(t, method, "/api/v1/conversations/"+id, "").requireError(t, http.StatusNotFound, "not_found")
				require.Nil(t, e.Param)
			})
		}
	}
}

func TestUnknownRoutesAndMethods(t *testing.T) {
	f := start(t)
	for _, path := range []string{"/", "/api/v1", "/api/v1/chat/", "/api/v2/chat", "/models/", "/model/switch/", "/favicon.ico", "//models"} {
		t.Run("GET "+path, func(t *testing.T) {
			e := f.get(t, path).requireError(t, http.StatusNotFound, "not_found")
			require.Equal(t, "invalid_request_error", e.Type)
			require.Nil(t, e.Param)
			require.Contains(t, e.Message, "GET /openapi.yaml")
		})
	}
	for _, c := range []struct{ method, path, allow string }{
		{"GET", "/api/v1/chat", "POST"},
		{"PUT", "/api/v1/chat", "POST"},
		{"POST", "/api/v1/conversations/chat-1", "GET, DELETE"},
		{"POST", "/models", "GET"},
		{"GET", "/model/switch/custom", "POST"},
		{"DELETE", "/livez", "GET"},
		{"BREW", "/readyz", "GET"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			got := f.do(t, c.method, c.path, "")
			e := got.requireError(t, http.StatusMethodNotAllowed, "method_not_allowed")
			require.Equal(t, "invalid_request_error", e.Type)
			require.Nil(t, e.Param)
			require.Equal(t, c.allow, got.header.Get("Allow"))
			require.Contains(t, e.Message, "takes only "+c.allow)
		})
	}
}

func TestABadSwitchIsRefused(t *testing.T) {
	for _, c := range []struct{ name, path, param, says string }{
		{"percent 0", "/model/switch/qlora?percent=0", "percent", "from 1 to 100"},
		{"percent 101", "/model/switch/qlora?percent=101", "percent", "from 1 to 100"},
		{"percent -5", "/model/switch/qlora?percent=-5", "percent", "from 1 to 100"},
		{"percent 2.5", "/model/switch/qlora?percent=2.5", "percent", "whole number"},
		{"percent empty", "/model/switch/qlora?percent=", "percent", "whole number"},
		{"percent huge", "/model/switch/qlora?percent=9223372036854775808", "percent", "whole number"},
		{"force maybe", "/model/switch/qlora?force=maybe", "force", "true or false"},
		{"force empty", "/model/switch/qlora?force=", "force", "true or false"},
		{"reason with a NUL", "/model/switch/qlora?reason=a%00b", "reason", "must not hold a NUL"},
		{"reason not UTF-8", "/model/switch/qlora?reason=caf%e9", "reason", "must be valid UTF-8"},
		{"reason too long", "/model/switch/qlora?reason=" + strings.Repeat("a", 1001), "reason", "must be at most 1000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t)
			e := f.do(t, http.MethodPost, c.path, "").requireError(t, http.StatusBadRequest, "invalid_request")
			require.Equal(t, c.param, e.Param)
			require.Contains(t, e.Message, c.says)
			require.Empty(t, f.routes.changed())
			require.Empty(t, f.turns.checked())
		})
	}
}
