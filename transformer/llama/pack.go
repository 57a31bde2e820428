package llama

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"teller/transformer/gguf"
	"teller/transformer/kernels"
	"teller/transformer/weights"
)

// packer turns a file's tensors into matrices and keeps the first error.
type packer struct {
	model    *weights.Model
	quantise bool
	err      error
}

// target is a tensor and the matrix that it becomes. row gives the tensor's row for each of the matrix; nil keeps their order.
type target struct {
	to   **kernels.Matrix
	from weights.Tensor
	row  func(int) int
}

// vector gives a norm's weights.
func (p *packer) vector(t weights.Tensor) []float32 { return t.Float32s() }

func (p *packer) one(to **kernels.Matrix, from weights.Tensor) { p.together(target{to, from, nil}) }

// together packs matrices that multiply the same input. Where one is quantised and another is not, which no usual file has, all become
// float32: they want their input in one form.
func (p *packer) together(targets ...target) {
	formats := make([]kernels.Format, len(targets))
	mixed := false
	for i, t := range targets {
		formats[i] = p.format(t.from)
		mixed = mixed || formats[i].Quantised() != formats[0].Quantised()
	}
	for i, t := range targets {
		if mixed && formats[i].Quantised() {
			formats[i] = kernels.F32
		}
		if p.err == nil {
			*t.to, p.err = pack(t.from, formats[i], t.row)
			p.model.Forget(t.from)
		}
	}
}

// format is how a tensor's weights are kept.
func (p *packer) format(t weights.Tensor) kernels.Format {
	f, ok := formatOf[t.Type]
	switch {
	case !ok:
		p.err = errors.Join(p.err, fmt.Errorf("tensor %q is %v, which no kernel multiplies", t.Name, t.Type))
	case p.quantise && !f.Quantised():
		return kernels.Q8
	case f.Quantised() && t.Shape[1]%gguf.Block != 0:
		return kernels.F32
	}
	return f
}

var formatOf = map[gguf.Type]kernels.Format{
	gguf.F32: kernels.F32, gguf.F16: kernels.F16, gguf.BF16: kernels.BF16, gguf.Q8_0: kernels.Q8, gguf.Q4_0: kernels.Q4,
}

// packRows is how many rows are packed at a time; it divides by what lies together in a Matrix.
const packRows = 128

// pack makes a matrix of a tensor on all processors.
func pack(t weights.Tensor, format kernels.Format, row func(int) int) (*kernels.Matrix, error) {
	rows, cols := t.Shape[0], t.Shape[1]
	m := kernels.NewMatrix(format, rows, cols)
	floats := sync.Pool{New: func() any { values := make([]float32, cols); return &values }}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for from := 0; from < rows; from += packRows {
		group.Go(func() error {
			values := floats.Get().(*[]float32)
			defer floats.Put(values)
			for r := from; r < min(rows, from+packRows); r++ {
				source := r
				if row != nil {
					source = row(r)
				}
				if err := packRow(m, r, t.Type, t.Row(source), *values); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return m, group.Wait()
}

// packRow sets one row, exactly where the file's format is the matrix's.
func packRow(m *kernels.Matrix, row int, from gguf.Type, data []byte, values []float32) error {
	if formatOf[from] == m.Format {
		return m.SetRows(row, data)
	}
	gguf.Decode(from, values, data)
	return m.SetFloats(row, values)
}
