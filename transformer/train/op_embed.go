package train

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// embedOp looks the batch's tokens up: y[i] = E[token i], 0 for padding. E is (vocab, hidden),
// y is (tokens, hidden).
type embedOp struct {
	fused
	batch *Batch
	vocab int
}

func newEmbed(batch *Batch, vocab, hidden int) *embedOp {
	return &embedOp{newFused("embed", tensor.Shape{batch.Size(), hidden}, 2), batch, vocab}
}

// Do implements gorgonia.Op.
func (op *embedOp) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	e, y, hidden := floats(in[0]), op.data(), op.shape[1]
	clear(y[op.batch.used*hidden:])
	parallelRows(op.batch.used, func(from, to int) {
		for i := from; i < to; i++ {
			copy(y[i*hidden:(i+1)*hidden], e[int(op.batch.Tokens[i])*hidden:])
		}
	})
	return op.out, nil
}

// DiffWRT implements gorgonia.SDOp.
func (op *embedOp) DiffWRT(n int) []bool { return all(n) }

// SymDiff implements gorgonia.SDOp.
func (op *embedOp) SymDiff(_ gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	d := &embedGrad{newFused("embedGrad", tensor.Shape{op.vocab, op.shape[1]}, 2), op.batch}
	n, err := gorgonia.ApplyOp(d, grad)
	return gorgonia.Nodes{n}, err
}

// embedGrad adds each token's gradient to its row: dE[token i] += dy[i].
type embedGrad struct {
	fused
	batch *Batch
}

// Do implements gorgonia.Op. It is serial over tokens because two of them may share a row.
func (op *embedGrad) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	dy, de, hidden := floats(in[0]), op.data(), op.shape[1]
	clear(de)
	for i := range op.batch.used {
		row := de[int(op.batch.Tokens[i])*hidden:][:hidden]
		for j, v := range dy[i*hidden:][:hidden] {
			row[j] += v
		}
	}
	return op.out, nil
}
