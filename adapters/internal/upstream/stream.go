package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// MaxStream is the most bytes of a streamed response that are read: each token comes with some 300 bytes around it.
	MaxStream = 32 << 20
	// silence is how long a server that has begun to stream may say nothing. A server that is at work says something every
	// few milliseconds; one that is stuck would otherwise use up the caller's whole time.
	silence = 30 * time.Second
	// settleWithin is how long is waited for the end of a response whose content is complete. A response that has ended
	// lets its connection be used again.
	settleWithin = 50 * time.Millisecond
)

var (
	errLongStream = errors.New("the streamed response is larger than 32 MiB")
	errSilent     = errors.New("the server has stopped to stream")
)

// BeginStream starts a call whose response the SDK reads while it arrives, when it is a success. What went wrong with
// it is known once Settle was called.
func BeginStream(ctx context.Context) (context.Context, *Call) {
	inner, c := Begin(ctx)
	c.streams = true
	return inner, c
}

// Settle is for when the SDK has read all that it wants of a stream: it reads what is left and takes what came as the whole response.
func (c *Call) Settle() {
	c.mu.Lock()
	stream := c.stream
	c.mu.Unlock()
	if stream == nil {
		return
	}
	late := time.AfterFunc(settleWithin, c.cancel)
	defer late.Stop()
	_, _ = io.Copy(io.Discard, stream) // it keeps what it reads, and its own error
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil || errors.Is(c.err, context.Canceled) && c.parent.Err() == nil {
		c.done = true
	}
}

// streamed is a response's body while it arrives: bounded, and kept for Call.Body.
type streamed struct {
	call *Call
	body io.ReadCloser
	end  error // what the next reads give
}

// begin records a response that is still arriving.
func (c *Call) begin(resp *http.Response) {
	s := &streamed{call: c, body: resp.Body}
	c.mu.Lock()
	c.status, c.header, c.received, c.stream = resp.StatusCode, resp.Header.Clone(), time.Now(), s
	c.mu.Unlock()
	resp.Body = s
}

// Read gives what has arrived. It ends the call when the server is silent for too long.
func (s *streamed) Read(p []byte) (int, error) {
	if s.end != nil {
		return 0, s.end
	}
	silent := time.AfterFunc(silence, func() { _ = s.call.fail(errSilent) })
	n, err := s.body.Read(p)
	silent.Stop()
	s.call.mu.Lock()
	s.call.body = append(s.call.body, p[:n]...)
	size := len(s.call.body)
	s.call.mu.Unlock()
	switch {
	case size > MaxStream:
		n, s.end = 0, s.call.fail(errLongStream)
	case errors.Is(err, io.EOF):
		s.call.mu.Lock()
		s.call.done = s.call.err == nil
		s.call.mu.Unlock()
		s.end = err
	case err != nil:
		s.end = s.call.fail(err)
	}
	return n, s.end
}

// Close does nothing: SDKs close a body as soon as they have what they want, and Settle reads it to its end. End closes it.
func (s *streamed) Close() error { return nil }
