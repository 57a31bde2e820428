package kernels

import "math"

// The element-wise functions for any processor.

func addPlain(x, y []float32) {
	for i, v := range y[:len(x)] {
		x[i] += v
	}
}

func sumSquaresPlain(x []float32) float32 {
	var sum float32
	for _, v := range x {
		sum += v * v
	}
	return sum
}

func scaleMulPlain(out, x, weight []float32, by float32) {
	for i := range out {
		out[i] = x[i] * by * weight[i]
	}
}

func scalePlain(out, x []float32, by float32) {
	for i := range out {
		out[i] = x[i] * by
	}
}

func swiGLUPlain(gate, up []float32) {
	for i, v := range gate {
		gate[i] = v * up[i] / (1 + exp(-v))
	}
}

// maximumPlain leaves NaN out, as the processor's instruction does.
func maximumPlain(x []float32) float32 {
	most := float32(math.Inf(-1))
	for _, v := range x {
		if v > most {
			most = v
		}
	}
	return most
}

func expSumPlain(x []float32, by, shift float32) float32 {
	var sum float32
	for i, v := range x {
		e := exp(v*by - shift)
		x[i] = e
		sum += e
	}
	return sum
}

func rotateHalvesPlain(low, high, cos, sin []float32) {
	for i, c := range cos {
		a, b, s := low[i], high[i], sin[i]
		low[i], high[i] = a*c-b*s, b*c+a*s
	}
}

func rotatePairsPlain(x, cos, sin []float32) {
	for i, c := range cos {
		a, b, s := x[2*i], x[2*i+1], sin[i]
		x[2*i], x[2*i+1] = a*c-b*s, b*c+a*s
	}
}

func fromHalfPlain(to []float32, from []uint16) {
	for i, v := range from {
		to[i] = halfToFloat(v)
	}
}

func toHalfPlain(to []uint16, from []float32) {
	for i, v := range from {
		to[i] = floatToHalf(v)
	}
}

func firstAbovePlain(x []float32, limit float32) int {
	for i, v := range x {
		if v > limit {
			return i
		}
	}
	return len(x)
}
