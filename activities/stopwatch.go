package activities

import (
	"time"

	"teller/llm"
)

// stopwatch takes the time of one call.
type stopwatch struct {
	started time.Time
	first   time.Time
	pieces  int
}

// start begins, and gives what hears the pieces of the reply.
func (w *stopwatch) start() func(llm.Delta) {
	w.started = time.Now()
	return func(llm.Delta) {
		if w.pieces++; w.pieces == 1 {
			w.first = time.Now()
		}
	}
}

// timing ends. A reply of several tokens that came in one piece says nothing of its first token.
func (w *stopwatch) timing(out llm.Completion) *llm.Timing {
	t := &llm.Timing{EndToEndMs: milliseconds(time.Since(w.started))}
	if w.pieces > 1 || w.pieces == 1 && out.Usage.CompletionTokens == 1 {
		first := milliseconds(w.first.Sub(w.started))
		t.FirstTokenMs = &first
	}
	return t
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
