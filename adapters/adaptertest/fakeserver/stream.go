package fakeserver

import (
	"net/http"
	"time"
)

// Break is how a streamed reply goes wrong.
type Break string

// The ways.
const (
	BreakError   Break = "error"   // an error in the provider's own words, inside the response of status 200
	BreakReset   Break = "reset"   // the TCP connection is reset
	BreakCut     Break = "cut"     // the connection is closed without an end of the response
	BreakEnd     Break = "end"     // the response ends, but not the reply
	BreakGarbage Break = "garbage" // something that is not the provider's format
	BreakStall   Break = "stall"   // nothing comes until Resume, or until the client leaves
)

// Stream is a streamed reply on its way out.
type Stream struct {
	server  *Server
	b       Behaviour
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	sent    int
}

// Stream begins a streamed reply.
func (s *Server) Stream(w http.ResponseWriter, r *http.Request, b Behaviour, contentType string) *Stream {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	out := &Stream{server: s, b: b, w: w, r: r, control: http.NewResponseController(w)}
	out.flush()
	return out
}

func (s *Stream) flush() {
	_ = s.control.Flush() // the client may have left
}

// Write sends bytes that are no piece of the reply, such as its frame.
func (s *Stream) Write(text string) {
	_, _ = s.w.Write([]byte(text)) // the client may have left
	s.flush()
}

// Piece sends the next piece of the reply, or what breaks the stream in its place: fault writes an error and garbage in the
// provider's format. It tells whether the reply goes on.
func (s *Stream) Piece(text string, fault func(Break)) bool {
	if s.b.Break != "" && s.sent == s.b.Pieces {
		switch s.b.Break {
		case BreakError, BreakGarbage:
			fault(s.b.Break)
			return false
		case BreakEnd:
			return false
		case BreakReset:
			reset(s.w)
			return false
		case BreakCut:
			panic(http.ErrAbortHandler) // net/http closes the connection, without the last chunk
		case BreakStall:
			s.server.signal(s.server.hanging)
			select {
			case <-s.server.resume:
			case <-s.r.Context().Done():
				s.server.signal(s.server.gone)
				return false
			}
		}
	}
	if s.b.Pause > 0 && s.sent > 0 {
		timer := time.NewTimer(s.b.Pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.r.Context().Done():
			s.server.signal(s.server.gone)
			return false
		}
	}
	s.sent++
	s.Write(text)
	return true
}

// Resume lets one stalled stream go on.
func (s *Server) Resume() { s.signal(s.resume) }
