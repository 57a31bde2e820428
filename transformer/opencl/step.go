package opencl

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"teller/transformer/llama"
)

// work is what a step computes in; n is the batch's rows.
type work struct {
	rows, outputs int    // that there is room for
	x, kept       buffer // (n, hidden), the residual stream; kept takes over where rows are left out
	normed        buffer // (n, hidden)
	qkv           buffer // (n, qSize+2*kvSize)
	mixed         buffer // (n, qSize), what attention gathered
	gateUp        buffer // (n, 2*intermediate), gate beside up
	inner         buffer // (n, intermediate)
	logits        buffer // (outputs, vocab)

	meta, angles, extras buffer // see batch
	out                  []float32
}

// batch is a llama.Batch as the kernels want it.
type batch struct {
	rows, outputs int

	meta []int32 // what follows are places in it
	// Of each row: its token, its position, where the pages of its sequence begin in meta.
	tokens, positions, tables int
	all                       int // map of every row
	withOutput                int // map of the rows that have outputs
	extraRows                 int // of each extra

	angles []float32 // (rows, cosines and sines, headDim/2)
	extras []float32 // (extras, hidden)
}

// set lays a batch out.
func (b *batch) set(m *llama.Model, angles *llama.Angles, in *llama.Batch) {
	b.rows, b.outputs = in.Rows(), 0
	b.meta, b.angles, b.extras = b.meta[:0], b.angles[:0], b.extras[:0]
	part := func(at *int, fill func()) {
		*at = len(b.meta)
		fill()
	}
	part(&b.tokens, func() {
		for i := range in.Pieces {
			for _, id := range in.Pieces[i].Tokens {
				b.meta = append(b.meta, int32(id))
			}
		}
	})
	reach := 0
	part(&b.positions, func() {
		for i := range in.Pieces {
			p := &in.Pieces[i]
			reach = max(reach, p.First+len(p.Tokens))
			for t := range p.Tokens {
				b.meta = append(b.meta, int32(p.First+t))
			}
		}
	})
	part(&b.all, func() {
		for r := range b.rows {
			b.meta = append(b.meta, int32(r))
		}
	})
	starts := make([]int, len(in.Pieces))
	part(&b.withOutput, func() {
		row := 0
		for i := range in.Pieces {
			p := &in.Pieces[i]
			starts[i] = row
			row += len(p.Tokens)
			for t := row - p.Outputs; t < row; t++ {
				b.meta = append(b.meta, int32(t))
			}
			b.outputs += p.Outputs
		}
	})
	part(&b.extraRows, func() {
		for _, e := range in.Extras {
			b.meta = append(b.meta, int32(starts[e.Piece]+e.Token))
			b.extras = append(b.extras, e.Vector[:m.Hidden]...)
		}
	})
	part(&b.tables, func() {
		pages := len(b.meta) + b.rows
		for i := range in.Pieces {
			p := &in.Pieces[i]
			for range p.Tokens {
				b.meta = append(b.meta, int32(pages))
			}
			pages += llama.PagesOf(p.First + len(p.Tokens))
		}
		for i := range in.Pieces {
			p := &in.Pieces[i]
			b.meta = append(b.meta, p.Pages[:llama.PagesOf(p.First+len(p.Tokens))]...)
		}
	})
	angles.Reach(reach)
	for r := range b.rows {
		cos, sin := angles.Of(int(b.meta[b.positions+r]))
		b.angles = append(append(b.angles, cos...), sin...)
	}
}

// Step runs a batch. An error, which may be as late as the reading of logits, says that the device can't be trusted any more.
func (d *Device) Step(b *llama.Batch, take llama.Take) error {
	d.batch.set(d.model, d.angles, b)
	if err := d.reserve(d.batch.rows, min(d.batch.outputs, headRows)); err != nil {
		return err
	}
	if err := d.begin(); err != nil {
		return fmt.Errorf("embeddings: %w", err)
	}
	for i := range d.layers {
		if err := d.layer(i); err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
	}
	return d.finish(take)
}

