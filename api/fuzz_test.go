package api_test

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
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
