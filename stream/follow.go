package stream

import (
	"context"
	"time"

	"teller/llm"
)

// Writer tells a client of a reply as it comes, in the client's own format. An error of it ends the stream.
type Writer interface {
	// Delta gives the next piece; at is where the client's text ends with it.
	Delta(d llm.Delta, at Position) error
	// Reset says that what was sent counts for nothing: the text begins anew.
	Reset() error
	// KeepAlive is called when there was nothing to tell for a while.
	KeepAlive() error
}

// Follower tells one client of one turn's reply: what comes while the turn runs, then what the result has beyond
// that. It serves one goroutine.
type Follower struct {
	reader *Reader // nil: nothing comes but the result
	to     Writer
	at     Position
	tokens int // log-probabilities sent since the text began
}

// NewFollower makes a follower for a client that has the text up to a position. reader is that of Announce or Find, nil
// where this process has no stream of the turn.
func NewFollower(reader *Reader, from Position, to Writer) *Follower {
	return &Follower{reader: reader, at: from, to: to}
}

// Live tells what comes until done is closed, and gives nil then. It gives ctx's error when that ends first, or
// the writer's. keepAlive is after how long a silence KeepAlive is called.
func (f *Follower) Live(ctx context.Context, done <-chan struct{}, keepAlive time.Duration) error {
	silence := time.NewTimer(keepAlive)
	defer silence.Stop()
	for {
		var changed <-chan struct{}
		if f.reader != nil {
			event, ok, wait := f.reader.Read()
			if ok {
				if err := f.tell(event); err != nil {
					return err
				}
				silence.Reset(keepAlive)
				select { // a client that reads slowly must not keep the result waiting behind pieces
				case <-done:
					return nil
				default:
				}
				continue
			}
			changed = wait
		}
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-silence.C:
			if err := f.to.KeepAlive(); err != nil {
				return err
			}
			silence.Reset(keepAlive)
		}
	}
}

func (f *Follower) tell(e Event) error {
	if e.Reset {
		f.at, f.tokens = Position{}, 0
		return f.to.Reset()
	}
	f.at = f.at.After(e.Delta.Text)
	f.tokens += len(e.Delta.LogProbs)
	return f.to.Delta(e.Delta, f.at)
}

// Finish tells what the client lacks of the turn's completion. When what it has is not how the completion begins, it
// is told the whole after a reset.
func (f *Follower) Finish(c llm.Completion) error {
	rest, ok := f.at.Rest(c.Text)
	if !ok {
		if err := f.tell(Event{Reset: true}); err != nil {
			return err
		}
		rest = c.Text
	}
	if rest == "" {
		return nil
	}
	return f.tell(Event{Delta: llm.Delta{Text: rest, LogProbs: c.LogProbs[min(f.tokens, len(c.LogProbs)):]}})
}
