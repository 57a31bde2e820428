package api

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"github.com/gin-contrib/sse"
	"github.com/gin-gonic/gin"

	"teller/llm"
	"teller/stream"
	"teller/workflows"
)

const eventStream = "text/event-stream"

// takeWithin is how long a client may take to read what was sent. One that takes longer counts as gone.
const takeWithin = 30 * time.Second

// events writes server-sent events. The status and the headers go out with the first one, so that a failure before it
// can have a status of its own.
type events struct {
	c     *gin.Context
	begun bool
}

// Begun tells whether the status is out.
func (e *events) Begun() bool { return e.begun }

// send writes one event, or a comment when it has neither a name nor data.
func (e *events) send(event sse.Event) error {
	var text bytes.Buffer
	if err := sse.Encode(&text, event); err != nil {
		return err
	}
	return e.write(text.Bytes())
}

// KeepAlive writes a comment, which clients skip. The first one also tells a proxy that the request is being answered.
func (e *events) KeepAlive() error { return e.write([]byte(": keep-alive\n\n")) }

func (e *events) write(text []byte) error {
	if !e.begun {
		e.begun = true
		header := e.c.Writer.Header()
		header.Set("Content-Type", eventStream)
		header.Set("Cache-Control", "no-store, no-transform")
		header.Set("X-Accel-Buffering", "no") // nginx would collect the pieces
		e.c.Status(http.StatusOK)
	}
	control := http.NewResponseController(e.c.Writer)
	// A connection without deadlines, as in a test, does without.
	_ = control.SetWriteDeadline(time.Now().Add(takeWithin))
	defer func() { _ = control.SetWriteDeadline(time.Time{}) }()
	if _, err := e.c.Writer.Write(text); err != nil {
		return err
	}
	return control.Flush()
}

// turnEvents is a turn in the events of POST /api/v1/chat and GET /api/v1/turns/{id}.
type turnEvents struct {
	events
	turn         string
	conversation *string
}

func (e *turnEvents) Delta(d llm.Delta, at stream.Position) error {
	return e.send(sse.Event{Event: "delta", Id: stream.EventID(e.turn, at), Data: gin.H{"text": d.Text}})
}

func (e *turnEvents) Reset() error {
	return e.send(sse.Event{Event: "reset", Id: stream.EventID(e.turn, stream.Position{}), Data: gin.H{}})
}

func (e *turnEvents) Done(a workflows.Answer) error {
	at := stream.Position{}.After(a.Completion.Text)
	return e.send(sse.Event{Event: "done", Id: stream.EventID(e.turn, at), Data: chatResponseOf(a, e.conversation)})
}

func (e *turnEvents) Fail(p *problem) error {
	return e.send(sse.Event{Event: "error", Data: errorBodyOf(p)})
}

// acceptsEvents tells whether a request asks for a stream.
func acceptsEvents(c *gin.Context) bool {
	return strings.Contains(c.GetHeader("Accept"), eventStream)
}
