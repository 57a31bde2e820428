package train

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// linearOp is y = x·Wᵀ (+ residual). x is (rows, in), W is (out, in) as the weights file stores it, y and the optional
// residual are (rows, out).
type linearOp struct {
	fused
	in int
}

// linear applies W to x; residual may be nil.
func linear(x, w, residual *gorgonia.Node) (*gorgonia.Node, error) {
	rows, in, out := x.Shape()[0], x.Shape()[1], w.Shape()[0]
	if residual == nil {
		return gorgonia.ApplyOp(&linearOp{newFused("linear", tensor.Shape{rows, out}, 2, 2), in}, x, w)
	}
	return gorgonia.ApplyOp(&linearOp{newFused("linearAdd", tensor.Shape{rows, out}, 2, 2, 2), in}, x, w, residual)
}

// Do implements gorgonia.Op.
func (op *linearOp) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	rows, out, y := op.shape[0], op.shape[1], op.data()
	beta := float32(0)
	if len(in) == 3 {
		copy(y, floats(in[2]))
		beta = 1
	}
	gemm(false, true, rows, out, op.in, 1, floats(in[0]), op.in, floats(in[1]), op.in, beta, y, out)
	return op.out, nil
}

// DiffWRT implements gorgonia.SDOp.
func (op *linearOp) DiffWRT(n int) []bool { return all(n) }

// SymDiff implements gorgonia.SDOp: dx = dy·W, dW = dyᵀ·x, and the residual's gradient is dy itself.
func (op *linearOp) SymDiff(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	rows, out := op.shape[0], op.shape[1]
	dx, err := gorgonia.ApplyOp(&product{newFused("linearGradInput", tensor.Shape{rows, op.in}, 2, 2), false, out}, grad, in[1])
	if err != nil {
		return nil, err
	}
	dw, err := gorgonia.ApplyOp(&product{newFused("linearGradWeight", tensor.Shape{out, op.in}, 2, 2), true, rows}, grad, in[0])
	if err != nil {
		return nil, err
	}
	if len(in) == 3 {
		return gorgonia.Nodes{dx, dw, grad}, nil
	}
	return gorgonia.Nodes{dx, dw}, nil
}

// product is op(A)·B; A is transposed when transA is set. It has no gradient of its own.
type product struct {
	fused
	transA bool
	inner  int // the dimension that is summed over
}

// Do implements gorgonia.Op.
func (op *product) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	m, n := op.shape[0], op.shape[1]
	lda := op.inner
	if op.transA {
		lda = m
	}
	gemm(op.transA, false, m, n, op.inner, 1, floats(in[0]), lda, floats(in[1]), n, 0, op.data(), n)
	return op.out, nil
}
