package opencl

import (
	"fmt"

	"teller/transformer/llama"
)

// Accelerator runs models on a piece of hardware.
type Accelerator struct{ Hardware Hardware }

var _ llama.Accelerator = Accelerator{}

// Name is "opencl: " and the hardware's name.
func (a Accelerator) Name() string { return "opencl: " + a.Hardware.Name }

// Room is what nine tenths of the memory have left: the rest is the driver's, and that of what else runs there.
func (a Accelerator) Room(m *llama.Model) int {
	room := a.Hardware.Memory/10*9 - modelBytes(m) - workBytes(m, usualRows, headRows)
	return min(room, a.Hardware.MaxAllocation*m.NumLayers) // a layer's part of the cache is one buffer
}

// Open compiles the kernels, uploads the weights and runs one token. Errors say what the device lacks.
func (a Accelerator) Open(m *llama.Model, pages int) (llama.Device, error) {
	if pages < 1 {
		return nil, fmt.Errorf("a cache of %d pages, must be at least 1", pages)
	}
	d, err := open(a, m, pages)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// modelBytes is the memory of a model's weights.
func modelBytes(m *llama.Model) int {
	n := 4 * m.Hidden * (1 + 2*m.NumLayers) // the norms
	for _, w := range m.Matrices() {
		weights, scales := sizesOf(w.Format, w.Rows, w.Cols)
		n += weights + scales
	}
	return n
}

// workBytes is the memory that steps of so many rows compute in.
func workBytes(m *llama.Model, rows, outputs int) int {
	s := sizesFor(m)
	return 4 * (rows*(3*s.hidden+s.qkv+s.mixed+2*m.Intermediate+s.inner) + outputs*m.Vocab)
}
