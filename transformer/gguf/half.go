package gguf

import "math"

// fromHalf widens an IEEE 754 binary16 exactly: 1 bit of sign, 5 of exponent (bias 15), 10 of mantissa.
func fromHalf(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exponent, mantissa := uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exponent {
	case 0x1f: // infinity, NaN
		return math.Float32frombits(sign | 0xff<<23 | mantissa<<13)
	case 0: // zero and subnormals: mantissa times 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(mantissa)*0x1p-24))
	default:
		return math.Float32frombits(sign | (exponent+127-15)<<23 | mantissa<<13)
	}
}

// toHalf rounds to the nearest binary16, ties to even. What is too large becomes infinite; a NaN stays one.
func toHalf(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits>>16) & 0x8000
	switch abs := bits &^ (1 << 31); {
	case abs > 0x7f800000:
		return sign | 0x7e00
	case abs >= 0x47800000: // 2^16
		return sign | 0x7c00
	case abs < 0x38800000: // below 2^-14: a float32 next to 2^-1 has steps of 2^-24, which are the subnormals' steps
		return sign | uint16(math.Float32bits(math.Float32frombits(abs)+0.5)-math.Float32bits(0.5))
	default: // the carry of the rounding may raise the exponent, up to infinity
		return sign | uint16((abs+0xfff+abs>>13&1)>>13-(127-15)<<10)
	}
}

// toBrain rounds to the nearest bfloat16, ties to even. A NaN stays one.
func toBrain(v float32) uint16 {
	bits := math.Float32bits(v)
	if bits&^(1<<31) > 0x7f800000 {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

func fromBrain(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }
