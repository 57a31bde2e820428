package kernels

import "math"

// Add adds y to x, which has its length.
func Add(x, y []float32) { add(x, y[:len(x)]) }

// RMSNorm sets out to x, scaled to a root mean square of one, times weight (Zhang and Sennrich 2019, eq. 4). All have one length; out may be x.
func RMSNorm(out, x, weight []float32, eps float32) {
	x, weight = x[:len(out)], weight[:len(out)]
	mean := sumSquares(x) / float32(len(x))
	scaleMul(out, x, weight, float32(1/math.Sqrt(float64(mean+eps))))
}

// SwiGLU sets gate to silu(gate) times up, of the same length (Shazeer 2020, eq. 6), with silu(v) = v / (1 + exp(-v)).
func SwiGLU(gate, up []float32) { swiGLU(gate, up[:len(gate)]) }

// Softmax sets x to exp(scale·x) over its sum. What is smaller than the greatest element by a factor of 1e38 and more comes out as about 1e-38, not 0. It
// returns the logarithm of the sum, so that the logarithm of a probability is scale·x less what it returns.
func Softmax(x []float32, by float32) float64 {
	if len(x) == 0 {
		return math.Inf(-1)
	}
	shift := greatest(x, by)
	sum := expSum(x, by, shift)
	scale(x, x, 1/sum)
	return float64(shift) + math.Log(float64(sum))
}

// ExpSum sets x to exp(x - shift) and gives the sum. With the greatest element as shift nothing overflows, and its logarithm plus shift is
// that of the sum of exp(x).
func ExpSum(x []float32, shift float32) float32 { return expSum(x, 1, shift) }

// greatest is the greatest of by·x.
func greatest(x []float32, by float32) float32 {
	if by >= 0 {
		return maximum(x) * by
	}
	least := x[0]
	for _, v := range x {
		least = min(least, v)
	}
	return least * by
}

// RotateHalves turns heads by the angles of their position: in each, element i with element i+half, as Hugging Face's files have them (RoPE; Su et al. 2021,
// eq. 34). cos and sin have half a head's length, x any number of heads.
func RotateHalves(x, cos, sin []float32) {
	half := len(cos)
	sin = sin[:half]
	for ; len(x) > 0; x = x[2*half:] {
		rotateHalves(x[:half], x[half:2*half], cos, sin)
	}
}

// RotatePairs is RotateHalves for the order of the original Llama and of GGUF files: element 2i with element 2i+1.
func RotatePairs(x, cos, sin []float32) {
	half := len(cos)
	sin = sin[:half]
	for ; len(x) > 0; x = x[2*half:] {
		rotatePairs(x[:2*half], cos, sin)
	}
}

// ToHalf converts to IEEE 754 binary16, rounding to the nearest, to even when two are equally near; to has the length of from.
func ToHalf(to []uint16, from []float32) { toHalf(to[:len(from)], from) }

// FromHalf converts from IEEE 754 binary16; to has the length of from.
func FromHalf(to []float32, from []uint16) { fromHalf(to[:len(from)], from) }
