package train

import (
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// normOp is RMSNorm (Zhang & Sennrich 2019): y = x / sqrt(mean(x²) + eps) · g, by rows. x and y are (rows, dim), g is (dim).
type normOp struct {
	fused
	eps float64
	inv []float32 // 1/rms of each row, kept for the gradients
}

func norm(x, g *gorgonia.Node, eps float64) (*gorgonia.Node, error) {
	rows, dim := x.Shape()[0], x.Shape()[1]
	return gorgonia.ApplyOp(&normOp{newFused("rmsNorm", tensor.Shape{rows, dim}, 2, 1), eps, make([]float32, rows)}, x, g)
}

// Do implements gorgonia.Op.
func (op *normOp) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	x, g, y := floats(in[0]), floats(in[1]), op.data()
	rows, dim := op.shape[0], op.shape[1]
	parallelRows(rows, func(from, to int) {
		for i := from; i < to; i++ {
			xi, yi := x[i*dim:][:dim], y[i*dim:][:dim]
			var sum float32
			for _, v := range xi {
				sum += v * v
			}
			r := float32(1 / math.Sqrt(float64(sum)/float64(dim)+op.eps))
			op.inv[i] = r
			for j, v := range xi {
				yi[j] = v * r * g[j]
			}
		}
	})
	return op.out, nil
}

// DiffWRT implements gorgonia.SDOp.
func (op *normOp) DiffWRT(n int) []bool { return all(n) }

// SymDiff implements gorgonia.SDOp.
func (op *normOp) SymDiff(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := gorgonia.ApplyOp(&normGradInput{newFused("rmsNormGradInput", op.shape.Clone(), 2, 1, 2), op.inv}, in[0], in[1], grad)
	if err != nil {
		return nil, err
	}
	dg, err := gorgonia.ApplyOp(&normGradGain{newFused("rmsNormGradGain", tensor.Shape{op.shape[1]}, 2, 2), op.inv}, in[0], grad)
	return gorgonia.Nodes{dx, dg}, err
}

// normGradInput is dx = r·(g∘dy − x·r²·mean(g∘dy∘x)), with r the row's 1/rms.
type normGradInput struct {
	fused
	inv []float32
}

// Do implements gorgonia.Op.
func (op *normGradInput) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	x, g, dy, dx := floats(in[0]), floats(in[1]), floats(in[2]), op.data()
	rows, dim := op.shape[0], op.shape[1]
	parallelRows(rows, func(from, to int) {
		for i := from; i < to; i++ {
			xi, dyi, dxi := x[i*dim:][:dim], dy[i*dim:][:dim], dx[i*dim:][:dim]
			var dot float32
			for j, v := range dyi {
				dot += v * g[j] * xi[j]
			}
			r := op.inv[i]
			c := r * r * r * dot / float32(dim)
			for j, v := range dyi {
				dxi[j] = r*g[j]*v - c*xi[j]
			}
		}
	})
	return op.out, nil
}

// normGradGain is dg = Σ over rows of dy∘x·r.
type normGradGain struct {
	fused
	inv []float32
}

// Do implements gorgonia.Op.
func (op *normGradGain) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	x, dy, dg := floats(in[0]), floats(in[1]), op.data()
	dim := op.shape[0]
	clear(dg)
	for i, r := range op.inv {
		xi, dyi := x[i*dim:][:dim], dy[i*dim:][:dim]
		for j, v := range dyi {
			dg[j] += v * xi[j] * r
		}
	}
	return op.out, nil
}
