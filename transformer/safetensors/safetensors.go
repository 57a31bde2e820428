// Package safetensors reads and writes tensors in the safetensors format
// (https://huggingface.co/docs/safetensors): an 8-byte little-endian header length, a JSON header, then
// the tensors' bytes. It knows the floating-point types F32, F16 and BF16, and nothing of any model.
//
// Parse trusts nothing in a file: whatever it returns has been checked against the bytes that are there.
package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
)

// DType is the element type of a tensor, spelled as the format spells it.
type DType string

// The element types that this package knows.
const (
	F32  DType = "F32"  // IEEE 754 binary32
	F16  DType = "F16"  // IEEE 754 binary16
	BF16 DType = "BF16" // the upper half of a binary32
)

// Size is the number of bytes of one element, 0 for an unknown type.
func (d DType) Size() int {
	switch d {
	case F32:
		return 4
	case F16, BF16:
		return 2
	default:
		return 0
	}
}

// Tensor is one named tensor.
type Tensor struct {
	Name  string
	DType DType
	// Shape is the extent of each dimension, slowest first. An empty shape is a scalar.
	Shape []int
	// Data holds the elements, little-endian, row-major. After Parse it aliases the file's bytes.
	Data []byte
}

// File is a parsed file.
type File struct {
	// Tensors are in the order of their bytes in the file.
	Tensors  []Tensor
	Metadata map[string]string
}

// New makes a tensor of the given type from values, whose number must be the product of shape.
// BF16 rounds to nearest, ties to even; F16 is only read, never written.
func New(name string, dtype DType, shape []int, values []float32) (Tensor, error) {
	n, err := elements(shape)
	if err != nil {
		return Tensor{}, fmt.Errorf("tensor %q: %w", name, err)
	}
	if n != len(values) {
		return Tensor{}, fmt.Errorf("tensor %q: shape %v wants %d values, got %d", name, shape, n, len(values))
	}
	t := Tensor{Name: name, DType: dtype, Shape: shape}
	switch dtype {
	case F32:
		t.Data = make([]byte, 0, 4*n)
		for _, v := range values {
			t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(v))
		}
	case BF16:
		t.Data = make([]byte, 0, 2*n)
		for _, v := range values {
			t.Data = binary.LittleEndian.AppendUint16(t.Data, toBF16(v))
		}
	default:
		return Tensor{}, fmt.Errorf("tensor %q: type %q cannot be written", name, dtype)
	}
	return t, nil
}

// Len is the number of elements.
func (t Tensor) Len() int {
	size := t.DType.Size()
	if size == 0 {
		return 0
	}
	return len(t.Data) / size
}

// Float32s gives the elements as new float32 values; all three types widen exactly.
func (t Tensor) Float32s() []float32 {
	out := make([]float32, t.Len())
	switch t.DType {
	case F32:
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
		}
	case F16:
		for i := range out {
			out[i] = fromF16(binary.LittleEndian.Uint16(t.Data[2*i:]))
		}
	case BF16:
		for i := range out {
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(t.Data[2*i:])) << 16)
		}
	}
	return out
}

// elements is the product of a shape's extents, checked for negative extents and overflow.
func elements(shape []int) (int, error) {
	n := 1
	for _, extent := range shape {
		if extent < 0 {
			return 0, fmt.Errorf("shape %v has a negative extent", shape)
		}
		if extent > 0 && n > math.MaxInt/8/extent {
			return 0, fmt.Errorf("shape %v is too large", shape)
		}
		n *= extent
	}
	return n, nil
}

// toBF16 rounds to nearest, ties to even. A NaN stays a NaN.
func toBF16(v float32) uint16 {
	bits := math.Float32bits(v)
	if math.IsNaN(float64(v)) {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

// fromF16 widens an IEEE 754 binary16: 1 sign bit, 5 exponent bits (bias 15), 10 mantissa bits.
func fromF16(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exponent := uint32(h >> 10 & 0x1f)
	mantissa := uint32(h & 0x3ff)
	switch exponent {
	case 0x1f: // infinity, NaN
		return math.Float32frombits(sign | 0xff<<23 | mantissa<<13)
	case 0: // zero and subnormals: mantissa times 2^-24
		v := float32(mantissa) * (1.0 / (1 << 24))
		return math.Float32frombits(sign | math.Float32bits(v))
	default:
		return math.Float32frombits(sign | (exponent+127-15)<<23 | mantissa<<13)
	}
}
