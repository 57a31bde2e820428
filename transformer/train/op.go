package train

import (
	"fmt"
	"hash"
	"hash/fnv"
	"io"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// fused is what every operation of this package shares: its place in Gorgonia's type system and one output that
// it owns and overwrites at each run, so that a step allocates nothing of the size of an activation or a parameter.
type fused struct {
	name  string
	ranks []int // rank of each input; 0 is a scalar
	shape tensor.Shape
	out   *tensor.Dense
}

func newFused(name string, shape tensor.Shape, ranks ...int) fused {
	f := fused{name: name, ranks: ranks, shape: shape}
	if !shape.IsScalar() {
		f.out = tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float32))
	}
	return f
}

func rankType(rank int) hm.Type {
	if rank == 0 {
		return tensor.Float32
	}
	return gorgonia.TensorType{Dims: rank, Of: tensor.Float32}
}

// Arity is the number of inputs.
func (f *fused) Arity() int { return len(f.ranks) }

// Type is the operation's signature over float32 tensors.
func (f *fused) Type() hm.Type {
	types := make([]hm.Type, 0, len(f.ranks)+1)
	for _, r := range f.ranks {
		types = append(types, rankType(r))
	}
	return hm.NewFnType(append(types, rankType(f.shape.Dims()))...)
}

// InferShape gives the shape fixed at construction.
func (f *fused) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) { return f.shape.Clone(), nil }

// ReturnsPtr is true for tensors: consumers may read the output in place.
func (f *fused) ReturnsPtr() bool { return f.out != nil }

// CallsExtern is false: everything is Go.
func (f *fused) CallsExtern() bool { return false }

// OverwritesInput is -1: no operation here overwrites an input.
func (f *fused) OverwritesInput() int { return -1 }

// WriteHash tells the operation apart from others on the same inputs.
func (f *fused) WriteHash(h hash.Hash) {
	// A hash.Hash never fails to write.
	_, _ = io.WriteString(h, f.String())
}

// Hashcode is a short form of WriteHash.
func (f *fused) Hashcode() uint32 {
	h := fnv.New32a()
	f.WriteHash(h)
	return h.Sum32()
}

func (f *fused) String() string { return fmt.Sprintf("%s%v", f.name, f.shape) }

// data is the output's storage.
func (f *fused) data() []float32 { return f.out.Data().([]float32) }

// floats gives the storage of a float32 tensor value.
func floats(v gorgonia.Value) []float32 { return v.Data().([]float32) }

// scalar gives the number in a scalar value.
func scalar(v gorgonia.Value) float32 { return v.Data().(float32) }

// all says that an operation can be differentiated by each of n inputs.
func all(n int) []bool {
	out := make([]bool, n)
	for i := range out {
		out[i] = true
	}
	return out
}
