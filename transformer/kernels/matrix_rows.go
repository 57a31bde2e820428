package kernels

import (
	"encoding/binary"
	"math"
	"runtime"
)

// RowSize is the number of bytes that AppendRow adds.
func (m *Matrix) RowSize() int {
	if m.Format.Quantised() {
		return m.Format.RowBytes(m.groups * groupSize)
	}
	return m.Format.RowBytes(m.Cols)
}

// AppendRow adds a row's weights to data as SetRows takes them: little-endian numbers, or GGML's blocks for Q8 and Q4, the last one filled
// up with zeros where the columns are no multiple of 32. It is how weights go to a device that wants them in another order.
func (m *Matrix) AppendRow(data []byte, row int) []byte {
	le := binary.LittleEndian
	switch m.Format {
	case F32:
		column := m.floats[m.floatAt(row):]
		for i := range m.Cols {
			data = le.AppendUint32(data, math.Float32bits(column[i*panelRows]))
		}
	case F16, BF16:
		column := m.halves[m.floatAt(row):]
		for i := range m.Cols {
			data = le.AppendUint16(data, column[i*panelRows])
		}
	default:
		for g := range m.groups {
			data = le.AppendUint16(data, m.scales[m.scaleAt(row, g)])
			data = m.appendGroup(data, row, g)
		}
	}
	runtime.KeepAlive(m)
	return data
}

// appendGroup adds the integers of one group of a row: putQ8 and putQ4 the other way round.
func (m *Matrix) appendGroup(data []byte, row, g int) []byte {
	group := halfOf(m.group(row, g), row%panelRows)
	for at := 4 * (row % halfRows); at < len(group); at += lineSize {
		four := binary.LittleEndian.Uint32(group[at:])
		if m.Format == Q8 {
			four ^= 0x80808080
		}
		data = binary.LittleEndian.AppendUint32(data, four)
	}
	return data
}
