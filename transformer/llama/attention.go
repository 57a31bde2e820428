package llama

import "teller/transformer/kernels"

// attention turns the n queries and all keys by their positions, stores keys and values, and gathers values for the queries.
func (c *CPU) attention(n int) {
	if n == 0 || n < c.plan.rows {
		c.pool.Run(c.plan.rows, c.work.store)
		c.pool.Run(len(c.plan.outputItems), c.work.attend)
		return
	}
	if c.plan.single { // no query sees another row's key, so that each head can go ahead alone
		c.pool.Run(len(c.plan.items), c.work.attendOne)
		return
	}
	c.pool.Run(c.plan.rows, c.work.store)
	c.pool.Run(len(c.plan.items), c.work.attend)
}

// storeRow turns a row's keys, and the queries in its place, and stores its keys and values.
func (c *CPU) storeRow(_, row int) {
	m := c.model
	qSize, kvSize := m.Heads*m.HeadDim, m.KVHeads*m.HeadDim
	qkv := c.qkv[row*c.qkvSize():][:c.qkvSize()]
	queries, keys, values := qkv[:qSize], qkv[qSize:qSize+kvSize], qkv[qSize+kvSize:]
	position := c.plan.position(row)
	cos, sin := c.angles.Of(position)
	kernels.RotateHalves(keys, cos, sin)
	c.cache.store(c.plan.layer, c.pagesOf(row), position, keys, values)
	if row < c.plan.queries {
		if c.plan.queries < c.plan.rows { // only queries with outputs are there, in their order
			cos, sin = c.angles.Of(c.plan.position(c.plan.outputRow[row]))
		}
		kernels.RotateHalves(queries, cos, sin)
	}
}

func (c *CPU) pagesOf(row int) []int32 { return c.plan.batch.Pieces[c.plan.pieceOf[row]].Pages }

// attendItem does one item of several tokens.
func (c *CPU) attendItem(worker, i int) {
	items := c.plan.items
	if c.plan.queries < c.plan.rows {
		items = c.plan.outputItems
	}
	c.attend(worker, items[i])
}

// attendToken does one head of a piece that is one token: it turns and stores what attendItem finds done.
func (c *CPU) attendToken(worker, i int) {
	m, it := c.model, c.plan.items[i]
	group := m.Heads / m.KVHeads * m.HeadDim
	qSize, kvSize := m.Heads*m.HeadDim, m.KVHeads*m.HeadDim
	qkv := c.qkv[it.row*c.qkvSize():][:c.qkvSize()]
	query := qkv[it.head*group:][:group]
	key := qkv[qSize+it.head*m.HeadDim:][:m.HeadDim]
	value := qkv[qSize+kvSize+it.head*m.HeadDim:][:m.HeadDim]
	piece := &c.plan.batch.Pieces[it.piece]
	cos, sin := c.angles.Of(piece.First)
	kernels.RotateHalves(query, cos, sin)
	kernels.RotateHalves(key, cos, sin)
	c.cache.storeHead(c.plan.layer, it.head, piece.Pages, piece.First, key, value)
	c.attend(worker, it)
}

func (c *CPU) attend(worker int, it item) {
	m := c.model
	heads := m.Heads / m.KVHeads
	qSize, first := m.Heads*m.HeadDim, it.head*heads*m.HeadDim
	piece := &c.plan.batch.Pieces[it.piece]
	c.cache.attend(&c.workers[worker].scratch, c.plan.layer, it.head, piece.Pages, kernels.Queries{
		Q: c.qkv[it.row*c.qkvSize()+first:], Step: c.qkvSize(),
		Out: c.mixed[it.row*qSize+first:], OutStep: qSize,
		First: piece.First + it.token, Tokens: it.count, Heads: heads,
	})
}
