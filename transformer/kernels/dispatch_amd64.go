package kernels

import "unsafe"

// The functions of this file choose by level. They trust their callers, who have checked every slice.

func matVecQ(format Format, w []byte, scales []uint16, x []quantGroup, xStep, groups, blocks int, out []float32, add bool) {
	if level == Plain {
		matVecPlain(format, w, scales, x, xStep, groups, blocks, out, add)
		return
	}
	step := xStep * int(unsafe.Sizeof(quantGroup{}))
	in := (*byte)(unsafe.Pointer(&x[0]))
	switch {
	case level == AVX512 && format == Q8:
		matVecQ8AVX512(&w[0], &scales[0], in, step, groups, blocks, &out[0], add)
	case level == AVX512:
		matVecQ4AVX512(&w[0], &scales[0], in, step, groups, blocks, &out[0], add)
	case format == Q8:
		matVecQ8AVX2(&w[0], &scales[0], in, step, groups, blocks, &out[0], add)
	default:
		matVecQ4AVX2(&w[0], &scales[0], in, step, groups, blocks, &out[0], add)
	}
}

// matMulQ multiplies one or two blocks by n inputs, at most maxInputs, whose first groups lie side by side.
func matMulQ(format Format, w []byte, scales []uint16, x []quantGroup, xStep, groups, blocks, n int, out []float32, outStep int, add bool) {
	if level != AVX512 {
		for i := range n { // the block's weights stay in the cache
			matVecQ(format, w, scales, x[i:], xStep, groups, blocks, out[i*outStep:], add)
		}
		return
	}
	step := xStep * int(unsafe.Sizeof(quantGroup{}))
	in := (*byte)(unsafe.Pointer(&x[0]))
	switch {
	case format == Q8 && blocks == 2:
		matMulQ8TwoAVX512(&w[0], &scales[0], in, step, groups, n, &out[0], 4*outStep, add)
	case format == Q8:
		matMulQ8OneAVX512(&w[0], &scales[0], in, step, groups, n, &out[0], 4*outStep, add)
	case blocks == 2:
		matMulQ4TwoAVX512(&w[0], &scales[0], in, step, groups, n, &out[0], 4*outStep, add)
	default:
		matMulQ4OneAVX512(&w[0], &scales[0], in, step, groups, n, &out[0], 4*outStep, add)
	}
}

// quantize takes whole groups.
func quantize(to []quantGroup, step int, x []float32) {
	groups := len(x) / groupSize
	if groups == 0 {
		return
	}
	bytes := step * int(unsafe.Sizeof(quantGroup{}))
	switch level {
	case AVX512:
		quantizeAVX512((*byte)(unsafe.Pointer(&to[0])), bytes, &x[0], groups)
	case AVX2:
		quantizeAVX2((*byte)(unsafe.Pointer(&to[0])), bytes, &x[0], groups)
	default:
		quantizePlain(to, step, x)
	}
}

// tileOnce computes as many of the rows at a as the level has a kernel for, and says how many.
func tileOnce(format Format, rows, depth int, a *float32, aRow, aStep int, b unsafe.Pointer, bStep, cols int, c *float32, cRow int, alpha, beta float32) int {
	switch level {
	case AVX512:
		return tileAVX512(format, rows, depth, a, aRow, aStep, b, bStep, cols, c, cRow, alpha, beta)
	case AVX2:
		return tileAVX2(format, rows, depth, a, aRow, aStep, b, bStep, cols, c, cRow, alpha, beta)
	default:
		tilePlain(format, rows, depth, a, aRow, aStep, b, bStep, cols, c, cRow, alpha, beta)
		return rows
	}
}
