package llama

import "teller/transformer/kernels"

// rowOp is work on one row that needs no other.
type rowOp uint8

const (
	embedRow  rowOp = iota // the residual stream becomes the token's embedding
	normRow                // the next product's input becomes the norm of the residual stream
	mixedRow               // ... what attention gathered
	swiGLURow              // ... silu(gate)*up
	headRow                // ... the norm of the residual stream of an output: of plan.first and what follows
)

// rowWork is a rowOp on n rows, in blocks that the pool shares out.
type rowWork struct {
	op     rowOp
	n      int
	block  int
	weight []float32 // of normRow and headRow: (hidden)
}

// serialRows is up to how many rows the pool isn't worth its waiting.
const serialRows = 3

// eachRow does op on rows [0, n). Afterwards all are done.
func (c *CPU) eachRow(n int, op rowOp, weight []float32) {
	c.rows = rowWork{op: op, n: n, block: max(1, n/(4*c.threads)), weight: weight}
	if n <= serialRows {
		for r := range n {
			c.row(&c.workers[0], r)
		}
		return
	}
	c.pool.Run((n+c.rows.block-1)/c.rows.block, c.work.rows)
}

func (c *CPU) rowBlock(worker, i int) {
	w := &c.workers[worker]
	for r := i * c.rows.block; r < min(c.rows.n, (i+1)*c.rows.block); r++ {
		c.row(w, r)
	}
}

func (c *CPU) row(w *worker, r int) {
	m := c.model
	switch c.rows.op {
	case embedRow:
		m.Embed.Row(c.plan.token(r), c.residual(r))
	case normRow:
		c.setNorm(w, r, c.residual(r))
	case headRow:
		c.setNorm(w, r, c.residual(c.plan.first+r))
	case mixedRow:
		qSize := m.Heads * m.HeadDim
		c.in.Set(r, c.mixed[r*qSize:][:qSize])
	case swiGLURow:
		gate, up := c.innerRow(r)
		kernels.SwiGLU(gate, up)
		c.in.Set(r, gate)
	}
}

func (c *CPU) setNorm(w *worker, r int, x []float32) {
	normed := w.row[:c.model.Hidden]
	kernels.RMSNorm(normed, x, c.rows.weight, float32(c.model.RMSEps))
	c.in.Set(r, normed)
}

// innerRow gives the two halves of a row of the block.
func (c *CPU) innerRow(r int) (gate, up []float32) {
	n := c.model.Intermediate
	row := c.inner[r*2*n:][:2*n]
	return row[:n], row[n:]
}
