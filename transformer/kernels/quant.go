package kernels

import (
	"encoding/binary"
	"math"
)

// How quantised weights and inputs lie in memory. internal/gen knows the same numbers.
//
// Weights come in panels of 32 rows, a panel in groups of 32 columns, a group in two halves of 16 rows, a half in eight lines of 64 bytes: line i
// has columns 4i to 4i+3 of each of the 16 rows, so that one VPDPBUSD adds four products to 16 sums. That instruction takes one factor unsigned: the weights,
// plus 128. What this adds too much is 128 times the sum of the input's group, whatever the row; each group of an input carries it.
//
// Half a group of four-bit weights is four lines: line i has columns 4i to 4i+3 in the low halves of its bytes, columns 16 more in the high
// halves, each as the weight plus 8. Multiplied by 16 they have the same correction as eight-bit ones.
const (
	panelRows = 32 // rows that lie together, for weights of every format
	groupSize = 32 // columns that share a scale

	halfRows = panelRows / 2
	lineSize = 4 * halfRows
)

// quantGroup is 32 numbers of an input as integers in [-127, 127] times scale.
type quantGroup struct {
	values     [groupSize]int8
	scale      float32
	correction int32 // -128 times the sum of values
}

// Blocks of GGML's formats (ggml-common.h of llama.cpp documents them): a float16 scale, then the weights.
const (
	q8BlockSize = 2 + groupSize
	q4BlockSize = 2 + groupSize/2
)

// putQ8 stores one group of a row: integers in [-128, 127].
func putQ8(group []byte, row int, values []byte) {
	group = halfOf(group, row)
	for i := range groupSize / 4 {
		four := binary.LittleEndian.Uint32(values[4*i:])
		binary.LittleEndian.PutUint32(group[i*lineSize+4*(row%halfRows):], four^0x80808080)
	}
}

// halfOf gives the half of a group that row of the panel belongs to.
func halfOf(group []byte, row int) []byte {
	half := len(group) / 2
	return group[row/halfRows*half:][:half]
}

// putQ4 stores one group of a row: 16 bytes, of which byte i has column i in its low half and column i+16 in its high half.
func putQ4(group []byte, row int, values []byte) {
	group = halfOf(group, row)
	for i := range groupSize / 8 {
		copy(group[i*lineSize+4*(row%halfRows):][:4], values[4*i:])
	}
}

// groupWeight gives one weight of a group, without its scale.
func groupWeight(format Format, group []byte, row, col int) int {
	group = halfOf(group, row)
	if format == Q8 {
		return int(group[col/4*lineSize+4*(row%halfRows)+col%4]) - 128
	}
	b := group[col%16/4*lineSize+4*(row%halfRows)+col%4]
	if col >= groupSize/2 {
		b >>= 4
	}
	return int(b&0xf) - 8
}

// panelPlain multiplies a panel by one input, whose groups are xStep apart, on any processor.
func panelPlain(format Format, w []byte, scales []uint16, x []quantGroup, xStep, groups int, out []float32, add bool) {
	size := format.groupBytes()
	var sums [panelRows]float32
	for g := range groups {
		group, in := w[g*size:][:size], &x[g*xStep]
		for r := range sums {
			sums[r] += float32(dotGroup(format, group, r, in)) * (halfToFloat(scales[g*panelRows+r]) * in.scale)
		}
	}
	put(out[:panelRows], sums[:], add)
}

func dotGroup(format Format, group []byte, row int, in *quantGroup) int32 {
	group = halfOf(group, row)
	row %= halfRows
	if format == Q8 {
		sum := in.correction
		for i := range groupSize / 4 {
			w := group[i*lineSize+4*row:][:4]
			v := in.values[4*i:][:4]
			sum += int32(w[0])*int32(v[0]) + int32(w[1])*int32(v[1]) + int32(w[2])*int32(v[2]) + int32(w[3])*int32(v[3])
		}
		return sum
	}
	sum := in.correction / 16
	for i := range groupSize / 8 {
		w := group[i*lineSize+4*row:][:4]
		low, high := in.values[4*i:][:4], in.values[4*i+16:][:4]
		for j, b := range w {
			sum += int32(b&0xf)*int32(low[j]) + int32(b>>4)*int32(high[j])
		}
	}
	return sum
}

// quantizePlain quantises groups of 32 numbers that follow one another; results are step apart.
func quantizePlain(to []quantGroup, step int, x []float32) {
	for g := 0; g*groupSize < len(x); g++ {
		part := x[g*groupSize:][:groupSize]
		out := &to[g*step]
		var most float32
		for _, v := range part {
			most = max(most, float32(math.Abs(float64(v))))
		}
		var inverse float32
		if most >= 1e-36 { // under it the quotient may be infinite
			inverse = 127 / most
		}
		out.scale = most / 127
		var sum int32
		for i, v := range part {
			q := int8(max(-128, min(127, math.RoundToEven(float64(v*inverse)))))
			out.values[i] = q
			sum += int32(q)
		}
		out.correction = -128 * sum
	}
}
