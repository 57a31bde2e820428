package vllm

import (
	"encoding/json"
	"net/http"
	"strings"

	"teller/adapters/internal/upstream"
	"teller/llm"
)

// failure names what went wrong with the exchange, or gives nil for a reply that go-openai could read.
// go-openai's own error is not read: it holds the server's body and lacks its headers.
func failure(call *upstream.Call, sdk error) error {
	if failed := call.Failure(who, sdk); failed != nil {
		return failed
	}
	if !call.OK() {
		rejected := rejection(call.Body())
		return call.Classify(who, rejected.code(call.Status()), rejected.label())
	}
	// json.Decoder reads the first value and is content with what stands behind it.
	if sdk != nil || !json.Valid(call.Body()) {
		return call.Classify(who, llm.BadReply, "")
	}
	return nil
}

// rejected is what a server's error body says, in so far as it decides anything.
type rejected struct {
	any     bool // the body is an error object
	status  int  // the HTTP status that the body itself names; 0: none
	word    string
	kind    string
	message string
}

// rejection reads an error body: OpenAI's and vLLM's {"error":{...}}, and the bare object of older vLLM.
// Bodies of another shape (FastAPI's, a proxy's HTML) say nothing that the status does not.
func rejection(body []byte) rejected {
	var in struct {
		Error  json.RawMessage `json:"error"`
		Object string          `json:"object"`
	}
	if json.Unmarshal(body, &in) != nil {
		return rejected{}
	}
	raw := in.Error
	if len(raw) == 0 && in.Object == "error" {
		raw = body
	}
	var fields map[string]any
	if json.Unmarshal(raw, &fields) != nil || fields == nil {
		return rejected{}
	}
	out := rejected{any: true}
	out.message, _ = fields["message"].(string)
	out.kind, _ = fields["type"].(string)
	switch code := fields["code"].(type) {
	case string:
		out.word = code
	case float64:
		if code >= 400 && code <= 599 {
			out.status = int(code)
		}
	}
	return out
}

// code gives the code of an error with the HTTP status; 0 when it came without one.
func (r rejected) code(status int) llm.Code {
	switch {
	case r.tooLong(status):
		return llm.ContextTooLong
	case r.word == "content_filter" || r.word == "content_policy_violation" || r.word == "ResponsibleAIPolicyViolation":
		return llm.Refused
	case r.word == "insufficient_quota" || r.kind == "insufficient_quota":
		return llm.RateLimited
	case r.word == "model_not_found":
		return llm.NotFound
	case r.word == "invalid_api_key":
		return llm.Unauthenticated
	case status == 0:
		return llm.Unavailable
	default:
		return upstream.CodeOf(status)
	}
}

func (r rejected) label() string { return upstream.Label(r.word, r.kind) }

// tooLongWords are how servers say that a prompt exceeds the window, in lower case.
var tooLongWords = []string{
	"maximum context length",     // OpenAI, vLLM
	"maximum model length",       // vLLM: "The decoder prompt (length 5000) is longer than ..."
	"model's context length",     // vLLM since 0.11
	"max_model_len",              // vLLM
	"available context size",     // llama.cpp
	"maximum prompt length",      // xAI
	"max_new_tokens` must be <=", // text-generation-inference
	"exceeds the context window", // OpenAI
}

// tooLong tells a prompt over the model's window from other invalid requests. A server error in these
// words is one too: some servers fail that way instead of refusing.
func (r rejected) tooLong(status int) bool {
	switch status {
	case 0, http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusInternalServerError:
	default:
		return false
	}
	if r.word == "context_length_exceeded" || r.kind == "exceed_context_size_error" {
		return true
	}
	message := strings.ToLower(r.message)
	for _, words := range tooLongWords {
		if strings.Contains(message, words) {
			return true
		}
	}
	return false
}
