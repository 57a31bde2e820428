package kernels

import "fmt"

// inputRows is how many inputs lie side by side in an Input of floats.
const inputRows = 12

// Input is n vectors of cols numbers, in the form that matrices of one kind want. It grows as needed and is used again and again. The zero value
// is ready for Reset. Quantised inputs cost 1.25 bytes a number.
type Input struct {
	n, cols   int
	quantised bool

	quant  []quantGroup // (groups, n)
	floats []float32    // blocks of 12 vectors, the last one shorter: (blocks, cols, 12)
}

// Reset makes the input one of n vectors of cols numbers for matrices of a format. Matrices of Q8 and Q4 take the same inputs, and so do those of F32,
// F16 and BF16. Every vector must be Set after it.
func (in *Input) Reset(f Format, n, cols int) {
	in.n, in.cols, in.quantised = n, cols, f.Quantised()
	if in.quantised {
		in.quant = grow(in.quant, ceilDiv(cols, groupSize)*n)
	} else {
		in.floats = grow(in.floats, n*cols)
	}
}

// grow gives a slice of n elements, whatever they are.
func grow[T any](s []T, n int) []T {
	if cap(s) >= n {
		return s[:n]
	}
	return aligned[T](n + n/4)[:n]
}

// Len is the number of vectors, Cols their length.
func (in *Input) Len() int { return in.n }

// Cols is the length of a vector.
func (in *Input) Cols() int { return in.cols }

// Set stores vector i, of Cols numbers. Different vectors may be set at the same time.
//
// Quantised, each 32 numbers are divided by the greatest of them in size over 127 and rounded to the nearest integer, as in llama.cpp, but with the
// quotient kept as float32.
func (in *Input) Set(i int, x []float32) {
	if uint(i) >= uint(in.n) || len(x) != in.cols {
		panic(fmt.Sprintf("kernels: vector %d of %d numbers for an input of %d vectors of %d", i, len(x), in.n, in.cols))
	}
	if !in.quantised {
		block := i / inputRows
		width := min(inputRows, in.n-block*inputRows)
		to := in.floats[block*inputRows*in.cols+i%inputRows:]
		if width == 1 {
			copy(to, x)
			return
		}
		for p, v := range x {
			to[p*width] = v
		}
		return
	}
	whole := in.cols / groupSize
	quantize(in.quant[i:], in.n, x[:whole*groupSize])
	if rest := x[whole*groupSize:]; len(rest) > 0 {
		var part [groupSize]float32
		copy(part[:], rest)
		quantize(in.quant[whole*in.n+i:], in.n, part[:])
	}
}
