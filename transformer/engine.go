package transformer

import (
	"context"
	"runtime"
	"sync"

	"teller/transformer/llama"
)

// Engine runs one Model for many callers at once. It is safe for concurrent use.
//
// A single loop takes steps through the model. Each step carries one token of every sequence that is generating and parts of the
// prompts that are being read (continuous batching; Yu et al. 2022). Keys and values lie in pages (Kwon et al. 2023), as many as
// EngineOptions bound: a request that finds no room waits for its turn. At rest an engine has no goroutine.
type Engine struct {
	model   *Model
	options EngineOptions
	slots   int
	threads int

	mu      sync.Mutex
	waiting []*sequence // in their order
	looping bool
	atRest  sync.Cond // of looping
	name    string    // of the device
	window  int       // tokens
	refused error     // why accelerators don't compute

	// The loop's own.
	chunk   int          // tokens of a step
	device  llama.Device // the processor's is nil until the first request
	pages   *pages
	running []*sequence
	batch   llama.Batch
	at      []outputOf  // of each output of the batch
	stepped []*sequence // of each piece
	scratch []scratch   // of each thread
	take    llama.Take
}

// EngineOptions bound what an engine takes. The zero value leaves all to the engine.
type EngineOptions struct {
	// Slots is how many sequences run at once at most. 0: as many as the cache has room for when none is longer than 2,048 tokens, at most 64.
	Slots int
	// CacheBytes bounds the memory of keys and values; at least one page is taken. 0: a quarter of the memory that is available, on an
	// accelerator all that it has left, or what Slots whole windows need when that is less.
	CacheBytes int
	// Threads is how many threads compute; 0 for as many as GOMAXPROCS.
	Threads int
	// Chunk is how many tokens a step carries at most, so how long a sequence waits for others' prompts. 0: by the model's size.
	Chunk int
	// Accelerators compute in place of this machine's processor: the first of them that can.
	Accelerators []llama.Accelerator
}

// NewEngine makes an engine that runs up to slots sequences at once, 0 for as many as the cache holds, with the defaults of EngineOptions.
func NewEngine(m *Model, slots int) *Engine { return NewEngineWith(m, EngineOptions{Slots: slots}) }

// NewEngineWith makes an engine. Accelerators get the model's weights at once, so that it is known whether they can compute; without one
// that can, the processor does: see Device and Refused.
func NewEngineWith(m *Model, o EngineOptions) *Engine {
	e := &Engine{model: m, options: o, threads: o.Threads}
	e.atRest.L = &e.mu
	if e.threads < 1 {
		e.threads = runtime.GOMAXPROCS(0)
	}
	e.take = func(worker, output int, logits []float32) {
		at := e.at[output]
		at.sequence.job.take(&e.scratch[worker], at.token, logits)
	}
	if e.accelerate(o.Accelerators); e.device == nil {
		e.slots = o.Slots
		e.useProcessor()
	}
	return e
}

const (
	maxSlots    = 64
	usualTokens = 2048 // prompt and reply of a usual request
)

// chunkOf keeps a step of a whole chunk around a tenth of a second on a few cores, between what makes good use of weights once they are
// read and what good use of memory.
func chunkOf(m *llama.Model) int {
	const multiplications = 5e10
	n := int(multiplications / float64(m.Parameters()))
	return max(32, min(512, n/32*32))
}

// Slots is how many sequences can run at once. More wait.
func (e *Engine) Slots() int { return e.slots }

// Window is how many tokens a sequence can have, prompt and reply together: the model's window, or what the cache holds.
func (e *Engine) Window() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.window
}

// Vocab is the model's number of tokens.
func (e *Engine) Vocab() int { return e.model.Vocab() }

// Threads is how many threads compute.
func (e *Engine) Threads() int { return e.threads }

// run waits until a sequence ended or ctx did.
func (e *Engine) run(ctx context.Context, s *sequence) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.submit(s)
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
		e.cancel(s)
		return ctx.Err()
	}
}
