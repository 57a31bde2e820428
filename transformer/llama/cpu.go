package llama

import (
	"fmt"
	"runtime"

	"teller/transformer/kernels"
)

// CPU runs batches of one model. It is for one goroutine at a time.
type CPU struct {
	model   *Model
	cache   cache
	pages   int
	threads int
	pool    *kernels.Pool // nil at rest
	release func()        // gives the cache's memory back
	cleanup runtime.Cleanup
	workers []worker
	angles  *Angles

	plan plan
	take Take

	// What a step computes in; n is the batch's rows. The layer's work is in layer.go, attention's in attention.go.
	in    kernels.Input
	x     []float32 // (n, hidden), the residual stream
	qkv   []float32 // (n, qSize+2*kvSize)
	mixed []float32 // (n, qSize), what attention gathered
	inner []float32 // (n, 2*intermediate), gate beside up
	out   []float32 // (headRows, vocab), logits

	// The work that the pool shares out, made once: a closure for each call would be an allocation.
	rows rowWork
	work struct{ rows, store, attend, attendOne, take func(worker, i int) }
}

// worker is what one thread has for itself.
type worker struct {
	row     []float32 // max(hidden, intermediate)
	scratch kernels.Scratch
}

// NewCPU makes room for so many pages of keys and values and uses so many threads, 0 for as many as GOMAXPROCS.
func NewCPU(m *Model, pages, threads int) (*CPU, error) {
	if pages < 1 {
		return nil, fmt.Errorf("a cache of %d pages, must be at least 1", pages)
	}
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	cache, release, err := newCache(m, pages)
	if err != nil {
		return nil, err
	}
	c := &CPU{model: m, cache: cache, pages: pages, threads: threads, workers: make([]worker, threads), angles: NewAngles(m)}
	for i := range c.workers {
		c.workers[i].row = make([]float32, max(m.Hidden, m.Intermediate))
	}
	c.work.rows, c.work.store, c.work.attend, c.work.attendOne, c.work.take = c.rowBlock, c.storeRow, c.attendItem, c.attendToken, c.takeOutput
	c.release = release
	c.cleanup = runtime.AddCleanup(c, func(release func()) { release() }, release)
	return c, nil
}

// Name says what computes, for a listing of models.
func (c *CPU) Name() string { return "cpu" }

// Threads is how many threads compute, and one more than the greatest worker that Take sees.
func (c *CPU) Threads() int { return c.threads }

// Pages is how many pages the cache has, numbered from 0.
func (c *CPU) Pages() int { return c.pages }

// Rest ends the threads, which between steps wait awake for the next one. The next Step starts them again.
func (c *CPU) Rest() {
	c.pool.Close()
	c.pool = nil
}

// Close ends the threads and gives the cache's memory back.
func (c *CPU) Close() {
	c.Rest()
	c.cleanup.Stop()
	c.release()
	c.cache = nil
}

// Step runs a batch: it leaves the keys and values of its tokens in the cache and gives take the logits that are wanted. It never fails.
func (c *CPU) Step(b *Batch, take Take) error {
	if c.pool == nil && c.threads > 1 {
		c.pool = kernels.NewPool(c.threads)
	}
	c.plan.make(c.model, b)
	c.angles.Reach(c.plan.reach)
	c.grow(c.plan.rows)
	c.take = take
	c.embed(b)
	last := len(c.model.Layers) - 1
	for i := range c.model.Layers {
		c.plan.layer = i
		c.layer(&c.model.Layers[i], i == last)
	}
	c.head()
	c.take = nil
	runtime.KeepAlive(c) // a cache's memory goes with its CPU
	return nil
}

// grow makes room for n rows.
func (c *CPU) grow(n int) {
	m := c.model
	qSize := m.Heads * m.HeadDim
	c.x = grow(c.x, n*m.Hidden)
	c.qkv = grow(c.qkv, n*c.qkvSize())
	c.mixed = grow(c.mixed, n*qSize)
	c.inner = grow(c.inner, n*2*m.Intermediate)
	c.out = grow(c.out, min(max(1, c.plan.outputs), headRows)*m.Vocab)
}

func (c *CPU) qkvSize() int { return (c.model.Heads + 2*c.model.KVHeads) * c.model.HeadDim }

func grow(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}

// embed sets the residual stream to the tokens' embeddings.
func (c *CPU) embed(b *Batch) {
	c.eachRow(c.plan.rows, embedRow, nil)
	for _, e := range b.Extras {
		row := c.plan.starts[e.Piece] + e.Token
		kernels.Add(c.residual(row), e.Vector)
	}
}

func (c *CPU) residual(row int) []float32 { return c.x[row*c.model.Hidden:][:c.model.Hidden] }
