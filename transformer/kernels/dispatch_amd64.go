package kernels

import "unsafe"

// The functions of this file choose by level. They trust their callers, who have checked every slice.

// matVecQ multiplies panels by one input.
func matVecQ(format Format, w []byte, scales []uint16, x []quantGroup, groups, panels int, out []float32, add bool) {
	if level != AVX512 {
		for p := range panels {
			panelQ(format, w[p*groups*format.groupBytes():], scales[p*groups*panelRows:], x, 1, groups, out[p*panelRows:], add)
		}
		return
	}
	in := (*byte)(unsafe.Pointer(&x[0]))
	if format == Q8 {
		matVecQ8AVX512(&w[0], &scales[0], in, groups, panels, &out[0], add)
	} else {
		matVecQ4AVX512(&w[0], &scales[0], in, groups, panels, &out[0], add)
	}
}

// matMulQ multiplies a panel by n inputs, at most maxInputs, whose first groups lie side by side.
func matMulQ(format Format, w []byte, scales []uint16, x []quantGroup, xStep, groups, n int, out []float32, outStep int, add bool) {
	if level != AVX512 {
		for i := range n { // the panel's weights stay in the cache
			panelQ(format, w, scales, x[i:], xStep, groups, out[i*outStep:], add)
		}
		return
	}
	step := xStep * int(unsafe.Sizeof(quantGroup{}))
	in := (*byte)(unsafe.Pointer(&x[0]))
	if format == Q8 {
		matMulQ8AVX512(&w[0], &scales[0], in, step, groups, n, &out[0], 4*outStep, add)
	} else {
		matMulQ4AVX512(&w[0], &scales[0], in, step, groups, n, &out[0], 4*outStep, add)
	}
}

// panelQ multiplies a panel by one input whose groups are xStep apart, without AVX-512.
func panelQ(format Format, w []byte, scales []uint16, x []quantGroup, xStep, groups int, out []float32, add bool) {
	if level == Plain {
		panelPlain(format, w, scales, x, xStep, groups, out, add)
		return
	}
	in, step, half := (*byte)(unsafe.Pointer(&x[0])), xStep*int(unsafe.Sizeof(quantGroup{})), format.groupBytes()/2
	for h := range 2 {
		if format == Q8 {
			matVecQ8AVX2(&w[h*half], &scales[h*halfRows], in, step, groups, &out[h*halfRows], add)
		} else {
			matVecQ4AVX2(&w[h*half], &scales[h*halfRows], in, step, groups, &out[h*halfRows], add)
		}
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

// wide is tile for one row of 64 or 48 columns, whose first 32 begin at b, the others at other. ok is false where there is nothing better
// than two tiles.
func wide(format Format, depth int, a *float32, aStep int, b, other unsafe.Pointer, bStep, cols int, c *float32, alpha, beta float32) (ok bool) {
	switch {
	case level != AVX512:
		return false
	case format == F32 && cols == 64:
		wideF3264AVX512(depth, a, aStep, (*float32)(b), (*float32)(other), bStep, c, alpha, beta)
	case format == F32 && cols == 48:
		wideF3248AVX512(depth, a, aStep, (*float32)(b), (*float32)(other), bStep, c, alpha, beta)
	case format == F16 && cols == 64:
		wideF1664AVX512(depth, a, aStep, (*uint16)(b), (*uint16)(other), bStep, c, alpha, beta)
	case format == F16 && cols == 48:
		wideF1648AVX512(depth, a, aStep, (*uint16)(b), (*uint16)(other), bStep, c, alpha, beta)
	default:
		return false
	}
	return true
}
