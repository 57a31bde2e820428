package train

import (
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// bagOp sums the n-grams of each bag of the batch: y[k] = Σ T[f] / √n over its n features f. T is (rows, dim), y is (bags, dim) with room for
// as many bags as the batch may have; rows without a bag are 0.
type bagOp struct {
	fused
	batch *Batch
	rows  int
}

func newBag(batch *Batch, rows, dim int) *bagOp {
	return &bagOp{newFused("bag", tensor.Shape{bagRoom(batch.Size()), dim}, 2), batch, rows}
}

// Do implements gorgonia.Op.
func (op *bagOp) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	t, y, dim := floats(in[0]), op.data(), op.shape[1]
	clear(y)
	parallel(len(op.batch.Bags), func(k int) {
		row, features := y[k*dim:][:dim], op.batch.Bags[k].Features
		for _, f := range features {
			for j, v := range t[int(f)*dim:][:dim] {
				row[j] += v
			}
		}
		scale := bagScale(features)
		for j := range row {
			row[j] *= scale
		}
	})
	return op.out, nil
}

func bagScale(features []int32) float32 { return float32(1 / math.Sqrt(float64(len(features)))) }

// DiffWRT implements gorgonia.SDOp.
func (op *bagOp) DiffWRT(n int) []bool { return all(n) }

// SymDiff implements gorgonia.SDOp.
func (op *bagOp) SymDiff(_ gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	n, err := gorgonia.ApplyOp(&bagGrad{fused: newFused("bagGrad", tensor.Shape{op.rows, op.shape[1]}, 2), batch: op.batch}, grad)
	return gorgonia.Nodes{n}, err
}

// bagGrad is dT[f] += dy[k] / √n for each feature of each bag.
type bagGrad struct {
	fused
	batch   *Batch
	touched []int32 // rows that the last run wrote to, which is all that needs to be cleared
}

// Do implements gorgonia.Op. It is serial over bags because two of them may share a row.
func (op *bagGrad) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	dy, dt, dim := floats(in[0]), op.data(), op.shape[1]
	for _, f := range op.touched {
		clear(dt[int(f)*dim:][:dim])
	}
	op.touched = op.touched[:0]
	for k, bag := range op.batch.Bags {
		scale := bagScale(bag.Features)
		for _, f := range bag.Features {
			row := dt[int(f)*dim:][:dim]
			for j, v := range dy[k*dim:][:dim] {
				row[j] += v * scale
			}
		}
		op.touched = append(op.touched, bag.Features...)
	}
	return op.out, nil
}

// placeOp adds each bag's vector where it enters: y = x, and y[place of bag k] += b[k]. x and y are (tokens, hidden), b is (bags, hidden).
type placeOp struct {
	fused
	batch *Batch
}

func newPlace(batch *Batch, hidden int) *placeOp {
	return &placeOp{newFused("place", tensor.Shape{batch.Size(), hidden}, 2, 2), batch}
}

// Do implements gorgonia.Op.
func (op *placeOp) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	b, y, hidden := floats(in[1]), op.data(), op.shape[1]
	copy(y, floats(in[0]))
	for k, bag := range op.batch.Bags {
		row := y[bag.Place*hidden:][:hidden]
		for j, v := range b[k*hidden:][:hidden] {
			row[j] += v
		}
	}
	return op.out, nil
}

// DiffWRT implements gorgonia.SDOp.
func (op *placeOp) DiffWRT(n int) []bool { return all(n) }

// SymDiff implements gorgonia.SDOp: dx is dy itself.
func (op *placeOp) SymDiff(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	db, err := gorgonia.ApplyOp(&placeGrad{newFused("placeGrad", in[1].Shape().Clone(), 2), op.batch}, grad)
	return gorgonia.Nodes{grad, db}, err
}

// placeGrad is db[k] = dy[place of bag k], 0 in rows without a bag.
type placeGrad struct {
	fused
	batch *Batch
}

// Do implements gorgonia.Op.
func (op *placeGrad) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	dy, db, hidden := floats(in[0]), op.data(), op.shape[1]
	clear(db)
	for k, bag := range op.batch.Bags {
		copy(db[k*hidden:][:hidden], dy[bag.Place*hidden:])
	}
	return op.out, nil
}