// reserve makes room for a step. What there was before is lost.
func (d *Device) reserve(rows, outputs int) error {
	w, m := &d.work, d.model
	fit := func(b *buffer, size int, what string) (err error) {
		if b.size < size {
			d.free(*b)
			*b, err = d.allocate(size, what)
		}
		return err
	}
	if rows > w.rows {
		for _, part := range []struct {
			to   *buffer
			step int
		}{{&w.x, d.hidden}, {&w.kept, d.hidden}, {&w.normed, d.hidden}, {&w.qkv, d.qkv}, {&w.mixed, d.mixed}, {&w.gateUp, 2 * m.Intermediate},
			{&w.inner, d.inner}, {&w.angles, m.HeadDim}} {
			if err := fit(part.to, 4*rows*part.step, "room for a step"); err != nil {
				return err
			}
		}
		w.rows = rows
	}
	if outputs > w.outputs {
		if err := fit(&w.logits, 4*outputs*m.Vocab, "room for logits"); err != nil {
			return err
		}
		w.out = make([]float32, outputs*m.Vocab)
		w.outputs = outputs
	}
	// These grow in steps, since tables do so page by page.
	if err := fit(&w.meta, roomFor(4*len(d.batch.meta), w.meta.size), "room for a batch"); err != nil {
		return err
	}
	return fit(&w.extras, roomFor(4*len(d.batch.extras), w.extras.size), "room for a batch")
}

// roomFor is have, or at least twice as much where that is too little.
func roomFor(size, have int) int {
	if size <= have {
		return have
	}
	return max(size, 2*have, 1<<12)
}

// begin tells the device about the batch and sets the residual stream to the tokens' embeddings.
func (d *Device) begin() error {
	b, w := &d.batch, &d.work
	for _, err := range []error{write(d.driver, w.meta, 0, b.meta), write(d.driver, w.angles, 0, b.angles), write(d.driver, w.extras, 0, b.extras)} {
		if err != nil {
			return err
		}
	}
	e := &d.embed
	err := d.run(d.products[e.format].embed, [3]int{groupsOf(groupUnits*e.groups, eachGroup), b.rows, 1},
		memory(e.weights), memory(e.scales), number(e.groups), memory(w.meta), number(b.tokens), memory(w.x))
	if err != nil || len(b.extras) == 0 {
		return err
	}
	return d.run(d.compute.addExtras, [3]int{groupsOf(d.model.Hidden, eachGroup), 1, 1},
		memory(w.x), number(d.hidden), memory(w.extras), memory(w.meta), number(b.extraRows), number(len(b.extras)/d.model.Hidden), number(d.model.Hidden))
}

// layer takes the residual stream through one layer. In the last one, beyond the keys and values of all rows, only the rows with outputs
// matter: it leaves the residual stream of these alone, in their order.
func (d *Device) layer(i int) error {
	m, b, w, l := d.model, &d.batch, &d.work, &d.layers[i]
	c := chain{d: d}
	n, rows := b.rows, b.all
	c.norm(w.x, l.inputNorm, n, b.all)
	c.multiply(l.qkv, w.normed, n, w.qkv, d.qkv, false)
	c.run(d.compute.store, [3]int{groupsOf(m.HeadDim/2, eachGroup), m.KVHeads, n},
		memory(w.qkv), number(d.qkv), number(m.Heads*m.HeadDim), memory(w.angles), number(m.HeadDim/2), memory(w.meta),
		number(b.positions), number(b.tables), memory(d.cache[i]), number(m.KVHeads))
	if i == len(d.layers)-1 {
		if b.outputs == 0 {
			return c.err
		}
		if b.outputs < n {
			n, rows = b.outputs, b.withOutput
			c.run(d.compute.gather, [3]int{groupsOf(d.hidden, eachGroup), n, 1}, memory(w.x), memory(w.kept), number(d.hidden), memory(w.meta), number(rows))
			w.x, w.kept = w.kept, w.x
			c.norm(w.x, l.inputNorm, n, b.all)
		}
		c.multiply(l.q, w.normed, n, w.qkv, d.qkv, false)
	}
	c.attend(i, n, rows)
	c.multiply(l.o, w.mixed, n, w.x, d.hidden, true)
	c.norm(w.x, l.postNorm, n, b.all)
	c.multiply(l.gateUp, w.normed, n, w.gateUp, 2*m.Intermediate, false)
	c.run(d.compute.swiglu, [3]int{groupsOf(m.Intermediate, eachGroup), n, 1}, memory(w.gateUp), memory(w.inner), number(d.inner), number(m.Intermediate))
	c.multiply(l.down, w.inner, n, w.x, d.hidden, true)
	return c.err
}

