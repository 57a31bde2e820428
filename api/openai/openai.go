// Package openai is OpenAI's chat completions as its clients speak them: the wire types, what a request must look like, and
// what becomes of it in the product's words. It is pure: it reads and makes values, and package api does the HTTP.
//
// A request is read strictly. A parameter that would change the reply and that no model here heeds is an error that names it;
// one that changes nothing (user, metadata, store) is taken and ignored, and so is a neutral value of the others, such as
// n=1 or tools=[], which clients send unasked.
package openai

import "teller/llm"

// The bounds of a request beyond those of llm.
const (
	MaxMessages  = 2000
	MaxTokens    = 32768
	MaxStopBytes = 1000
	// MaxDialogueBytes bounds the messages together, as JSON: they travel in a workflow's input, which ends at 2 MiB.
	MaxDialogueBytes = 1 << 20
	// MaxSchemaBytes bounds a JSON schema. Providers compile it to a grammar, and refuse far smaller ones.
	MaxSchemaBytes = 64 << 10
)

// Error says what is wrong with a request.
type Error struct {
	Param   string // the parameter, as it stands in the request: "messages[2].role"
	Message string // safe to show
}

func (e *Error) Error() string { return e.Message }

// Request is a valid request in the product's words.
type Request struct {
	Model string // a model's name, or llm.Auto
	// Messages are one system message at most, which stands first, then the dialogue, which ends with a user message.
	Messages []llm.Message
	llm.Options
	Stream bool
	// IncludeUsage asks for a last chunk with the usage of a streamed reply.
	IncludeUsage bool
}
