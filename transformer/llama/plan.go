package llama

// plan is a batch seen as rows: row r is one token of one piece. Everything in it is kept from step to step.
type plan struct {
	batch   *Batch
	layer   int // the one at work
	rows    int
	outputs int
	queries int  // of this layer: rows, or only outputs
	first   int  // of the head: its first output
	reach   int  // one more than the greatest position
	single  bool // every piece is one token

	starts    []int // of each piece, its first row
	pieceOf   []int // of each row
	outputRow []int // of each output, its row

	items       []item // of attention, the heaviest first within a piece
	outputItems []item // those of the rows that have outputs
}

// item is a part of attention: the queries of some tokens of a piece to one head of keys and values.
type item struct {
	piece, head  int
	token, count int // of the piece
	row          int // of the first token among the rows of mixed
}

// itemTokens is how many tokens an item has at most: enough to read each key for many queries, few enough to even out the threads.
const itemTokens = 24

func (p *plan) make(m *Model, b *Batch) {
	p.batch, p.rows, p.outputs, p.reach, p.single = b, 0, 0, 0, true
	p.starts, p.pieceOf, p.outputRow = p.starts[:0], p.pieceOf[:0], p.outputRow[:0]
	p.items, p.outputItems = p.items[:0], p.outputItems[:0]
	for i := range b.Pieces {
		piece := &b.Pieces[i]
		n := len(piece.Tokens)
		p.starts = append(p.starts, p.rows)
		for range n {
			p.pieceOf = append(p.pieceOf, i)
		}
		p.items = addItems(p.items, m, i, 0, n, p.rows)
		p.outputItems = addItems(p.outputItems, m, i, n-piece.Outputs, n, p.outputs)
		p.rows += n
		for t := n - piece.Outputs; t < n; t++ {
			p.outputRow = append(p.outputRow, p.starts[i]+t)
		}
		p.outputs += piece.Outputs
		p.reach = max(p.reach, piece.First+n)
		p.single = p.single && n == 1
	}
}

// addItems cuts the attention of tokens [from, to) of a piece, which stand from row on, into items. Later tokens see more.
func addItems(items []item, m *Model, piece, from, to, row int) []item {
	for end := to; end > from; end -= itemTokens {
		begin := max(from, end-itemTokens)
		for head := range m.KVHeads {
			items = append(items, item{piece, head, begin, end - begin, row + begin - from})
		}
	}
	return items
}

// position is where a row's token stands in its sequence.
func (p *plan) position(row int) int {
	i := p.pieceOf[row]
	return p.batch.Pieces[i].First + row - p.starts[i]
}

func (p *plan) token(row int) int {
	i := p.pieceOf[row]
	return p.batch.Pieces[i].Tokens[row-p.starts[i]]
}
