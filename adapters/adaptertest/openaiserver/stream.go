package openaiserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"teller/adapters/adaptertest/fakeserver"
)

type wireDelta struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

type wireChunkChoice struct {
	Index        int           `json:"index"`
	Delta        wireDelta     `json:"delta"`
	LogProbs     *wireLogProbs `json:"logprobs"`
	FinishReason *string       `json:"finish_reason"`
}

type wireChunk struct {
	ID      string            `json:"id"`
	Object  string            `json:"object"`
	Created int64             `json:"created"`
	Model   string            `json:"model"`
	Choices []wireChunkChoice `json:"choices"`
	Usage   *wireUsage        `json:"usage,omitempty"`
}

// stream sends the reply as vLLM does: a chunk with the role, one for each token, one with the finish reason, one with
// the usage when it was asked for, and [DONE].
func (s *Server) stream(w http.ResponseWriter, r *http.Request, b fakeserver.Behaviour, call fakeserver.Request) {
	whole := completion(b, call, time.Now())
	out := s.Stream(w, r, b, "text/event-stream; charset=utf-8")
	data := func(choices []wireChunkChoice, usage *wireUsage) string {
		text, err := json.Marshal(wireChunk{ID: whole.ID, Object: "chat.completion.chunk", Created: whole.Created, Model: whole.Model, Choices: choices, Usage: usage})
		if err != nil {
			panic(err) // plain text and numbers
		}
		return fmt.Sprintf("data: %s\n\n", text)
	}
	empty := ""
	for _, choice := range whole.Choices {
		out.Write(data([]wireChunkChoice{{Delta: wireDelta{Role: "assistant", Content: &empty}}}, nil))
		text := ""
		if choice.Message.Content != nil {
			text = *choice.Message.Content
		}
		for i, token := range fakeserver.Tokens(text) {
			piece := wireChunkChoice{Delta: wireDelta{Content: &token}}
			if choice.LogProbs != nil {
				piece.LogProbs = &wireLogProbs{Content: choice.LogProbs.Content[i : i+1]}
			}
			if !out.Piece(data([]wireChunkChoice{piece}, nil), func(f fakeserver.Break) { breakStream(out, b, call, f) }) {
				return
			}
		}
		out.Write(data([]wireChunkChoice{{Delta: wireDelta{Content: &empty}, FinishReason: &choice.FinishReason}}, nil))
	}
	if call.IncludeUsage {
		out.Write(data([]wireChunkChoice{}, &whole.Usage))
	}
	out.Write("data: [DONE]\n\n")
}

func breakStream(out *fakeserver.Stream, b fakeserver.Behaviour, call fakeserver.Request, f fakeserver.Break) {
	if f == fakeserver.BreakGarbage {
		out.Write("data: {\"choices\":\"" + b.Detail + "\"\n\n")
		return
	}
	status, e := failure(b, call)
	e.Message, e.Code = b.Sentence(e.Message), status
	text, err := json.Marshal(map[string]any{"error": e})
	if err != nil {
		panic(err) // plain text and numbers
	}
	out.Write(fmt.Sprintf("data: %s\n\ndata: [DONE]\n\n", text))
}
