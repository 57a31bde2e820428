package transformer

import (
	"runtime"
	"slices"

	"teller/transformer/llama"
)

// The loop is the one goroutine that runs steps, while there is work. Between two steps sequences leave and join.

// submit queues a sequence. Its job is told when it ended.
func (e *Engine) submit(s *sequence) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiting = append(e.waiting, s)
	if !e.looping {
		e.looping = true
		go e.loop()
	}
}

// cancel makes a sequence leave before the next step, at once if it has not begun.
func (e *Engine) cancel(s *sequence) {
	s.canceled.Store(true)
	e.mu.Lock()
	defer e.mu.Unlock()
	if i := slices.Index(e.waiting, s); i >= 0 {
		e.waiting = slices.Delete(e.waiting, i, i+1)
		close(s.ended)
	}
}

func (e *Engine) loop() {
	for e.admit() {
		e.plan()
		if err := e.device.Step(&e.batch, e.take); err != nil {
			e.lose(err)
			continue
		}
		e.settle()
	}
}

// admit lets sequences leave that were canceled, and those join that wait and for which there is room, in their order. It tells whether
// there is anything to do.
func (e *Engine) admit() bool {
	e.running = slices.DeleteFunc(e.running, func(s *sequence) bool {
		if s.canceled.Load() {
			e.end(s)
			return true
		}
		return false
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.open(); err != nil {
		for _, s := range e.waiting {
			s.job.fail(err)
			close(s.ended)
		}
		e.waiting = nil
	}
	for len(e.waiting) > 0 && len(e.running) < e.slots {
		s := e.waiting[0]
		if s.most > e.window { // it was larger while a device with more room was at work
			s.job.fail(&WindowError{Tokens: s.most, Window: e.window})
			close(s.ended)
		} else if e.pages.promise(llama.PagesOf(s.most)) {
			e.running = append(e.running, s)
		} else {
			break
		}
		e.waiting = slices.Delete(e.waiting, 0, 1)
	}
	e.looping = len(e.running) > 0
	if !e.looping {
		if e.device != nil {
			e.device.Rest()
		}
		e.atRest.Broadcast()
	}
	return e.looping
}

// plan fills the batch: the next token of every sequence that is generating, and as much of the prompts of the others as the rest of the
// chunk holds, first come, first served.
func (e *Engine) plan() {
	e.batch.Pieces, e.batch.Extras, e.at = e.batch.Pieces[:0], e.batch.Extras[:0], e.at[:0]
	left := e.chunk
	for _, s := range e.running {
		if len(s.tokens)-s.done == 1 {
			e.add(s, 1)
			left--
		}
	}
	for _, s := range e.running {
		if n := len(s.tokens) - s.done; n > 1 && left > 0 {
			s.adopt(e.pages)
			n = min(len(s.tokens)-s.done, left)
			e.add(s, n)
			left -= n
		}
	}
}

// outputOf says whose logits an output is.
type outputOf struct {
	sequence *sequence
	token    int
}

// add puts the next n tokens of a sequence into the batch.
func (e *Engine) add(s *sequence, n int) {
	s.reach(e.pages, s.done+n)
	from, to := s.done, s.done+n
	e.batch.Extras = e.model.appendExtras(e.batch.Extras, len(e.batch.Pieces), s.tokens, from, to)
	first := min(max(from, s.want), to)
	e.batch.Pieces = append(e.batch.Pieces, llama.Piece{Tokens: s.tokens[from:to], First: from, Pages: s.pages, Outputs: to - first})
	for t := first; t < to; t++ {
		e.at = append(e.at, outputOf{s, t})
	}
	e.stepped = append(e.stepped, s)
}

// settle goes on with what the step has computed.
func (e *Engine) settle() {
	for i, s := range e.stepped {
		s.done += len(e.batch.Pieces[i].Tokens)
		s.publish(e.pages)
		if s.done == len(s.tokens) && s.job.next(s) {
			e.running = slices.DeleteFunc(e.running, func(r *sequence) bool { return r == s })
			e.end(s)
		}
	}
	e.forget()
	runtime.Gosched() // lets those run who wait for the tokens
}

// forget drops what the step was about.
func (e *Engine) forget() {
	clear(e.stepped)
	e.stepped = e.stepped[:0]
	clear(e.at)
}

// end gives back what a sequence holds.
func (e *Engine) end(s *sequence) {
	s.leave(e.pages)
	close(s.ended)
}
