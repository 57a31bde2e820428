package kernels

import "math"

// exp is eˣ in float32, within 2 units in the last place. x counts as 88 above 88, and as the logarithm of the smallest normal number below
// that, so that nothing overflows and nothing is subnormal. The polynomial is that of Cephes' expf (Moshier 1992).
func exp(x float32) float32 {
	const (
		least    = -87.33655
		log2e    = 1.44269504088896341
		ln2High  = 0.693359375
		ln2Low   = -2.12194440e-4
		rounding = 3 << 22 // adding it leaves the nearest integer in the low bits of the mantissa
	)
	if x != x {
		return x
	}
	x = max(least, min(x, 88))
	shifted := x*log2e + rounding
	n := shifted - rounding
	r := x - n*ln2High - n*ln2Low
	p := float32(1.9875691500e-4)
	p = p*r + 1.3981999507e-3
	p = p*r + 8.3334519073e-3
	p = p*r + 4.1665795894e-2
	p = p*r + 1.6666665459e-1
	p = p*r + 5.0000001201e-1
	p = p*r*r + r + 1
	return math.Float32frombits(math.Float32bits(p) + math.Float32bits(shifted)<<23)
}
