package train

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"teller/transformer/kernels"
)

// swigluOp is y = silu(gate)∘up (Shazeer 2020, "GLU variants improve Transformer"). Its input (rows, 2·dim) holds the gate in its first dim
// columns and up in the others, as one matrix product gives them; y is (rows, dim).
type swigluOp struct{ fused }

func swiglu(x *gorgonia.Node) (*gorgonia.Node, error) {
	return gorgonia.ApplyOp(&swigluOp{newFused("swiglu", tensor.Shape{x.Shape()[0], x.Shape()[1] / 2}, 2)}, x)
}

// Do implements gorgonia.Op.
func (op *swigluOp) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	x, y := floats(in[0]), op.data()
	rows, dim := op.shape[0], op.shape[1]
	parallelRows(rows, func(from, to int) {
		for i := from; i < to; i++ {
			gate, up, yi := x[i*2*dim:][:dim], x[i*2*dim+dim:][:dim], y[i*dim:][:dim]
			copy(yi, gate)
			kernels.SwiGLU(yi, up)
		}
	})
	return op.out, nil
}

// DiffWRT implements gorgonia.SDOp.
func (op *swigluOp) DiffWRT(n int) []bool { return all(n) }

// SymDiff implements gorgonia.SDOp.
func (op *swigluOp) SymDiff(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := gorgonia.ApplyOp(&swigluGrad{newFused("swigluGrad", in[0].Shape().Clone(), 2, 2)}, in[0], grad)
	return gorgonia.Nodes{dx}, err
}

// swigluGrad is dup = dy∘silu(gate), dgate = dy∘up∘σ(gate)·(1 + gate·(1 − σ(gate))).
type swigluGrad struct{ fused }

// Do implements gorgonia.Op.
func (op *swigluGrad) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	x, dy, dx := floats(in[0]), floats(in[1]), op.data()
	rows, dim := op.shape[0], op.shape[1]/2
	parallelRows(rows, func(from, to int) {
		for i := from; i < to; i++ {
			gate, up := x[i*2*dim:][:dim], x[i*2*dim+dim:][:dim]
			dgate, dup, dyi := dx[i*2*dim:][:dim], dx[i*2*dim+dim:][:dim], dy[i*dim:][:dim]
			for j, g := range gate {
				dup[j] = min(-g, 80) // beyond, the sigmoid is 0 and its exponential overflows
			}
			kernels.ExpSum(dup, 0)
			for j, g := range gate {
				s := 1 / (1 + dup[j])
				dup[j] = dyi[j] * g * s
				dgate[j] = dyi[j] * up[j] * s * (1 + g*(1-s))
			}
		}
	})
	return op.out, nil
}
