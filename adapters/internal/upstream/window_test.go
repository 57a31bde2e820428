package upstream

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/llm"
)

func TestFit(t *testing.T) {
	message := func(role llm.Role, n int) llm.Message { return llm.Message{Role: role, Text: strings.Repeat("abc", n)} }
	system, last := message(llm.System, 92), message(llm.User, 42) // 100 and 50 tokens, with their frames
	u, a := message(llm.User, 92), message(llm.Assistant, 92)      // 100 each
	dialogue := []llm.Message{system, u, a, u, a, last}
	for _, c := range []struct {
		name     string
		messages []llm.Message
		window   int
		bound    int
		kept     []int // of messages
	}{
		{"an unknown window", dialogue, 0, 0, []int{0, 1, 2, 3, 4, 5}},
		{"room for all", dialogue, 734, 0, []int{0, 1, 2, 3, 4, 5}},
		{"a token too few", dialogue, 730, 0, []int{0, 3, 4, 5}},
		{"a short reply leaves more room", dialogue, 560, 10, []int{0, 1, 2, 3, 4, 5}},
		{"a long one takes a quarter", dialogue, 560, 30_000, []int{0, 3, 4, 5}},
		{"no reply without its question", dialogue, 350, 1, []int{0, 5}},
		{"the question stays, whatever it is estimated at", dialogue, 256, 0, []int{0, 5}},
		{"and alone", []llm.Message{last}, 1, 0, []int{0}},
		{"without a system message", dialogue[1:], 400, 1, []int{2, 3, 4}},
		{"a dialogue that the assistant begins", []llm.Message{a, last}, 300, 0, []int{0, 1}},
		{"and that is too long", []llm.Message{a, a, last}, 250, 1, []int{2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var want []llm.Message
			for _, i := range c.kept {
				want = append(want, c.messages[i])
			}
			before := append([]llm.Message(nil), c.messages...)
			got, omitted := Fit(llm.Request{Messages: c.messages, Options: llm.Options{MaxTokens: c.bound}}, c.window)
			require.Equal(t, want, got.Messages)
			require.Equal(t, len(c.messages)-len(want), omitted)
			require.Equal(t, before, c.messages, "the caller's list is left alone")
		})
	}
}
