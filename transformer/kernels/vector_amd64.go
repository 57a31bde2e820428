package kernels

// The functions of this file choose by level. AVX-512's take any length; AVX2's take multiples of 8, and plain Go does the rest. Lengths were
// checked by the callers.

func add(x, y []float32) {
	n := len(x)
	switch {
	case level == AVX512 && n > 0:
		addAVX512(&x[0], &y[0], n)
		return
	case level == AVX2 && n >= 8:
		n &^= 7
		addAVX2(&x[0], &y[0], n)
		x, y = x[n:], y[n:]
	}
	addPlain(x, y)
}

func sumSquares(x []float32) float32 {
	n := len(x)
	var sum float32
	switch {
	case level == AVX512 && n > 0:
		return sumSquaresAVX512(&x[0], n)
	case level == AVX2 && n >= 8:
		n &^= 7
		sum = sumSquaresAVX2(&x[0], n)
		x = x[n:]
	}
	return sum + sumSquaresPlain(x)
}

func scaleMul(out, x, weight []float32, by float32) {
	n := len(out)
	switch {
	case level == AVX512 && n > 0:
		scaleMulAVX512(&out[0], &x[0], &weight[0], n, by)
		return
	case level == AVX2 && n >= 8:
		n &^= 7
		scaleMulAVX2(&out[0], &x[0], &weight[0], n, by)
		out, x, weight = out[n:], x[n:], weight[n:]
	}
	scaleMulPlain(out, x, weight, by)
}

func scale(out, x []float32, by float32) {
	n := len(out)
	switch {
	case level == AVX512 && n > 0:
		scaleAVX512(&out[0], &x[0], n, by)
		return
	case level == AVX2 && n >= 8:
		n &^= 7
		scaleAVX2(&out[0], &x[0], n, by)
		out, x = out[n:], x[n:]
	}
	scalePlain(out, x, by)
}

func swiGLU(gate, up []float32) {
	n := len(gate)
	switch {
	case level == AVX512 && n > 0:
		swiGLUAVX512(&gate[0], &up[0], n)
		return
	case level == AVX2 && n >= 8:
		n &^= 7
		swiGLUAVX2(&gate[0], &up[0], n)
		gate, up = gate[n:], up[n:]
	}
	swiGLUPlain(gate, up)
}

func maximum(x []float32) float32 {
	n := len(x)
	switch {
	case level == AVX512 && n > 0:
		return maximumAVX512(&x[0], n)
	case level == AVX2 && n >= 8:
		n &^= 7
		return max(maximumAVX2(&x[0], n), maximumPlain(x[n:]))
	}
	return maximumPlain(x)
}

func expSum(x []float32, by, shift float32) float32 {
	n := len(x)
	var sum float32
	switch {
	case level == AVX512 && n > 0:
		return expSumAVX512(&x[0], n, by, shift)
	case level == AVX2 && n >= 8:
		n &^= 7
		sum = expSumAVX2(&x[0], n, by, shift)
		x = x[n:]
	}
	return sum + expSumPlain(x, by, shift)
}

func rotateHalves(low, high, cos, sin []float32) {
	n := len(cos)
	switch {
	case level == AVX512 && n > 0:
		rotateHalvesAVX512(&low[0], &high[0], &cos[0], &sin[0], n)
		return
	case level == AVX2 && n >= 8:
		n &^= 7
		rotateHalvesAVX2(&low[0], &high[0], &cos[0], &sin[0], n)
		low, high, cos, sin = low[n:], high[n:], cos[n:], sin[n:]
	}
	rotateHalvesPlain(low, high, cos, sin)
}

func rotatePairs(x, cos, sin []float32) {
	n := len(cos)
	switch {
	case level == AVX512 && n >= 8:
		n &^= 7
		rotatePairsAVX512(&x[0], &cos[0], &sin[0], n)
	case level == AVX2 && n >= 4:
		n &^= 3
		rotatePairsAVX2(&x[0], &cos[0], &sin[0], n)
	default:
		n = 0
	}
	rotatePairsPlain(x[2*n:], cos[n:], sin[n:])
}

func fromHalf(to []float32, from []uint16) {
	n := len(to)
	switch {
	case level == AVX512 && n > 0:
		fromHalfAVX512(&to[0], &from[0], n)
		return
	case level == AVX2 && n >= 8:
		n &^= 7
		fromHalfAVX2(&to[0], &from[0], n)
		to, from = to[n:], from[n:]
	}
	fromHalfPlain(to, from)
}

func toHalf(to []uint16, from []float32) {
	n := len(to)
	switch {
	case level == AVX512 && n > 0:
		toHalfAVX512(&to[0], &from[0], n)
		return
	case level == AVX2 && n >= 8:
		n &^= 7
		toHalfAVX2(&to[0], &from[0], n)
		to, from = to[n:], from[n:]
	}
	toHalfPlain(to, from)
}

func firstAbove(x []float32, limit float32) int {
	n := len(x)
	switch {
	case level == AVX512 && n > 0:
		return firstAboveAVX512(&x[0], n, limit)
	case level == AVX2 && n >= 8:
		n &^= 7
		if i := firstAboveAVX2(&x[0], n, limit); i < n {
			return i
		}
		return n + firstAbovePlain(x[n:], limit)
	}
	return firstAbovePlain(x, limit)
}
