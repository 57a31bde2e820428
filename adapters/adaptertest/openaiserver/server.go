// Package openaiserver is a small fake of a vLLM server: POST /v1/chat/completions, streamed
// or whole, and GET /v1/models over real HTTP, in OpenAI's wire format and vLLM's wording of errors. It stands
// in for vLLM in tests and benchmarks; it holds no model, and its tokens are words.
package openaiserver

import (
	"net/http"
	"strings"
	"time"

	"teller/adapters/adaptertest/fakeserver"
)

// Server is a fake vLLM server. Script, Requests and the rest come from fakeserver.Server.
type Server struct {
	*fakeserver.Server
}

// New makes a server of the named models that does not listen yet: it is an http.Handler.
func New(models ...string) *Server {
	return &Server{Server: fakeserver.New(models...)}
}

// Start makes a server of the named models and listens on address, such as "127.0.0.1:8001" or
// "127.0.0.1:0", until Close.
func Start(address string, models ...string) (*Server, error) {
	s := New(models...)
	if err := s.Server.Start(address, s); err != nil {
		return nil, err
	}
	return s, nil
}

// URL is what a client takes as the base URL; it ends in /v1.
func (s *Server) URL() string { return "http://" + s.Address() + "/v1" }

// ServeHTTP answers the two routes.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := fakeserver.ReadBody(r)
	if err != nil {
		http.Error(w, "cannot read the body", http.StatusBadRequest)
		return
	}
	call := fakeserver.Request{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone(), Body: body,
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/chat/completions":
		s.complete(w, r, call)
	case "GET /v1/models":
		if b, done := s.Begin(w, r, call, bearer(r), false); !done {
			if b.Failure != "" {
				writeFailure(w, b, call)
				return
			}
			fakeserver.WriteJSON(w, http.StatusOK, modelList(s.Models()))
		}
	default:
		// FastAPI's own answer to an unknown path.
		fakeserver.WriteJSON(w, http.StatusNotFound, map[string]string{"detail": "Not Found"})
	}
}

func (s *Server) complete(w http.ResponseWriter, r *http.Request, call fakeserver.Request) {
	parseErr := parse(&call)
	b, done := s.Begin(w, r, call, bearer(r), true)
	switch {
	case done:
	case b.Failure == "" && parseErr != nil:
		b.Failure, b.Detail = fakeserver.InvalidRequest, parseErr.Error()
		writeFailure(w, b, call)
	case b.Failure != "":
		writeFailure(w, b, call)
	case b.Blocked:
		// vLLM has no filter; this is how gateways with one refuse a prompt (Azure OpenAI's code).
		writeError(w, http.StatusBadRequest, wireError{
			Message: b.Sentence("The response was filtered due to the prompt triggering the content management policy."),
			Type:    "invalid_request_error", Code: "content_filter",
		})
	case call.Streams:
		s.stream(w, r, b, call)
	default:
		fakeserver.WriteJSON(w, http.StatusOK, completion(b, call, time.Now()))
	}
}

func bearer(r *http.Request) string {
	key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return key
}
