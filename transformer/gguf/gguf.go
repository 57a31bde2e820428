// Package gguf reads and writes GGUF files, llama.cpp's format: typed metadata, then named tensors
// (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). It knows the number formats F32, F16, BF16, Q8_0 and Q4_0,
// and nothing of any model; transformer/weights reads architectures out of it.
//
// Parse trusts nothing in a file: whatever it returns has been checked against the bytes that are there, and it allocates no
// more than a small multiple of them.
package gguf

import (
	"fmt"
	"math"
)

// Type is the number format of a tensor, numbered as the files number it.
type Type uint32

// The formats that this package reads and writes. The quantised ones keep blocks of 32 numbers with a common F16 scale.
const (
	F32  Type = 0  // IEEE 754 binary32
	F16  Type = 1  // IEEE 754 binary16
	Q4_0 Type = 2  // scale, then 32 numbers of four bits, offset by 8
	Q8_0 Type = 8  // scale, then 32 signed bytes
	BF16 Type = 30 // the upper half of a binary32
)

// Block is how many numbers a block of Q8_0 or Q4_0 holds.
const Block = 32

// otherTypes names the formats that files have and this package refuses.
var otherTypes = map[Type]string{
	3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K",
	16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS",
	24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4",
}

func (t Type) String() string {
	switch t {
	case F32:
		return "F32"
	case F16:
		return "F16"
	case Q4_0:
		return "Q4_0"
	case Q8_0:
		return "Q8_0"
	case BF16:
		return "BF16"
	}
	if name, ok := otherTypes[t]; ok {
		return name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// Layout gives how many numbers a block holds and how many bytes it takes; 0, 0 for a format that this package does not know.
func (t Type) Layout() (numbers, bytes int) {
	switch t {
	case F32:
		return 1, 4
	case F16, BF16:
		return 1, 2
	case Q8_0:
		return Block, 2 + Block
	case Q4_0:
		return Block, 2 + Block/2
	default:
		return 0, 0
	}
}

// Tensor is one named tensor.
type Tensor struct {
	Name string
	Type Type
	// Shape is the extent of each dimension, slowest first: the reverse of how the file lists them. A matrix is (rows, cols).
	Shape []int
	// Data is the numbers, little-endian, row after row. After Parse it aliases the file's bytes.
	Data []byte
}

// Size is how many bytes the numbers of a shape take. It refuses what is negative, too large, or a row that is not whole blocks.
func (t Type) Size(shape []int) (int, error) {
	numbers, bytes := t.Layout()
	if numbers == 0 {
		return 0, fmt.Errorf("%v is not supported, only F32, F16, BF16, Q8_0 and Q4_0", t)
	}
	n := 1
	for _, extent := range shape {
		if extent < 0 {
			return 0, fmt.Errorf("shape %v has a negative extent", shape)
		}
		if extent > 0 && n > math.MaxInt/64/extent {
			return 0, fmt.Errorf("shape %v is too large", shape)
		}
		n *= extent
	}
	if numbers > 1 && (len(shape) == 0 || shape[len(shape)-1]%numbers != 0) {
		return 0, fmt.Errorf("%v wants rows of a multiple of %d numbers, shape %v has not", t, numbers, shape)
	}
	return n / numbers * bytes, nil
}

// Len is how many numbers the tensor holds.
func (t Tensor) Len() int {
	numbers, bytes := t.Type.Layout()
	if numbers == 0 {
		return 0
	}
	return len(t.Data) / bytes * numbers
}

// Rows is how many rows the tensor has: the product of all extents but the last.
func (t Tensor) Rows() int {
	n := 1
	for i := range len(t.Shape) - 1 {
		n *= t.Shape[i]
	}
	return n
}

// Row is the bytes of row i.
func (t Tensor) Row(i int) []byte {
	size := len(t.Data) / t.Rows()
	return t.Data[i*size : (i+1)*size : (i+1)*size]
}

// Float32s gives all numbers, decoded, as a new slice.
func (t Tensor) Float32s() []float32 {
	out := make([]float32, t.Len())
	Decode(t.Type, out, t.Data)
	return out
}

// File is a parsed file.
type File struct {
	Version  int
	Metadata *Metadata
	// Tensors are in the order of the file.
	Tensors []Tensor
}
