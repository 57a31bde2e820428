package fakeserver

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"
	"unicode"

	"teller/llm"
)

// Request is one call as a provider saw it.
type Request struct {
	Method string
	Path   string
	Query  string
	Header http.Header
	Body   []byte

	// What the wire format carried. A call that is no request for a completion leaves them empty.
	Model       string
	Messages    []llm.Message
	MaxTokens   *int     // nil: not sent
	Temperature *float64 // nil: not sent
	TopP        *float64 // nil: not sent
	Seed        *int64   // nil: not sent
	Stop        []string
	LogProbs    bool // log-probabilities were asked for
	TopLogProbs int
	// Streams tells that the reply was asked for piece by piece, IncludeUsage that it ends with its usage.
	Streams      bool
	IncludeUsage bool

	// Enum are the values that the reply is bound to; Schema is the JSON schema that it is. nil: not sent.
	Enum   []string
	Schema json.RawMessage
}

// PromptTokens counts the words of all messages.
func (r Request) PromptTokens() int {
	n := 0
	for _, m := range r.Messages {
		n += len(strings.Fields(m.Text))
	}
	return n
}

// Reply is a reply before it is put into a wire format.
type Reply struct {
	Text   string
	Finish llm.FinishReason
	Model  string
	Usage  llm.Usage
}

// Compose makes the reply that b gives to r, cut at r's stop texts and to r's max tokens.
func (b Behaviour) Compose(r Request) Reply {
	text := b.Text
	switch {
	case b.Empty:
		text = ""
	case b.Reply != nil:
		text = b.Reply(r)
	case text == "" && !b.Filtered:
		text = cmp.Or(b.constrained(r), DefaultText)
	}
	out := Reply{Text: text, Finish: llm.FinishStop, Model: r.Model}
	if b.Served != "" {
		out.Model = b.Served
	}
	for _, stop := range r.Stop {
		text, _, _ = strings.Cut(text, stop)
	}
	out.Text = text
	if r.MaxTokens != nil {
		if cut := firstWords(text, *r.MaxTokens); cut != text {
			out.Text, out.Finish = cut, llm.FinishLength
		}
	}
	if b.Filtered {
		out.Finish = llm.FinishContentFilter
	}
	out.Usage = llm.Usage{PromptTokens: r.PromptTokens(), CompletionTokens: len(strings.Fields(out.Text))}
	return out
}

// firstWords gives the beginning of text that holds its first n words.
func firstWords(text string, n int) string {
	words, inWord := 0, false
	for i, r := range text {
		if unicode.IsSpace(r) {
			inWord = false
			continue
		}
		if !inWord {
			inWord = true
			if words++; words > n {
				return strings.TrimRightFunc(text[:i], unicode.IsSpace)
			}
		}
	}
	return text
}
