package train

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
)

// noiseSource settles what the dropouts of a graph drop: a hash of seed, step and place, so that a resumed run drops the same.
type noiseSource struct {
	seed, step uint64
	ops        uint64 // dropouts made so far
}

// dropoutOp is y = x∘m / (1−p), where each element of m is 0 with probability p (Srivastava et al. 2014), which may differ by row. x and y
// are (rows, dim).
type dropoutOp struct {
	fused
	p     func(row int) float64
	noise *noiseSource
	id    uint64
}

func dropout(x *gorgonia.Node, p func(row int) float64, noise *noiseSource) (*gorgonia.Node, error) {
	noise.ops++
	op := &dropoutOp{newFused(fmt.Sprintf("dropout%d", noise.ops), x.Shape().Clone(), 2), p, noise, noise.ops}
	return gorgonia.ApplyOp(op, x)
}

// Do implements gorgonia.Op.
func (op *dropoutOp) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	op.apply(op.data(), floats(in[0]))
	return op.out, nil
}

func (op *dropoutOp) apply(y, x []float32) {
	rows, dim := op.shape[0], op.shape[1]
	parallelRows(rows, func(from, to int) {
		for i := from; i < to; i++ {
			p := op.p(i)
			limit, scale := int64(p*(1<<16)), float32(1/(1-p))
			state := mixed(mixed(mixed(op.noise.seed)+op.noise.step)+op.id<<32) + uint64(i)
			xi, yi := x[i*dim:][:dim], y[i*dim:][:dim]
			var bits uint64
			for j, v := range xi {
				if j%4 == 0 { // a draw makes four decisions
					state += 0x9e3779b97f4a7c15
					bits = mixed(state)
				}
				kept := ^uint32((int64(bits&0xffff) - limit) >> 63) // all ones or none: a branch here is taken wrong too often
				yi[j] = math.Float32frombits(math.Float32bits(v*scale) & kept)
				bits >>= 16
			}
		}
	})
}

// mixed is the finaliser of SplitMix64 (Steele, Lea & Flood 2014).
func mixed(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// DiffWRT implements gorgonia.SDOp.
func (op *dropoutOp) DiffWRT(n int) []bool { return all(n) }

// SymDiff implements gorgonia.SDOp.
func (op *dropoutOp) SymDiff(_ gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	n, err := gorgonia.ApplyOp(&dropoutGrad{newFused(op.name+"Grad", op.shape.Clone(), 2), op}, grad)
	return gorgonia.Nodes{n}, err
}

// dropoutGrad drops the same elements of the gradient.
type dropoutGrad struct {
	fused
	of *dropoutOp
}

// Do implements gorgonia.Op.
func (g *dropoutGrad) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	g.of.apply(g.data(), floats(in[0]))
	return g.out, nil
}
