package api

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"

	"teller/llm"
	"teller/stream"
	"teller/workflows"
)

const (
	// keepAlive is after how long a silence a comment goes out. A turn that fails before that, without a token, gets a
	// status of its own: what fails soon (no worker, a wrong key, a full model) is told within 4 s.
	keepAlive = 10 * time.Second
	// late is how much longer than its timeout a turn's stream is kept for readers.
	late = 5 * time.Second
)

// streamed is a streamed reply in one route's wire format. An error of it means that the client is gone, unless it is a
// *problem: then the format has no way to go on, and the client is to be told the problem while the turn itself goes on.
type streamed interface {
	stream.Writer
	// Begun tells whether the status is out: a failure then goes to Fail, before that it gets a status of its own.
	Begun() bool
	// Done ends the reply of a turn that was answered.
	Done(workflows.Answer) error
	// Fail ends the reply of a turn that failed.
	Fail(*problem) error
}

// submission is a valid turn on its way.
type submission struct {
	in           workflows.TurnInput
	conversation *string // nil for a turn that stands alone
	durable      bool    // it goes on when its caller hangs up
}

// submit has the turn answered, counts it and logs its failure.
func (s *server) submit(c *gin.Context, ctx context.Context, t submission) (answer workflows.Answer, err error) { //nolint:revive // ctx may end before the request's
	started := time.Now()
	requestID := c.GetString(requestIDKey)
	defer func() {
		// On a goroutine of its own nothing else would catch it.
		if r := recover(); r != nil {
			s.Log.Error("panic", "error", r, "request_id", requestID, "stack", string(debug.Stack()))
			err = &llm.Error{Code: llm.Internal, Message: "an unexpected error; the log has it under this request id"}
		}
	}()
	if t.conversation != nil {
		answer, err = s.Turns.Converse(ctx, *t.conversation, t.in, t.durable)
	} else {
		answer, err = s.Turns.Ask(ctx, t.in, t.durable)
	}
	if err != nil {
		p := problemOf(err)
		s.Metrics.Turn(t.in.Route[0].Model, p.code, false, time.Since(started))
		s.Log.Warn("turn failed", "turn", t.in.ID, "model", t.in.Route[0].Model, "error", err, "request_id", requestID)
		return answer, err
	}
	usage := answer.Completion.Usage
	s.Metrics.Turn(answer.Model, "ok", answer.FallbackFrom != "", time.Since(started))
	s.Metrics.Tokens(answer.Model, usage.PromptTokens, usage.CompletionTokens)
	s.spend(ctx, caller(c), usage)
	return answer, nil
}

// stream has the turn answered and tells the client of the reply as it comes. A client that hangs up, or that stops
// reading, cancels the turn unless it is durable.
func (s *server) stream(c *gin.Context, t submission, to streamed) {
	target, reader, end := s.Streams.Announce(t.in.ID, t.in.Timeout+late)
	t.in.Stream = &target
	_, err := s.follow(c, reader, stream.Position{}, to, func(ctx context.Context) (workflows.Answer, error) {
		return s.submit(c, ctx, t)
	})
	// A durable turn whose client is gone, or reads no more, goes on: whoever asks for it can read along.
	if goesOn := t.durable && llm.CodeOf(err) == llm.Canceled; !goesOn {
		end(err == nil)
	}
}

// follow tells the client of a reply from a position on, and ends it with what answered gives. It returns when both
// are over.
func (s *server) follow(c *gin.Context, reader *stream.Reader, from stream.Position, to streamed, answered func(context.Context) (workflows.Answer, error)) (workflows.Answer, error) {
	ctx, hangUp := context.WithCancel(context.WithoutCancel(c.Request.Context()))
	defer hangUp()
	stay := context.AfterFunc(c.Request.Context(), hangUp)
	defer stay()
	var answer workflows.Answer
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		answer, err = answered(ctx)
	}()
	follower := stream.NewFollower(reader, from, to)
	gone := follower.Live(ctx, done, keepAlive)
	var stuck *problem
	switch {
	case errors.As(gone, &stuck):
		stay() // a client that hangs up now can still fetch the turn
		gone = to.Fail(stuck)
	case gone != nil:
		hangUp()
	}
	<-done
	switch {
	case stuck != nil:
	case err == nil && gone == nil:
		if gone = follower.Finish(answer.Completion); errors.As(gone, &stuck) {
			gone = to.Fail(stuck)
		} else if gone == nil {
			gone = to.Done(answer)
		}
	case err != nil && !to.Begun():
		writeError(c, err)
	case err != nil && gone == nil:
		gone = to.Fail(problemOf(err))
	}
	if gone != nil {
		s.Log.Debug("a client left its stream", "error", fmt.Sprint(gone), "request_id", c.GetString(requestIDKey))
	}
	return answer, err
}
