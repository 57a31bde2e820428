package api_test

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"teller/llm"
)

// FuzzChatBody holds that any bytes get an answer or an error in the one shape, and that what is refused
// reaches no model.
func FuzzChatBody(f *testing.F) {
	for _, body := range []string{
		``, `null`, `{}`, `[]`, `{"message":"hello"}`, `{"message":"\ud83c\udfe6"}`, `{"message":"\ud83c"}`, "{\"message\":\"\xff\"}",
		`{"message":"hello","conversation_id":"chat-1","context":"c","model":"qlora","max_tokens":5,"temperature":0.5}`,
		`{"message":"hello","max_tokens":1e2}`, `{"message":"hello","temperature":-0}`, `{"message":"a","message":"b"}`,
		`{"MESSAGE":"hello"}`, "\f{\"message\":\"hello\"}", `{"message":"hello"} `, `{"message":"hello"},`, `{"message":"` + strings.Repeat(" ", 300) + `"}`,
		strings.Repeat(`{"context":`, 300),
	} {
		f.Add([]byte(body))
	}
	server := start(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		got := server.chat(t, string(body)) // holds the reply against the description
		turns := server.turns.drain()
		if got.status == http.StatusOK {
			require.Len(t, turns, 1)
			said := turns[0].in.Messages
			message := said[len(said)-1].Text
			require.True(t, utf8.ValidString(message))
			require.NotEmpty(t, strings.TrimSpace(message))
			require.LessOrEqual(t, len(message), maxMessageBytes)
			return
		}
		require.Empty(t, turns)
		require.Less(t, got.status, 500)
		require.GreaterOrEqual(t, got.status, 400)
	})
}

// FuzzCompletionBody holds the same of OpenAI's route.
func FuzzCompletionBody(f *testing.F) {
	const user = `"messages":[{"role":"user","content":"hello"}]`
	for _, body := range []string{
		``, `null`, `{}`, `{"model":"auto"}`, `{"model":"auto",` + user + `}`, `{"model":"qlora",` + user + `,"stream":true,"stream_options":{"include_usage":true}}`,
		`{"model":"auto",` + user + `,"n":1,"tools":[],"logit_bias":{ },"modalities":[ "text" ],"frequency_penalty":0.0,"stop":["a"],"seed":9223372036854775807}`,
		`{"model":"auto",` + user + `,"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"object"},"strict":true}}}`,
		`{"model":"auto",` + user + `,"logprobs":true,"top_logprobs":2,"top_p":1e-9,"temperature":2,"max_tokens":5,"max_completion_tokens":5}`,
		`{"model":"auto","messages":[{"role":"system","content":"a"},{"role":"developer","content":[{"type":"text","text":"b"}]},{"role":"assistant","content":"c","refusal":null},{"role":"user","content":"d"}]}`,
		`{"model":"auto","messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, `{"model":"auto","messages":[null]}`, `{"model":"auto","messages":[{"role":"tool"}]}`,
		`{"model":"auto",` + user + `,"metadata":{"a":null},"stop":"\ud83c"}`, `{"model":"auto",` + user + `,"":1}`,
	} {
		f.Add([]byte(body))
	}
	server := start(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		got := server.completion(t, string(body)) // holds the reply against the description
		turns := server.turns.drain()
		if got.status == http.StatusOK {
			require.Len(t, turns, 1)
			said := turns[0].in.Messages
			require.Equal(t, llm.User, said[len(said)-1].Role)
			for i, m := range said {
				require.True(t, utf8.ValidString(m.Text))
				require.NotEmpty(t, m.Text)
				require.True(t, i == 0 || m.Role != llm.System)
			}
			return
		}
		require.Empty(t, turns)
		require.Less(t, got.status, 500)
		require.GreaterOrEqual(t, got.status, 400)
	})
}
