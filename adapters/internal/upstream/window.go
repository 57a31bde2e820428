package upstream

import (
	"slices"

	"teller/llm"
)

// messageTokens is what a chat template puts around a message, about.
const messageTokens = 8

// Fit leaves the oldest messages of a dialogue out when the whole is too long for a window of so many tokens, and says how
// many. A system message stays, and what is kept begins with a user message. A quarter of the window, or the request's
// MaxTokens where that is less, is left for the reply. A window of 0 is unknown, and everything stays.
//
// The provider's tokenizer is not at hand, so tokens are estimated, as llm.BytesPerToken says. An estimate refuses nothing: the
// last message always stays, and whether it fits is for the provider to say.
func Fit(req llm.Request, window int) (fitting llm.Request, omitted int) {
	if window == 0 {
		return req, 0
	}
	room := window / 4
	if req.MaxTokens > 0 {
		room = min(room, req.MaxTokens)
	}
	used, rest := room, req.Messages
	if rest[0].Role == llm.System {
		used += tokens(rest[0])
		rest = rest[1:]
	}
	first := len(rest) - 1 // of the messages that are kept
	for i := len(rest) - 1; i >= 0; i-- {
		if used += tokens(rest[i]); used > window {
			break
		}
		if rest[i].Role == llm.User || i == 0 {
			first = i
		}
	}
	if first == 0 {
		return req, 0
	}
	req.Messages = slices.Concat(req.Messages[:len(req.Messages)-len(rest)], rest[first:])
	return req, first
}

func tokens(m llm.Message) int { return len(m.Text)/llm.BytesPerToken + messageTokens }
