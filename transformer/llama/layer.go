package llama

import "teller/transformer/kernels"

// headRows is how many outputs go through the head together: as many as a kernel takes at a time.
const headRows = 32

// layer takes the residual stream through one layer. In the last one, beyond the keys and values of all rows, only the rows with outputs
// matter: it leaves the residual stream of these alone, in their order.
func (c *CPU) layer(l *Layer, last bool) {
	m, n := c.model, c.plan.rows
	qSize, kvSize := m.Heads*m.HeadDim, m.KVHeads*m.HeadDim
	q := kernels.Product{W: l.Q, Out: c.qkv, Step: c.qkvSize()}
	k := kernels.Product{W: l.K, Out: c.qkv[qSize:], Step: c.qkvSize()}
	v := kernels.Product{W: l.V, Out: c.qkv[qSize+kvSize:], Step: c.qkvSize()}

	c.input(l.Q, n, normRow, l.InputNorm)
	if c.plan.queries = n; last && c.plan.outputs < n {
		kernels.Multiply(c.pool, &c.in, k, v)
		n = c.keepOutputs()
		c.input(l.Q, n, normRow, l.InputNorm)
		kernels.Multiply(c.pool, &c.in, q)
	} else {
		kernels.Multiply(c.pool, &c.in, q, k, v)
	}
	c.attention(n)

	c.input(l.O, n, mixedRow, nil)
	kernels.Multiply(c.pool, &c.in, kernels.Product{W: l.O, Out: c.x, Step: m.Hidden, Add: true})

	c.input(l.Gate, n, normRow, l.PostNorm)
	kernels.Multiply(c.pool, &c.in,
		kernels.Product{W: l.Gate, Out: c.inner, Step: 2 * m.Intermediate},
		kernels.Product{W: l.Up, Out: c.inner[m.Intermediate:], Step: 2 * m.Intermediate})
	c.input(l.Down, n, swiGLURow, nil)
	kernels.Multiply(c.pool, &c.in, kernels.Product{W: l.Down, Out: c.x, Step: m.Hidden, Add: true})
}

// input makes the input of products with w: what op gives for rows [0, n).
func (c *CPU) input(w *kernels.Matrix, n int, op rowOp, weight []float32) {
	c.in.Reset(w.Format, n, w.Cols)
	c.eachRow(n, op, weight)
}

// keepOutputs moves the rows with outputs to the front of the residual stream, and says how many there are.
func (c *CPU) keepOutputs() int {
	for o, row := range c.plan.outputRow {
		copy(c.residual(o), c.residual(row)) // row is at least o
	}
	c.plan.queries = c.plan.outputs
	return c.plan.outputs
}

// head gives take the logits of all outputs.
func (c *CPU) head() {
	m := c.model
	for first := 0; first < c.plan.outputs; first += headRows {
		n := min(headRows, c.plan.outputs-first)
		c.in.Reset(m.Head.Format, n, m.Hidden)
		c.plan.first = first
		c.eachRow(n, headRow, m.Norm)
		kernels.Multiply(c.pool, &c.in, kernels.Product{W: m.Head, Out: c.out, Step: m.Vocab})
		c.pool.Run(n, c.work.take)
	}
}

func (c *CPU) takeOutput(worker, i int) {
	c.take(worker, c.plan.first+i, c.out[i*c.model.Vocab:][:c.model.Vocab])
}