// finish gives take the logits of all outputs, or waits for the last kernel where there are none.
func (d *Device) finish(take llama.Take) error {
	b, w := &d.batch, &d.work
	if b.outputs == 0 {
		return d.call(finish, d.queue)
	}
	for first := 0; first < b.outputs; first += headRows {
		n := min(headRows, b.outputs-first)
		c := chain{d: d}
		c.norm(w.x, d.norm, n, b.all+first)
		c.multiply([]part{d.head}, w.normed, n, w.logits, d.model.Vocab, false)
		if c.err == nil {
			c.err = read(d.driver, w.logits, w.out[:n*d.model.Vocab])
		}
		if c.err != nil {
			return fmt.Errorf("head: %w", c.err)
		}
		d.give(take, first, n)
	}
	return nil
}

// give shares outputs out to threads.
func (d *Device) give(take llama.Take, first, n int) {
	var next atomic.Int64
	serve := func(worker int) {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			take(worker, first+i, d.work.out[i*d.model.Vocab:][:d.model.Vocab])
		}
	}
	var others sync.WaitGroup
	for worker := 1; worker < min(n, d.threads); worker++ {
		others.Go(func() { serve(worker) })
	}
	serve(0)
	others.Wait()
}

// chain enqueues one thing after the other, up to the first that fails.
type chain struct {
	d   *Device
	err error
}

func (c *chain) run(k *kernel, groups [3]int, args ...argument) {
	if c.err == nil {
		c.err = c.d.run(k, groups, args...)
	}
}

// norm sets normed to the norms of n rows of x, by the map at a place in meta.
func (c *chain) norm(x, weight buffer, n, rows int) {
	d := c.d
	c.run(d.compute.norm, [3]int{1, n, 1}, memory(x), memory(d.work.normed), number(d.hidden), memory(weight), number(d.model.Hidden),
		real(float32(d.model.RMSEps)), memory(d.work.meta), number(rows))
}

// attend turns n queries and gathers values for them; rows is the map that says which rows they are.
func (c *chain) attend(layer, n, rows int) {
	d := c.d
	m, b, w := d.model, &d.batch, &d.work
	c.run(d.compute.turnQueries, [3]int{groupsOf(m.HeadDim/2, eachGroup), m.Heads, n},
		memory(w.qkv), number(d.qkv), memory(w.angles), number(m.HeadDim/2), memory(w.meta), number(rows))
	c.run(d.compute.attend, [3]int{1, m.Heads, n},
		memory(w.qkv), number(d.qkv), memory(w.mixed), number(d.mixed), memory(w.meta), number(rows), number(b.positions), number(b.tables),
		memory(d.cache[layer]), number(m.KVHeads), number(m.Heads/m.KVHeads), number(m.HeadDim), real(scoreScale(m.HeadDim)),
		scratch(4*m.HeadDim), scratch(4*m.HeadDim))
}

// multiply multiplies n inputs with each of parts, whose results go, or are added, to rows of out, step apart.
func (c *chain) multiply(parts []part, in buffer, n int, out buffer, step int, add bool) {
	for i := range parts {
		p := &parts[i]
		k, groups := c.d.products[p.format].kernelFor(p.rows, n)
		c.run(k, groups, memory(p.weights), memory(p.scales), number(p.rows), number(p.groups), memory(in), number(n),
			memory(out), number(step), number(p.offset), flag(add))
	}
}

// kernelFor chooses by the number of inputs.
func (p *products) kernelFor(rows, n int) (k *kernel, groups [3]int) {
	blocks := groupsOf(rows, blockRows)
	switch {
	case n == 1:
		return p.one, [3]int{blocks, 1, 1}
	case n <= 4:
		return p.four, [3]int{blocks, 1, 1}
	case n <= fewRows:
		return p.eight, [3]int{blocks, 1, groupsOf(n, 8)}
	}
	return p.many, [3]int{groupsOf(rows, manyTile), 1, groupsOf(n, manyTile)}
}

// scoreScale is what scores are multiplied by: 1/sqrt(headDim).
func scoreScale(headDim int) float32 { return float32(1 / math.Sqrt(float64(headDim))) }
