package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Decode widens the numbers in data to dst, whose length must be theirs.
func Decode(t Type, dst []float32, data []byte) {
	le := binary.LittleEndian
	switch t {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(le.Uint32(data[4*i:]))
		}
	case F16:
		for i := range dst {
			dst[i] = fromHalf(le.Uint16(data[2*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = fromBrain(le.Uint16(data[2*i:]))
		}
	case Q8_0:
		for len(dst) > 0 {
			scale := fromHalf(le.Uint16(data))
			for i, q := range data[2 : 2+Block] {
				dst[i] = scale * float32(int8(q))
			}
			dst, data = dst[Block:], data[2+Block:]
		}
	case Q4_0: // byte i holds number i in its lower half and number i+16 in its upper one
		for len(dst) > 0 {
			scale := fromHalf(le.Uint16(data))
			for i, q := range data[2 : 2+Block/2] {
				dst[i] = scale * float32(int(q&15)-8)
				dst[i+Block/2] = scale * float32(int(q>>4)-8)
			}
			dst, data = dst[Block:], data[2+Block/2:]
		}
	default:
		panic(fmt.Sprintf("gguf: %v cannot be decoded", t))
	}
}

// Encode appends values in a format: F32, F16 and BF16 rounded to the nearest, Q8_0 with the scale that takes the largest of a
// block to 127. It refuses Q4_0, values that the format cannot hold, and a number of them that is not whole blocks.
func Encode(t Type, out []byte, values []float32) ([]byte, error) {
	for i, v := range values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("value %d is %v", i, v)
		}
	}
	le := binary.LittleEndian
	switch t {
	case F32:
		for _, v := range values {
			out = le.AppendUint32(out, math.Float32bits(v))
		}
	case F16:
		for i, v := range values {
			h := toHalf(v)
			if h&0x7c00 == 0x7c00 {
				return nil, fmt.Errorf("value %d is %v, too large for F16", i, v)
			}
			out = le.AppendUint16(out, h)
		}
	case BF16:
		for i, v := range values {
			b := toBrain(v)
			if b&0x7f80 == 0x7f80 {
				return nil, fmt.Errorf("value %d is %v, too large for BF16", i, v)
			}
			out = le.AppendUint16(out, b)
		}
	case Q8_0:
		if len(values)%Block != 0 {
			return nil, fmt.Errorf("%d values are not whole blocks of %d", len(values), Block)
		}
		for at := 0; at < len(values); at += Block {
			var err error
			if out, err = appendQ8(out, values[at:at+Block]); err != nil {
				return nil, fmt.Errorf("block %d: %w", at/Block, err)
			}
		}
	default:
		return nil, fmt.Errorf("%v cannot be written", t)
	}
	return out, nil
}

func appendQ8(out []byte, values []float32) ([]byte, error) {
	var largest float32
	for _, v := range values {
		largest = max(largest, v, -v)
	}
	scale := largest / 127
	half := toHalf(scale)
	if half&0x7c00 == 0x7c00 {
		return nil, fmt.Errorf("%v is too large for Q8_0", largest)
	}
	var inverse float32
	if scale > 0 {
		inverse = 1 / scale
	}
	out = binary.LittleEndian.AppendUint16(out, half)
	for _, v := range values {
		q := math.Round(float64(v * inverse))
		out = append(out, byte(int8(min(max(q, -127), 127)))) // the inverse of a subnormal scale is infinite
	}
	return out, nil
}

// CheckFinite looks at every number, of quantised formats at every scale, and reports the first that is infinite or not a number.
func (t Tensor) CheckFinite() error {
	le := binary.LittleEndian
	numbers, size := t.Type.Layout()
	mask := uint16(0x7c00) // of F16's exponent, all ones for what is not finite
	switch t.Type {
	case F32:
		for i := 0; i+4 <= len(t.Data); i += 4 {
			if bits := le.Uint32(t.Data[i:]); bits&0x7f800000 == 0x7f800000 {
				return fmt.Errorf("tensor %q holds %v at %d", t.Name, math.Float32frombits(bits), i/4)
			}
		}
		return nil
	case BF16:
		mask = 0x7f80
	}
	for i := 0; i+size <= len(t.Data); i += size {
		if bits := le.Uint16(t.Data[i:]); bits&mask == mask {
			if numbers > 1 {
				return fmt.Errorf("tensor %q: the scale of block %d is %v", t.Name, i/size, fromHalf(bits))
			}
			value := fromHalf(bits)
			if t.Type == BF16 {
				value = fromBrain(bits)
			}
			return fmt.Errorf("tensor %q holds %v at %d", t.Name, value, i/size)
		}
	}
	return nil
}
