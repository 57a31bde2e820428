package geminiserver

import (
	"encoding/json"
	"net/http"

	"teller/adapters/adaptertest/fakeserver"
)

// stream sends the reply's messages, a token each: as server-sent events, or as the elements of one JSON array.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, b fakeserver.Behaviour, call fakeserver.Request, enums enum, events bool) {
	first, between, end, last := "[", ",\r\n", "", "]"
	contentType := "application/json; charset=UTF-8"
	if events {
		first, between, end, last = "data: ", "data: ", "\r\n\r\n", ""
		contentType = "text/event-stream"
	}
	out := s.Stream(w, r, b, contentType)
	frame := func(i int, text string) string {
		if i == 0 {
			return first + text + end
		}
		return between + text + end
	}
	for i, message := range chunks(b, call, enums) {
		goesOn := out.Piece(frame(i, encode(message)), func(f fakeserver.Break) {
			text := `{"candidates":"` + b.Detail
			if f == fakeserver.BreakError {
				e := failure(b, call)
				e.Message = b.Sentence(e.Message)
				text = encode(map[string]any{"error": e})
			}
			out.Write(frame(i, text) + last)
		})
		if !goesOn {
			if b.Break == fakeserver.BreakEnd {
				out.Write(last)
			}
			return
		}
	}
	out.Write(last)
}

func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain text and numbers
	}
	return string(text)
}

// chunks gives the reply as the stream's messages, one for each token.
func chunks(b fakeserver.Behaviour, call fakeserver.Request, enums enum) []wireResponse {
	reply := b.Compose(call)
	tokens := fakeserver.Tokens(reply.Text)
	if len(tokens) == 0 || b.Blocked || b.NoChoice {
		return []wireResponse{response(b, reply, reply.Text, true, enums)}
	}
	messages := make([]wireResponse, len(tokens))
	for i, token := range tokens {
		messages[i] = response(b, reply, token, i == len(tokens)-1, enums)
	}
	return messages
}
