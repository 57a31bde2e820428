// Package geminiserver is a small fake of the Gemini API: generateContent, streamGenerateContent (as
// server-sent events or a JSON array) and models.get over real HTTP, with Google's wording of errors. It holds no model,
// and its tokens are words.
package geminiserver

import (
	"cmp"
	"net/http"
	"strings"

	"teller/adapters/adaptertest/fakeserver"
)

// Server is a fake Gemini API. Script, Requests and the rest come from fakeserver.Server.
type Server struct {
	*fakeserver.Server
}

// New makes a server of the named models (without "models/") that does not listen yet: it is an
// http.Handler.
func New(models ...string) *Server {
	return &Server{Server: fakeserver.New(models...)}
}

// Start makes a server of the named models and listens on address, such as "127.0.0.1:0", until Close.
func Start(address string, models ...string) (*Server, error) {
	s := New(models...)
	if err := s.Server.Start(address, s); err != nil {
		return nil, err
	}
	return s, nil
}

// URL is what a client takes as the base URL.
func (s *Server) URL() string { return "http://" + s.Address() }

// ServeHTTP answers the routes.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := fakeserver.ReadBody(r)
	if err != nil {
		http.Error(w, "cannot read the body", http.StatusBadRequest)
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/v1beta/models/")
	model, verb, _ := strings.Cut(path, ":")
	call := fakeserver.Request{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone(), Body: body, Model: model,
	}
	switch route := r.Method + " " + verb; {
	case !ok:
		http.NotFound(w, r)
	case route == "GET ":
		s.get(w, r, call)
	case route == "POST generateContent", route == "POST streamGenerateContent":
		s.generate(w, r, call, verb == "streamGenerateContent")
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, call fakeserver.Request) {
	b, done := s.Begin(w, r, call, key(r), false)
	switch {
	case done:
	case b.Failure != "":
		writeFailure(w, b, call, false)
	default:
		fakeserver.WriteJSON(w, http.StatusOK, map[string]any{
			"name": "models/" + call.Model, "version": "001", "displayName": call.Model,
			"inputTokenLimit": 1048576, "outputTokenLimit": 65536,
			"supportedGenerationMethods": []string{"generateContent", "countTokens"},
		})
	}
}

func (s *Server) generate(w http.ResponseWriter, r *http.Request, call fakeserver.Request, stream bool) {
	parseErr := parse(&call)
	call.Streams = stream
	b, done := s.Begin(w, r, call, key(r), true)
	if done {
		return
	}
	if b.Failure == "" && parseErr != nil {
		b.Failure, b.Detail = fakeserver.InvalidRequest, parseErr.Error()
	}
	events := r.URL.Query().Get("alt") == "sse"
	if b.Failure != "" {
		writeFailure(w, b, call, stream && !events)
		return
	}
	enums := names
	if strings.Contains(cmp.Or(r.URL.Query().Get("$alt"), r.URL.Query().Get("alt")), "enum-encoding=int") {
		enums = numbers
	}
	if stream {
		s.stream(w, r, b, call, enums, events)
		return
	}
	reply := b.Compose(call)
	fakeserver.WriteJSON(w, http.StatusOK, response(b, reply, reply.Text, true, enums))
}

// key gives the API key from where either SDK puts it.
func key(r *http.Request) string {
	return cmp.Or(r.Header.Get("x-goog-api-key"), r.URL.Query().Get("key"))
}
